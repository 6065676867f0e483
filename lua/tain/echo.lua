--- How the prompt shows a value: as one would write it, short where it is long, and images as images.

local image = require "tain.image"
local own = require "tain.own"
local terminal = require "tain.terminal"

local echo = {}

local LEAVES, DEPTH, WIDE = 40, 4, 76

local function quoted(text)
  local cut = #text > 2000 and text:sub(1, 2000) or text
  cut = cut:gsub('[%z\1-\31\\"\127]', function(c)
    local known = ({ ["\n"] = "\\n", ["\t"] = "\\t", ["\r"] = "\\r", ["\\"] = "\\\\", ['"'] = '\\"' })[c]
    return known or ("\\%03d"):format(c:byte())
  end):gsub("\194[\128-\159]", "?")
  return '"' .. cut .. '"' .. (#text > 2000 and (" … %d bytes"):format(#text) or "")
end

local function number(value)
  if value ~= value then return "nan" end
  if value % 1 == 0 and math.abs(value) < 2 ^ 53 then return ("%.0f"):format(value) end
  return ("%.14g"):format(value)
end

local function sorted_keys(value)
  local keys = {}
  for key in next, value do
    if not (type(key) == "number" and key % 1 == 0 and key >= 1 and key <= #value) then
      keys[#keys + 1] = key
    end
  end
  table.sort(keys, function(a, b)
    if type(a) ~= type(b) then return type(a) < type(b) end
    if type(a) == "number" or type(a) == "string" then return a < b end
    return tostring(a) < tostring(b)
  end)
  return keys
end

-- A tensor's sort and shape, and its numbers when they are few.
local function tensor(value)
  local text = tostring(value)
  if own.handle(value) == nil then return text end
  local ok, count = pcall(value.count, value)
  if not ok or count > 64 or count == 0 then return text end
  local read, numbers = pcall(value.numbers, value)
  if not read then return text end
  local shape = value:shape()
  local across = shape[#shape] or 1
  local rows = {}
  for i = 1, count do
    local row = math.floor((i - 1) / across) + 1
    rows[row] = (rows[row] or " ") .. (" %10.5g"):format(numbers[i])
  end
  return text .. "\n" .. table.concat(rows, "\n")
end

local show

local function plain_table(value, depth, seen, indent)
  if seen[value] then return "{ … the same again }" end
  if depth >= DEPTH then return "{ … }" end
  seen[value] = true
  local parts, n = {}, #value
  for i = 1, math.min(n, LEAVES) do parts[#parts + 1] = show(rawget(value, i), depth + 1, seen, indent .. "  ") end
  if n > LEAVES then parts[#parts + 1] = ("… %d more"):format(n - LEAVES) end
  local keys = sorted_keys(value)
  for i, key in ipairs(keys) do
    if i > LEAVES then
      parts[#parts + 1] = ("… %d more"):format(#keys - LEAVES)
      break
    end
    local name = type(key) == "string" and key:find "^[%a_][%w_]*$" and key
      or "[" .. show(key, depth + 1, seen, indent) .. "]"
    parts[#parts + 1] = name .. " = " .. show(rawget(value, key), depth + 1, seen, indent .. "  ")
  end
  seen[value] = nil
  if #parts == 0 then return "{}" end
  local line = "{ " .. table.concat(parts, ", ") .. " }"
  if #line + #indent <= WIDE and not line:find "\n" then return line end
  return "{\n" .. indent .. "  " .. table.concat(parts, ",\n" .. indent .. "  ") .. "\n" .. indent .. "}"
end

function show(value, depth, seen, indent)
  local kind = type(value)
  if kind == "string" then return quoted(value) end
  if kind == "number" then return number(value) end
  if kind ~= "table" then return terminal.plain(tostring(value)) end
  if own.kind(value) == "tensor" then return depth == 0 and tensor(value) or tostring(value) end
  local meta = debug.getmetatable(value)
  if meta and rawget(meta, "__tostring") then
    local ok, text = pcall(tostring, value)
    return ok and terminal.plain(text) or "an object"
  end
  local owned = own.kind(value)
  if owned then
    local folder = rawget(value, "folder")
    return owned .. (type(folder) == "string" and " in " .. terminal.plain(folder) or "")
  end
  if value == require "tain.init" then return "tain; help(tain) lists what it has" end
  return plain_table(value, depth, seen, indent)
end

--- A value as text.
---
--- @param value any
--- @return string
function echo.text(value) return show(value, 0, {}, "") end

-- The images of a list that holds nothing else.
local function images_of(value)
  if type(value) ~= "table" or image.is(value) or own.kind(value) or #value == 0 then return nil end
  for key, one in next, value do
    if type(key) ~= "number" or not image.is(one) then return nil end
  end
  return value
end

--- Shows values as the prompt does.
---
--- @param ... any
function echo.echo(...)
  for i = 1, select("#", ...) do
    local value = select(i, ...)
    local pictures = image.is(value) and { value } or images_of(value)
    if pictures and terminal.kind() ~= "off" then terminal.show(pictures) end
    io.stdout:write(echo.text(value), "\n")
  end
  io.stdout:flush()
end

return echo
