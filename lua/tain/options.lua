--- A recipe's command line.
---
---     local opt = tain.options {
---       model  = { "model",   help = "folder of a model, or its name" },
---       out    = { "path",    help = "where checkpoints go", new = true },
---       images = { "integer", default = 10, min = 1, help = "candidates a prompt" },
---       judge  = { "choice",  choices = { "self", "exact" }, default = "self" },
---       replay = { "integers", default = { 10 } },
---       fast   = { "boolean" },
---       file   = { "path", positional = 1 },
---     }
---
--- An option without a default must be given, unless it is `optional = true` or a boolean, which is
--- false then. `--name value`, `--name=value`, `--flag`, `--no-flag`; `--` ends options. A path
--- must exist, and one that is `new` must not, unless the recipe is going on with --resume. A model is
--- a folder, or a name such as deepseek-ai/Janus-Pro-1B that the cache of Hugging Face has.
--- `--help` prints the comment at the top of the recipe and these options.

local check = require "tain.check"
local hub = require "tain.hub"
local settings = require "tain.settings"

local options = {}

local reserved = { help = true, device = true, json = true, quiet = true, sandbox = true,
  debug = true }
local fields = {}
for name in ([[default min max choices optional new help positional]]):gmatch("%a+") do
  fields[name] = true
end

-- A mistake of the command line is not one of the recipe: no position, exit status 2.
local function usage(format, ...)
  local recipe = settings.recipe or "-e"
  error({ exit = 2, message = ("%s: %s; --help shows the options"):format(recipe,
    format:format(...)) }, 0)
end

-- ---- The declaration ----

local function check_specs(specs)
  check.table("options", "the declaration", specs)
  for name, spec in pairs(specs) do
    if type(name) ~= "string" or not name:find("^%a[%w_]*$") then
      check.raise("options: %s is not a name", check.show(name))
    end
    if reserved[name] then check.raise("options: --%s is an option of tain itself", name) end
    check.table("options", name, spec)
    local kind = spec[1]
    if not (kind == "path" or kind == "model" or kind == "integer" or kind == "number" or kind == "string"
        or kind == "boolean" or kind == "integers" or kind == "numbers" or kind == "strings"
        or kind == "choice") then
      check.raise("options: %s must be of kind path, model, integer, number, string, boolean, integers, "
        .. "numbers, strings or choice, not %s", name, check.show(kind))
    end
    for field in pairs(spec) do
      if field ~= 1 and not fields[field] then
        check.raise("options: %s: unknown field %s%s", name, tostring(field),
          check.suggest(field, fields))
      end
    end
    if kind == "choice" then check.table("options", name .. ".choices", spec.choices) end
    if spec.default ~= nil then check.value("options", name .. ".default", spec.default, spec) end
  end
end

-- ---- The command line ----

local function read_number(kind, text)
  local value = text:find("^[+-]?%.?%d") and not text:find("[xXpP]") and tonumber(text)
  if not value then
    return nil, ("%s, not %q"):format(kind == "integer" and "an integer" or "a number", text)
  end
  if kind == "integer" and value % 1 ~= 0 then return nil, ("an integer, not %s"):format(text) end
  return value
end

local function range(spec, value)
  if spec.min and value < spec.min then
    return nil, ("at least %s, not %s"):format(check.show(spec.min), check.show(value))
  end
  if spec.max and value > spec.max then
    return nil, ("at most %s, not %s"):format(check.show(spec.max), check.show(value))
  end
  return value
end

local function exists(path)
  local file = io.open(path, "r")
  if file then file:close() end
  return file ~= nil
end

-- Turns text into a value of the option's kind; or nil and what it must be.
local function parse(spec, text)
  local kind = spec[1]
  if kind == "integer" or kind == "number" then
    local value, must = read_number(kind, text)
    if not value then return nil, must end
    return range(spec, value)
  elseif kind == "choice" then
    for _, choice in ipairs(spec.choices) do
      if tostring(choice) == text then return choice end
    end
    local names = {}
    for i, choice in ipairs(spec.choices) do names[i] = tostring(choice) end
    return nil, ("one of %s, not %q%s"):format(table.concat(names, ", "), text,
      check.suggest(text, names))
  elseif kind == "integers" or kind == "numbers" or kind == "strings" then
    local list = {}
    for item in text:gmatch("[^,]+") do
      if kind == "strings" then
        list[#list + 1] = item
      else
        local value, must = read_number(kind:sub(1, -2), item:match("^%s*(.-)%s*$"))
        if value then value, must = range(spec, value) end
        if not value then return nil, "a list of numbers such as 1,2,3; each " .. must end
        list[#list + 1] = value
      end
    end
    return list
  end
  return text
end

local function read(specs, arguments)
  local given, positional = {}, {}
  for name, spec in pairs(specs) do
    if spec.positional then positional[spec.positional] = name end
  end
  local taken, plain, i = 0, false, 1

  local function set(name, spec, text, shown)
    local value, must = parse(spec, text)
    if value == nil then usage("%s must be %s", shown, must) end
    if given[name] ~= nil then usage("%s is given twice", shown) end
    given[name] = value
  end

  while i <= #arguments do
    local argument = arguments[i]
    local dashed, value = argument:match("^%-%-([^=]+)=?(.*)$")
    if plain or not argument:find("^%-%-?%a") then
      if argument == "--" and not plain then
        plain = true
      else
        taken = taken + 1
        local name = positional[taken]
        if not name then usage("%q is not an option and not expected", argument) end
        set(name, specs[name], argument, name:upper())
      end
    elseif argument == "-h" or dashed == "help" then
      options.help(specs)
      error({ exit = 0, message = "" }, 0)
    else
      local name = dashed and dashed:gsub("-", "_")
      local negated = dashed and dashed:match("^no%-(.+)$")
      negated = negated and negated:gsub("-", "_")
      local spec = name and specs[name]
      if not spec and negated and specs[negated] and specs[negated][1] == "boolean" then
        given[negated] = false
      elseif not spec then
        usage("unknown option %s%s", argument:match("^[^=]+"),
          check.suggest(name or argument:sub(2), specs, "--"))
      elseif spec[1] == "boolean" then
        if argument:find("=", 1, true) then usage("--%s takes no value", dashed) end
        given[name] = true
      else
        if not argument:find("=", 1, true) then
          i = i + 1
          value = arguments[i]
          if value == nil then usage("--%s needs a value", dashed) end
        end
        set(name, spec, value, "--" .. dashed)
      end
    end
    i = i + 1
  end
  return given
end

--- Reads the recipe's command line.
---
--- @param specs table name -> { kind, default =, min =, max =, choices =, optional =, new =, help = }
--- @return table # every option that has a value
function options.options(specs)
  check_specs(specs)
  local given = read(specs, settings.arguments)
  local result = {}
  for name, spec in pairs(specs) do
    local value = given[name]
    if value == nil then value = spec.default end
    if value == nil and spec[1] == "boolean" then value = false end
    if value == nil and not spec.optional then
      usage("%s is missing%s", spec.positional and name:upper() or "--" .. name,
        spec.help and (" (%s)"):format(spec.help) or "")
    end
    result[name] = value
  end
  for name, spec in pairs(specs) do
    if spec[1] == "model" and given[name] ~= nil then
      local found, problem = hub.find(result[name])
      if not found then usage("--%s: %s", name, problem) end
    elseif spec[1] == "path" and given[name] ~= nil then
      local there = exists(result[name])
      if spec.new and there and not result.resume then
        usage("--%s: %s exists already", name, result[name])
      elseif not spec.new and not there then
        usage("--%s: there is no %s", name, result[name])
      end
    end
  end
  return setmetatable(result, {
    __index = function(_, name)
      if specs[name] then return nil end
      check.raise("options: no option is called %s%s", tostring(name), check.suggest(name, specs))
    end,
  })
end

-- ---- Help ----

local function source()
  local file = settings.recipe and io.open(settings.recipe, "r")
  local text = file and file:read("*a") or ""
  if file then file:close() end
  return text
end

--- The comment a Lua file begins with.
---
--- @param text string the file
--- @return string
function options.comment(text)
  local lines = {}
  for line in (text:gsub("^#[^\n]*\n", "") .. "\n"):gmatch("(.-)\n") do
    local words = line:match("^%-%-%-? ?(.*)$")
    if not words then break end
    lines[#lines + 1] = words
  end
  return table.concat(lines, "\n")
end

local function show(value)
  if type(value) ~= "table" then return tostring(value) end
  local items = {}
  for i, item in ipairs(value) do items[i] = tostring(item) end
  return table.concat(items, ",")
end

--- Prints what `--help` prints.
function options.help(specs)
  local text = source()
  local names, place = {}, {}
  local body = text:match("tain%.options(.*)$") or ""
  for name in pairs(specs) do
    names[#names + 1] = name
    place[name] = body:find("%f[%w_]" .. name .. "%s*=%s*{") or math.huge
  end
  table.sort(names, function(a, b)   -- as they stand in the recipe
    if place[a] ~= place[b] then return place[a] < place[b] end
    return a < b
  end)
  local comment = options.comment(text)
  if comment ~= "" then io.write(comment, "\n\n") end
  for _, name in ipairs(names) do
    local spec = specs[name]
    local left = spec.positional and name:upper() or "--" .. name
    if not spec.positional and spec[1] ~= "boolean" then left = left .. " " .. spec[1]:upper() end
    local notes = {}
    if spec.help then notes[#notes + 1] = spec.help end
    if spec.choices then notes[#notes + 1] = "one of " .. show(spec.choices) end
    if spec.default ~= nil then notes[#notes + 1] = "default " .. show(spec.default)
    elseif spec.optional then notes[#notes + 1] = "optional" end
    if spec.min and spec.max then notes[#notes + 1] = ("%s to %s"):format(show(spec.min),
      show(spec.max))
    elseif spec.min then notes[#notes + 1] = "at least " .. show(spec.min)
    elseif spec.max then notes[#notes + 1] = "at most " .. show(spec.max) end
    io.write(("  %-24s %s"):format(left, table.concat(notes, "; ")):gsub("%s+$", ""), "\n")
  end
end

return options
