--- Reads JSON, for the blocks judge where it stands alone. Inside tain, tain.json does the same.
---
--- Objects and arrays become tables, null becomes `json.null`, and anything malformed is an error.

local json = { null = setmetatable({}, { __tostring = function() return "null" end }) }

local ESCAPES = {
  b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/",
}
local CONSTANTS = { ["true"] = true, ["false"] = false, null = json.null }
local DEPTH = 100

local function fail(at, message)
  error("json: " .. message .. " at byte " .. at, 0)
end

-- A code point as UTF-8.
local function utf8(code)
  local char, floor = string.char, math.floor
  if code < 0x80 then return char(code) end
  if code < 0x800 then return char(0xC0 + floor(code / 64), 0x80 + code % 64) end
  if code < 0x10000 then
    return char(0xE0 + floor(code / 4096), 0x80 + floor(code / 64) % 64, 0x80 + code % 64)
  end
  return char(0xF0 + floor(code / 262144), 0x80 + floor(code / 4096) % 64,
    0x80 + floor(code / 64) % 64, 0x80 + code % 64)
end

local function skip(text, at)
  return text:match("^[ \t\r\n]*()", at)
end

local function unicode(text, at)
  local digits = text:match("^u(%x%x%x%x)", at)
  if not digits then fail(at, "a broken \\u escape") end
  return tonumber(digits, 16), at + 5
end

-- Reads the string whose opening quote is at `at`.
local function read_string(text, at)
  local parts = {}
  at = at + 1
  while true do
    local plain, stop = text:match('^([^"\\%c]*)()', at)
    parts[#parts + 1] = plain
    local char = text:sub(stop, stop)
    if char == '"' then return table.concat(parts), stop + 1 end
    if char ~= "\\" then fail(stop, "a string without an end") end
    local escape = text:sub(stop + 1, stop + 1)
    if escape == "u" then
      local code
      code, at = unicode(text, stop + 1)
      if code >= 0xD800 and code < 0xDC00 and text:sub(at, at + 1) == "\\u" then
        local low, after = unicode(text, at + 1)
        if low >= 0xDC00 and low < 0xE000 then
          code, at = 0x10000 + (code - 0xD800) * 1024 + low - 0xDC00, after
        end
      end
      parts[#parts + 1] = utf8(code)
    else
      parts[#parts + 1] = ESCAPES[escape] or fail(stop, "an unknown escape")
      at = stop + 2
    end
  end
end

local function read_number(text, at)
  local whole, after = text:match("^(%-?%d+)()", at)
  if not whole or whole:match "^%-?0%d" then fail(at, "no value") end
  local fraction, stop = text:match("^(%.%d+)()", after)
  after = stop or after
  local exponent, last = text:match("^([eE][+-]?%d+)()", after)
  return tonumber(whole .. (fraction or "") .. (exponent or "")), last or after
end

local read_value

local function read_array(text, at, depth)
  local list = {}
  at = skip(text, at + 1)
  if text:sub(at, at) == "]" then return list, at + 1 end
  while true do
    list[#list + 1], at = read_value(text, at, depth)
    at = skip(text, at)
    local char = text:sub(at, at)
    if char == "]" then return list, at + 1 end
    if char ~= "," then fail(at, "an array without an end") end
    at = at + 1
  end
end

local function read_object(text, at, depth)
  local found = {}
  at = skip(text, at + 1)
  if text:sub(at, at) == "}" then return found, at + 1 end
  while true do
    local name
    at = skip(text, at)
    if text:sub(at, at) ~= '"' then fail(at, "a name is missing") end
    name, at = read_string(text, at)
    at = skip(text, at)
    if text:sub(at, at) ~= ":" then fail(at, "a colon is missing") end
    found[name], at = read_value(text, at + 1, depth)
    at = skip(text, at)
    local char = text:sub(at, at)
    if char == "}" then return found, at + 1 end
    if char ~= "," then fail(at, "an object without an end") end
    at = at + 1
  end
end

function read_value(text, at, depth)
  if depth > DEPTH then fail(at, "nested too deeply") end
  at = skip(text, at)
  local char = text:sub(at, at)
  if char == "{" then return read_object(text, at, depth + 1) end
  if char == "[" then return read_array(text, at, depth + 1) end
  if char == '"' then return read_string(text, at) end
  local word = text:match("^%a+", at)
  if word then
    if CONSTANTS[word] == nil then fail(at, "no value") end
    return CONSTANTS[word], at + #word
  end
  return read_number(text, at)
end

--- Reads one JSON value.
---
--- @param text string
--- @return any
function json.decode(text)
  local value, at = read_value(text, 1, 0)
  at = skip(text, at)
  if at <= #text then fail(at, "something after the value") end
  return value
end

return json
