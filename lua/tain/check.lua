--- Checks what a recipe passes, and says what is wrong at the recipe's own line.
---
--- Every message is *function: argument …, and what was passed*. The position is that of the
--- nearest line that is not ours: `return x:softmax(9)` is a tail call and leaves no frame, so
--- counting levels would report nothing at all.

require "tain.cdef"
local ffi = require "ffi"
local own = require "tain.own"

local C = ffi.C
local check = {}

local int64, uint64 = ffi.typeof("int64_t"), ffi.typeof("uint64_t")

--- Whether a chunk is a part of tain: embedded modules are named "=tain/…" and no file can be.
function check.ours(source)
  return source:find("^=tain/") ~= nil or source:find("lua/tain/[%w_/]+%.lua$") ~= nil
end

--- Where the recipe is now.
--- @return string position "recipes/x.lua:5: ", or "" when no recipe is running
function check.position()
  local level = 2
  while true do
    local info = debug.getinfo(level, "Sl")
    if not info then return "" end
    if info.currentline > 0 and not check.ours(info.source) then
      return info.source:gsub("^[@=]", ""):gsub("\n.*", "...") .. ":" .. info.currentline .. ": "
    end
    level = level + 1
  end
end

--- Ends the recipe with a message at its own line. It is one line, whatever a file's names in it hold.
function check.raise(format, ...)
  local message = select("#", ...) > 0 and format:format(...) or format
  error(check.position() .. (message:gsub("%c", "?")), 0)
end

--- The value as a message shows it.
function check.show(value)
  local kind = type(value)
  if kind == "string" then
    if #value > 40 then value = value:sub(1, 37) .. "..." end
    return '"' .. value:gsub("%c", "?") .. '"'
  elseif kind == "number" then
    if value ~= value then return "nan" end
    return value % 1 == 0 and math.abs(value) <= 2 ^ 54 and ("%.0f"):format(value)
      or ("%.14g"):format(value)
  elseif kind == "table" then
    local owned = own.kind(value)
    return owned and "a " .. owned or next(value) == nil and "an empty table" or "a table"
  elseif kind == "function" then
    return "a function"
  elseif kind == "cdata" and (ffi.istype(int64, value) or ffi.istype(uint64, value)) then
    return tostring(value)
  elseif kind == "userdata" or kind == "thread" or kind == "cdata" then
    return "a " .. kind
  end
  return tostring(value)
end

local show = check.show

--- The known name most like this one, or nil when none is.
--- @param known table list of names, or a table whose keys are names
function check.nearest(name, known)
  local best, least = nil, math.max(1, math.floor(#name / 3)) + 1
  local function try(candidate)
    local before, row = {}, {}
    for j = 0, #candidate do row[j] = j end
    local older
    for i = 1, #name do
      older, before, row = before, row, { [0] = i }
      for j = 1, #candidate do
        local a, b = name:byte(i), candidate:byte(j)
        row[j] = math.min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a == b and 0 or 1))
        if i > 1 and j > 1 and a == candidate:byte(j - 1) and b == name:byte(i - 1) then
          row[j] = math.min(row[j], older[j - 2] + 1)   -- two letters exchanged
        end
      end
    end
    local distance = row[#candidate]
    if distance < least or (distance == least and best and candidate < best) then
      best, least = candidate, distance
    end
  end
  if #known > 0 then
    for _, candidate in ipairs(known) do try(candidate) end
  else
    for candidate in pairs(known) do if type(candidate) == "string" then try(candidate) end end
  end
  return best
end

--- "; did you mean x?", or nothing.
function check.suggest(name, known, before)
  local near = type(name) == "string" and check.nearest(name, known)
  return near and ("; did you mean %s%s?"):format(before or "", near) or ""
end

-- ---- What C answers ----

--- Raises the core's own sentence if a call failed.
--- @param status integer tain_status, or a count that is negative when the call failed
function check.status(status)
  if status < 0 then check.raise("%s", ffi.string(C.tain_error())) end
  return status
end

--- The same for calls that make something and return NULL when they fail.
function check.made(handle)
  if handle == nil then check.raise("%s", ffi.string(C.tain_error())) end
  return handle
end

-- ---- Single arguments: (function's name, argument's name, value) -> what C takes ----

local function refuse(fn, name, must, value)
  check.raise("%s: %s must be %s, not %s", fn, name, must, show(value))
end

local function article(kind)
  return (kind:find("^[aeiou]") and "an " or "a ") .. kind
end

--- The handle of an object that owns one.
--- @param kind string as given to own.adopt
function check.object(fn, name, value, kind)
  local handle, ended
  if type(value) == "table" and own.kind(value) == kind then
    handle, ended = own.handle(value)
  end
  if handle == nil then
    if ended then check.raise("%s: %s was freed by %s", fn, name, ended) end
    refuse(fn, name, article(kind), value)
  end
  return handle
end

function check.tensor(fn, name, value)
  return check.object(fn, name, value, "tensor")
end

function check.tensor_or_nil(fn, name, value)
  if value == nil then return nil end
  return check.object(fn, name, value, "tensor")
end

--- An integer from min to max, as a Lua number.
function check.integer(fn, name, value, min, max)
  if type(value) == "cdata" and (ffi.istype(int64, value) or ffi.istype(uint64, value)) then
    value = tonumber(value)
  end
  if type(value) ~= "number" or value % 1 ~= 0 then refuse(fn, name, "an integer", value) end
  if min and value < min then
    check.raise("%s: %s must be at least %s, not %s", fn, name, show(min), show(value))
  elseif max and value > max then
    check.raise("%s: %s must be at most %s, not %s", fn, name, show(max), show(value))
  end
  return value
end

local integer = check.integer
local exact = 2 ^ 53   -- beyond it, a Lua number no longer is the integer that was written

function check.int32(fn, name, value) return integer(fn, name, value, -2 ^ 31, 2 ^ 31 - 1) end
function check.uint32(fn, name, value) return integer(fn, name, value, 0, 2 ^ 32 - 1) end
function check.int64(fn, name, value) return integer(fn, name, value, -exact, exact) end
function check.uint64(fn, name, value) return integer(fn, name, value, 0, exact) end

--- Any number but NaN.
function check.number(fn, name, value, min, max)
  if type(value) ~= "number" or value ~= value then refuse(fn, name, "a number", value) end
  if min and value < min then
    check.raise("%s: %s must be at least %s, not %s", fn, name, show(min), show(value))
  elseif max and value > max then
    check.raise("%s: %s must be at most %s, not %s", fn, name, show(max), show(value))
  end
  return value
end

function check.boolean(fn, name, value)
  if type(value) ~= "boolean" then refuse(fn, name, "true or false", value) end
  return value
end

--- A string that C can take: without NUL.
function check.string(fn, name, value)
  if type(value) ~= "string" then refuse(fn, name, "a string", value) end
  if value:find("\0", 1, true) then check.raise("%s: %s holds a zero byte", fn, name) end
  return value
end

check["function"] = function(fn, name, value)
  if type(value) ~= "function" then refuse(fn, name, "a function", value) end
  return value
end

function check.table(fn, name, value)
  if type(value) ~= "table" or own.kind(value) then refuse(fn, name, "a table", value) end
  return value
end

--- A table of { name, value } pairs, for check.enum.
function check.names(pairs_)
  local list, values, of = {}, {}, {}
  for i, pair in ipairs(pairs_) do
    list[i], values[pair[1]], of[tonumber(pair[2])] = pair[1], pair[2], pair[1]
  end
  return { list = list, values = values, of = of }
end

--- One of an enum's names; its value.
function check.enum(fn, name, value, names)
  local found = type(value) == "string" and names.values[value]
  if not found then
    check.raise("%s: %s must be one of %s, not %s%s", fn, name, table.concat(names.list, ", "),
      show(value), check.suggest(value, names.list))
  end
  return found
end

--- A list, as a C array and its count.
--- @param element string "int32_t", "int64_t", "float", "double" or "tain_tensor *"
function check.array(fn, name, value, element)
  if type(value) ~= "table" or own.kind(value) then refuse(fn, name, "a list", value) end
  local count = #value
  local array = ffi.new(element .. "[?]", count > 0 and count or 1)
  local item = element == "tain_tensor *" and check.tensor
    or element == "int32_t" and check.int32
    or element == "int64_t" and check.int64
    or check.number
  for i = 1, count do
    array[i - 1] = item(fn, name .. "[" .. i .. "]", value[i])
  end
  return array, count
end

-- ---- Tables of options: { name = { kind, default =, min =, max =, optional =, help = } } ----

local kinds = {}

function kinds.integer(fn, name, value, spec)
  return integer(fn, name, value, spec.min, spec.max)
end
function kinds.number(fn, name, value, spec)
  return check.number(fn, name, value, spec.min, spec.max)
end
kinds.model = check.string   -- a folder or a name
kinds.boolean, kinds.string, kinds.path, kinds.tensor = check.boolean, check.string, check.string,
  check.tensor
kinds["function"], kinds.table = check["function"], check.table
function kinds.any(_, _, value) return value end

function kinds.choice(fn, name, value, spec)
  for _, choice in ipairs(spec.choices) do
    if value == choice then return value end
  end
  check.raise("%s: %s must be one of %s, not %s%s", fn, name, table.concat(spec.choices, ", "),
    show(value), check.suggest(value, spec.choices))
end

local function list_of(kind)
  return function(fn, name, value, spec)
    check.table(fn, name, value)
    for i, item in ipairs(value) do kinds[kind](fn, name .. "[" .. i .. "]", item, spec) end
    return value
  end
end
kinds.integers, kinds.numbers, kinds.strings = list_of "integer", list_of "number", list_of "string"

--- Whether such a kind of option exists.
function check.has_kind(kind) return kinds[kind] ~= nil end

--- One option's value, checked.
function check.value(fn, name, value, spec)
  return kinds[spec[1]](fn, name, value, spec)
end

--- Checks a table of options: refuses unknown names, fills in defaults.
--- @param given table? what the recipe passed
--- @param specs table name -> { kind, default =, min =, max =, choices =, optional = }
--- @return table # a new table with every option that has a value
function check.options(fn, given, specs)
  if given == nil then given = {} end
  if type(given) ~= "table" or own.kind(given) then
    check.raise("%s: options must be a table, not %s", fn, show(given))
  end
  local result = {}
  for name, value in pairs(given) do
    local spec = specs[name]
    if not spec then
      check.raise("%s: unknown option %s%s", fn, type(name) == "string" and name or show(name),
        check.suggest(name, specs))
    end
    result[name] = check.value(fn, name, value, spec)
  end
  for name, spec in pairs(specs) do
    if result[name] == nil then
      if spec.default == nil and not spec.optional then
        check.raise("%s: %s is missing", fn, name)
      end
      result[name] = spec.default
    end
  end
  return result
end

return check
