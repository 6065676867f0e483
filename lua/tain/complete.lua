--- What a Tab at the prompt completes: names and fields of tables, methods of objects, files inside
--- quotes. Nothing is called to find out.

local files = require "tain.files"
local help = require "tain.help"

local complete = {}

local keywords = {}
for word in ([[and break do else elseif end false for function if in local nil not or repeat return
  then true until while]]):gmatch "%a+" do keywords[#keywords + 1] = word end

local function insert(found, name)
  if type(name) == "string" and name:find "^[%a_][%w_]*$" then found[name] = true end
end

-- The names that may follow a value and a dot or a colon.
local function names_of(value, method)
  local found = {}
  if type(value) == "string" then value = string end
  if type(value) == "table" then
    if not method or type(value) == "table" then
      for name, one in next, value do
        if not method or type(one) == "function" then insert(found, name) end
      end
    end
    local meta = debug.getmetatable(value)
    local listed = type(meta) == "table" and rawget(meta, "names")
    for name in pairs(type(listed) == "table" and listed or {}) do insert(found, name) end
  end
  local class = (type(value) == "table" or type(value) == "userdata") and help.class_of(value)
  for name, one in next, type(class) == "table" and class or {} do
    if type(one) == "function" and not name:find "^__" then insert(found, name) end
  end
  return found
end

-- A field of a value, without calling anything but what loads a part of tain.
local function field(value, key)
  if type(value) == "string" then return string[key] end
  if type(value) ~= "table" then return nil end
  local found = rawget(value, key)
  local meta = debug.getmetatable(value)
  if found == nil and type(meta) == "table" then
    local index = rawget(meta, "__index")
    if type(index) == "table" then return rawget(index, key) end
    local listed = rawget(meta, "names")
    if type(listed) == "table" and listed[key] then return value[key] end
  end
  return found
end

-- The value of "a.b[1].c", or nil.
local function value_of(env, path)
  local name, rest = path:match "^([%a_][%w_]*)(.*)$"
  if not name then return nil end
  local value = rawget(env, name)
  while value ~= nil and rest ~= "" do
    local key, more = rest:match "^[.:]([%a_][%w_]*)(.*)$"
    if not key then
      key, more = rest:match "^%[%s*(%d+)%s*%](.*)$"
      key = tonumber(key)
    end
    if not key then
      local _
      _, key, more = rest:match "^%[%s*([\"'])([^\"']*)%1%s*%](.*)$"
    end
    if not key then return nil end
    value, rest = field(value, key), more
  end
  return value
end

local function sorted(found, prefix)
  local list = {}
  for name in pairs(found) do
    if name:sub(1, #prefix) == prefix then list[#list + 1] = name end
  end
  table.sort(list)
  return list
end

-- The quote that is open at the end of a line, and what stands after it.
local function open_string(line)
  local quote, from
  local i = 1
  while i <= #line do
    local c = line:sub(i, i)
    if quote then
      if c == "\\" then i = i + 1 elseif c == quote then quote = nil end
    elseif c == '"' or c == "'" then
      quote, from = c, i + 1
    elseif c == "-" and line:sub(i, i + 1) == "--" then
      return nil
    end
    i = i + 1
  end
  if quote then return line:sub(from), quote end
end

local function paths(text)
  local folder, prefix = text:match "^(.*/)([^/]*)$"
  if not folder then folder, prefix = "", text end
  local where = folder == "" and "." or folder:gsub("^~/", (os.getenv "HOME" or "~") .. "/")
  local list = {}
  if not files.folder_exists(where) then return list, prefix end
  local ok, names = pcall(files.list, where)
  for _, name in ipairs(ok and names or {}) do
    if name:sub(1, #prefix) == prefix and (prefix ~= "" or not name:find "^%.") and not name:find "[%c\"']" then
      list[#list + 1] = files.folder_exists(where .. "/" .. name) and name .. "/" or name
    end
  end
  return list, prefix
end

--- What the text before the cursor may be completed to.
---
--- @param env table the names of the prompt
--- @param line string what stands before the cursor
--- @return integer given how many bytes of the line are the beginning of each candidate
--- @return string[] candidates sorted
--- @return string? after what follows the only candidate
function complete.complete(env, line)
  local inside, quote = open_string(line)
  if inside then
    local list, prefix = paths(inside)
    return #prefix, list, #list == 1 and not list[1]:find "/$" and quote or nil
  end
  local path, mark, prefix = line:match "([%a_][%w_.:%[%]\"']*)([.:])([%w_]*)$"
  if path then
    local value = value_of(env, path)
    local list = value ~= nil and sorted(names_of(value, mark == ":"), prefix) or {}
    local only = #list == 1 and field(value, list[1])
    return #prefix, list, (type(only) == "function" or mark == ":" and #list == 1) and "(" or nil
  end
  prefix = line:match "[%w_]*$"
  if prefix == "" and line:find "%S" and not line:find "[%s(,{=+*/<>~^-]$" then return 0, {} end
  if prefix:find "^%d" then return 0, {} end
  local found = {}
  for name in next, env do insert(found, name) end
  if prefix ~= "" then for _, word in ipairs(keywords) do found[word] = true end end
  local list = sorted(found, prefix)
  local only = #list == 1 and rawget(env, list[1])
  return #prefix, list, type(only) == "function" and "(" or type(only) == "table" and only ~= env._G
    and #list == 1 and prefix == list[1] and "." or nil
end

return complete
