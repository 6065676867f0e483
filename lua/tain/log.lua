--- What a run says: rows of numbers. One readable line a row on the terminal, JSON with --json;
--- whoever keeps a run's record adds itself to `log.listeners`.

local check = require "tain.check"
local json = require "tain.json"
local own = require "tain.own"
local progress = require "tain.progress"
local settings = require "tain.settings"

-- listeners: functions of a row (name -> value) and the names in order. hidden: whoever listens
-- says it in its own words, and only --json still shows rows.
local log = { listeners = {}, hidden = false }

local leading = { epoch = 1, step = 2 }

-- The names of a row: those it lists itself, then epoch, step, then the others by name.
local function order(row)
  local names, seen = {}, {}
  for i, name in ipairs(row) do
    if type(name) ~= "string" or row[name] == nil then
      check.raise("log: item %d must name one of the row's values, not %s", i, check.show(name))
    end
    if not seen[name] then names[#names + 1], seen[name] = name, true end
  end
  local rest = {}
  for name in pairs(row) do
    if type(name) == "string" then
      if not seen[name] then rest[#rest + 1] = name end
    elseif type(name) ~= "number" or not row[name] or name > #row then
      check.raise("log: a row has names, not %s", check.show(name))
    end
  end
  table.sort(rest, function(a, b)
    local x, y = leading[a] or 3, leading[b] or 3
    if x ~= y then return x < y end
    return a < b
  end)
  for _, name in ipairs(rest) do names[#names + 1] = name end
  return names
end

local function readable(value)
  if type(value) == "number" then
    if value ~= value then return "nan" end
    return value % 1 == 0 and math.abs(value) < 1e15 and ("%.0f"):format(value)
      or ("%.4g"):format(value)
  end
  return (tostring(value):gsub("%c", " "))
end

-- JSON has no NaN and no infinity; that a loss became one must not be what ends a run.
local function sayable(value)
  if type(value) == "number" and (value ~= value or value == math.huge or value == -math.huge) then
    return tostring(value)
  end
  return value
end

--- Says one row: `tain.log { step = 3, loss = 0.5 }`. A list part gives the order:
--- `tain.log { "loss", "step", step = 3, loss = 0.5 }`.
---
--- @param row table name -> number, string or boolean
function log.log(row)
  check.table("log", "row", row)
  local names, values = order(row), {}
  for _, name in ipairs(names) do
    local value = row[name]
    local kind = type(value)
    if kind ~= "number" and kind ~= "string" and kind ~= "boolean" then
      check.raise("log: %s must be a number, a string or a boolean, not %s%s", name,
        check.show(value),
        kind == "table" and own.kind(value) == "tensor" and (": write " .. name .. ":item()") or "")
    end
    values[name] = sayable(value)
  end
  for _, listener in ipairs(log.listeners) do listener(values, names) end
  if settings.quiet or log.hidden and not settings.json then return end

  local parts = {}
  for i, name in ipairs(names) do
    parts[i] = settings.json and json.encode(name) .. ":" .. json.encode(values[name])
      or name .. " " .. readable(row[name])
  end
  local line = settings.json and "{" .. table.concat(parts, ",") .. "}" or table.concat(parts, "  ")
  progress.clear()
  io.stdout:write(line, "\n")
  io.stdout:flush()
end

--- Says a sentence to whoever watches: nothing is measured by it. Under --json it is a row {"say": …}.
---
--- @param text string
function log.say(text)
  check.string("say", "text", text)
  if settings.json then return log.log { say = text } end
  if settings.quiet then return end
  progress.clear()
  io.stdout:write(text, "\n")
  io.stdout:flush()
end

return log
