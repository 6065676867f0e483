--- JSON, strict in both directions.
---
--- Written: names sorted, so equal values give equal bytes; integers exactly up to 2^53; other
--- numbers with the fewest digits that read back the same; NaN, infinity, cycles and broken UTF-8
--- are refused.
---
--- Read: one value and nothing after it; names given twice, integers that a Lua number cannot hold,
--- lone surrogates and control characters are refused.
---
--- null in an object is an absent name; in an array, and alone, it is json.null. An empty table is
--- an object unless json.array made it; arrays that were read keep being arrays.

local ffi = require "ffi"
local check = require "tain.check"
local own = require "tain.own"

local json = {}

local DEPTH = 64
local EXACT = 2 ^ 53
local concat, byte, char, floor = table.concat, string.byte, string.char, math.floor

local array_mark = {}   -- the metatable of arrays

json.null = setmetatable({}, { __tostring = function() return "null" end,
  __newindex = function() end })

--- Marks a list as an array, which matters when it is empty.
---
--- @param list table
--- @return table list
function json.array(list)
  return setmetatable(list, array_mark)
end

--- Where broken UTF-8 begins, or nil.
---
--- @param text string
--- @return integer?
function json.broken(text)
  local at = text:find("[\128-\255]")
  while at do
    local a, b, c, d = byte(text, at, at + 3)
    local more
    if a < 0x80 then more = 0
    elseif a >= 0xC2 and a <= 0xDF then more = 1
    elseif a >= 0xE0 and a <= 0xEF then
      if not b or (a == 0xE0 and b < 0xA0) or (a == 0xED and b > 0x9F) then return at end
      more = 2
    elseif a >= 0xF0 and a <= 0xF4 then
      if not b or (a == 0xF0 and b < 0x90) or (a == 0xF4 and b > 0x8F) then return at end
      more = 3
    else return at end
    if more >= 1 and (not b or b < 0x80 or b > 0xBF) then return at end
    if more >= 2 and (not c or c < 0x80 or c > 0xBF) then return at end
    if more >= 3 and (not d or d < 0x80 or d > 0xBF) then return at end
    at = text:find("[\128-\255]", at + more + 1)
  end
end

-- ---- Writing ----

local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }
for i = 0, 31 do escapes[char(i)] = escapes[char(i)] or ("\\u%04x"):format(i) end
escapes["\127"] = "\\u007f"

local function refuse(path, format, ...)
  error({ problem = (path == "" and "the value" or path:gsub("^%.", "")) .. " "
    .. format:format(...) }, 0)
end

local function write_string(text, path)
  if json.broken(text) then refuse(path, "is not UTF-8") end
  return '"' .. text:gsub('[%c"\\]', escapes) .. '"'
end

local function write_number(n, path)
  if n ~= n then refuse(path, "is not a number (NaN), which JSON cannot say") end
  if n == math.huge or n == -math.huge then refuse(path, "is infinite, which JSON cannot say") end
  if n % 1 == 0 and n <= EXACT and n >= -EXACT then
    return n == 0 and 1 / n < 0 and "-0" or ("%.0f"):format(n)
  end
  for digits = 15, 17 do
    local text = ("%." .. digits .. "g"):format(n)
    if tonumber(text) == n then
      -- an integer that is not exact must not look like one
      return text:find("[.e]") and text or ("%.16e"):format(n)
    end
  end
end

local write

local function write_list(list, count, out, path, depth)
  out[#out + 1] = "["
  for i = 1, count do
    if i > 1 then out[#out + 1] = "," end
    write(list[i], out, path .. "[" .. i .. "]", depth)
  end
  out[#out + 1] = "]"
end

local function write_object(object, out, path, depth)
  local names = {}
  for name in pairs(object) do
    if type(name) ~= "string" then
      refuse(path, "has both names and numbers as keys, or a list with holes: %s", check.show(name))
    end
    names[#names + 1] = name
  end
  table.sort(names)
  out[#out + 1] = "{"
  for i, name in ipairs(names) do
    if i > 1 then out[#out + 1] = "," end
    out[#out + 1] = write_string(name, path) .. ":"
    write(object[name], out, path .. "." .. name, depth)
  end
  out[#out + 1] = "}"
end

function write(value, out, path, depth)
  local kind = type(value)
  if kind == "string" then
    out[#out + 1] = write_string(value, path)
  elseif kind == "number" then
    out[#out + 1] = write_number(value, path)
  elseif kind == "boolean" then
    out[#out + 1] = tostring(value)
  elseif value == json.null then
    out[#out + 1] = "null"
  elseif kind == "table" and not own.kind(value) then
    if depth >= DEPTH then refuse(path, "is nested more than %d deep, or holds itself", DEPTH) end
    local count = 0
    for _ in pairs(value) do count = count + 1 end
    if count > 0 and count == #value or count == 0 and getmetatable(value) == array_mark then
      write_list(value, count, out, path, depth + 1)
    else
      write_object(value, out, path, depth + 1)
    end
  elseif kind == "cdata" and (ffi.istype("int64_t", value) or ffi.istype("uint64_t", value)) then
    out[#out + 1] = (tostring(value):gsub("U?LL$", ""))
  else
    refuse(path, "is %s, which JSON cannot say", check.show(value))
  end
end

--- Writes a value as one line of JSON.
---
--- @param value any
--- @return string
function json.encode(value)
  local out = {}
  local ok, raised = pcall(write, value, out, "", 0)
  if not ok then
    check.raise("json: %s", type(raised) == "table" and raised.problem or tostring(raised))
  end
  return concat(out)
end

-- ---- Reading ----

local function fail(at, format, ...)
  error({ at = at, problem = format:format(...) }, 0)
end

local plain_escapes = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"',
  ["\\"] = "\\", ["/"] = "/" }

local function utf8(code)
  if code < 0x80 then return char(code) end
  if code < 0x800 then return char(0xC0 + floor(code / 64), 0x80 + code % 64) end
  if code < 0x10000 then
    return char(0xE0 + floor(code / 4096), 0x80 + floor(code / 64) % 64, 0x80 + code % 64)
  end
  return char(0xF0 + floor(code / 262144), 0x80 + floor(code / 4096) % 64,
    0x80 + floor(code / 64) % 64,
    0x80 + code % 64)
end

local function read_unit(text, at)
  local digits = text:match("^u(%x%x%x%x)", at)
  if not digits then fail(at - 1, "a broken \\u escape") end
  return tonumber(digits, 16)
end

-- Reads the string whose opening quote is just before `at`; returns it and what follows.
local function read_string(text, at)
  local stop = text:find('["\\%c]', at)
  if stop and byte(text, stop) == 34 then return text:sub(at, stop - 1), stop + 1 end
  local parts, first = {}, at - 1
  while true do
    if not stop then fail(first, "a string without an end") end
    parts[#parts + 1] = text:sub(at, stop - 1)
    local c = byte(text, stop)
    if c == 34 then return concat(parts), stop + 1 end
    if c == 127 then
      parts[#parts + 1], at = "\127", stop + 1
    elseif c ~= 92 then
      fail(stop, "a control character in a string")
    else
      local escape = text:sub(stop + 1, stop + 1)
      if escape == "u" then
        local code = read_unit(text, stop + 1)
        at = stop + 6
        if code >= 0xD800 and code < 0xDC00 then
          local low = text:sub(at, at + 1) == "\\u" and read_unit(text, at + 1) or 0
          if low < 0xDC00 or low > 0xDFFF then fail(stop, "half a surrogate pair") end
          code, at = 0x10000 + (code - 0xD800) * 1024 + low - 0xDC00, at + 6
        elseif code >= 0xDC00 and code < 0xE000 then
          fail(stop, "half a surrogate pair")
        end
        parts[#parts + 1] = utf8(code)
      else
        parts[#parts + 1] = plain_escapes[escape] or fail(stop, "an unknown escape")
        at = stop + 2
      end
    end
    stop = text:find('["\\%c]', at)
  end
end

local function read_number(text, at)
  local whole, after = text:match("^(%-?%d+)()", at)
  if not whole or whole:find("^%-?0%d") then fail(at, "no value") end
  local fraction, a = text:match("^(%.%d+)()", after)
  local exponent, b = text:match("^([eE][+-]?%d+)()", a or after)
  local value = tonumber(whole .. (fraction or "") .. (exponent or ""))
  if value > 1.7976931348623157e308 or value < -1.7976931348623157e308 then
    fail(at, "a number too large")
  end
  if not fraction and not exponent and (value > EXACT or value < -EXACT) then
    fail(at, "an integer beyond 2^53")
  end
  return value, b or a or after
end

local read_value

local function read_array(text, at, depth)
  local list, count = setmetatable({}, array_mark), 0
  at = text:find("[^ \t\r\n]", at)
  if at and byte(text, at) == 93 then return list, at + 1 end
  while true do
    count = count + 1
    list[count], at = read_value(text, at, depth)
    at = text:find("[^ \t\r\n]", at)
    local c = at and byte(text, at)
    if c == 93 then return list, at + 1 end
    if c ~= 44 then fail(at or #text + 1, "an array without an end") end
    at = at + 1
  end
end

local function read_object(text, at, depth)
  local object, seen = {}, nil
  at = text:find("[^ \t\r\n]", at)
  if at and byte(text, at) == 125 then return object, at + 1 end
  while true do
    at = text:find("[^ \t\r\n]", at)
    if not at or byte(text, at) ~= 34 then fail(at or #text + 1, "a name is missing") end
    local name, value
    local start = at
    name, at = read_string(text, at + 1)
    if object[name] ~= nil or (seen and seen[name]) then
      fail(start, "the name %q a second time", name)
    end
    at = text:find("[^ \t\r\n]", at)
    if not at or byte(text, at) ~= 58 then fail(at or #text + 1, "a colon is missing") end
    value, at = read_value(text, at + 1, depth)
    if value == json.null then
      seen = seen or {}
      seen[name] = true
    else
      object[name] = value
    end
    at = text:find("[^ \t\r\n]", at)
    local c = at and byte(text, at)
    if c == 125 then return object, at + 1 end
    if c ~= 44 then fail(at or #text + 1, "an object without an end") end
    at = at + 1
  end
end

function read_value(text, at, depth)
  at = text:find("[^ \t\r\n]", at)
  if not at then fail(#text + 1, "no value") end
  local c = byte(text, at)
  if c == 34 then return read_string(text, at + 1) end
  if c == 123 or c == 91 then
    if depth >= DEPTH then fail(at, "nested more than %d deep", DEPTH) end
    return (c == 123 and read_object or read_array)(text, at + 1, depth + 1)
  end
  if c == 116 and text:find("^true%f[^%w_]", at) then return true, at + 4 end
  if c == 102 and text:find("^false%f[^%w_]", at) then return false, at + 5 end
  if c == 110 and text:find("^null%f[^%w_]", at) then return json.null, at + 4 end
  return read_number(text, at)
end

--- Reads one JSON value.
---
--- @param text string
--- @return any value nil when the text is not JSON
--- @return string? problem "byte 12: a colon is missing"
function json.decode(text)
  if type(text) ~= "string" then
    check.raise("json: text must be a string, not %s", check.show(text))
  end
  local broken = json.broken(text)
  if broken then return nil, ("byte %d: not UTF-8"):format(broken) end
  local ok, value, at = pcall(read_value, text, 1, 0)
  if ok then
    at = text:find("[^ \t\r\n]", at)
    if not at then return value end
    value = { at = at, problem = "something after the value" }
  end
  if type(value) ~= "table" then error(value, 0) end
  return nil, ("byte %d: %s"):format(value.at, value.problem)
end

--- Reads one JSON value that must be an object or a list.
---
--- @param text string
--- @return table? value
--- @return string? problem
function json.decode_table(text)
  local value, problem = json.decode(text)
  if not problem and (type(value) ~= "table" or value == json.null) then
    problem = "an object or a list is expected"
  end
  if problem then return nil, problem end
  return value
end

return json
