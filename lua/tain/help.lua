--- What there is to read about a name: the manual's own text, for `tain help NAME` and for help(x)
--- at the prompt.

local check = require "tain.check"
local own = require "tain.own"

local help = {}

local function tables() return require "tain.names", require "tain.topics" end

-- The methods of objects, by what messages call the object.
local classes = { tensor = "tensor", image = "image", model = "model" }

-- The class of an object, and its name in the manual.
local function class_of(value)
  local kind = own.kind(value)
  if kind and classes[kind] then
    return require("tain." .. classes[kind]).class, kind:gsub("^%l", string.upper)
  end
  local meta = debug.getmetatable(value)
  local index = type(meta) == "table" and rawget(meta, "__index")
  if type(index) == "function" then   -- ours look into one table, called as the class is
    for i = 1, 20 do
      local name, found = debug.getupvalue(index, i)
      if not name then break end
      if name:find "^%u" and type(found) == "table" then return found, name end
    end
  elseif type(index) == "table" then
    return index
  end
end
help.class_of = class_of

local function overview()
  return [[
tain trains models on their own judgement. At this prompt, values are shown as they are, images are
drawn, a ; at the end keeps quiet, and Tab completes names, methods and files.

  help "load"        what a function does; help(model) lists an object's methods
  help "dpo"         what a recipe does
  x = tain.zeros{3}  names made here need no `local`; _ is the latest value
  Ctrl-C             back to the prompt; what was made is still there
  Ctrl-D             leaves

  local tain is there already. Try:
  model = tain.load "recipes/blocks/model"
  model:generate "a red cross above a blue square"
]]
end

local function first_sentence(text)
  local body = text:match "\n\n(.*)$" or text
  return (body:gsub("\n", " "):match "^(.-%.)%s" or body:gsub("\n.*", ""))
end

-- A class as a list of its methods.
local function methods(name)
  local _, topics = tables()
  local lines = {}
  for topic, text in require("tain.data").sorted(topics) do
    if topic:find("^" .. name .. ":") then
      lines[#lines + 1] = ("%-34s %s"):format(text:match "^[^\n]*", first_sentence(text))
    end
  end
  return #lines > 0 and table.concat(lines, "\n") .. "\n" or nil
end

-- Everything that is called tain.something.
local function whole()
  local _, topics = tables()
  local lines = {}
  for topic, text in require("tain.data").sorted(topics) do
    if topic:find "^tain%." then
      lines[#lines + 1] = ("%-34s %s"):format(text:match "^[^\n]*", first_sentence(text))
    end
  end
  return table.concat(lines, "\n") .. "\n"
end

-- What a command of the program says of itself.
local function command(name)
  local main = require "tain.main"
  for _, one in ipairs(main.commands()) do
    if one == name then
      local found = require("tain.command." .. name)
      return found.help and found.help()
        or ("tain %s %s\n\n%s\n"):format(name, found.usage or "", found.about)
    end
  end
end

--- The text about a name.
---
--- @param name string an operation, a function, a class, a recipe, a folder, a command
--- @return string? text
--- @return string? nearest ends the message when there is none: "; did you mean x?"
function help.find(name)
  local names, topics = tables()
  local short = name:gsub("^tain[_.]", ""):gsub("^%a+[.:]", "")
  local text = topics[name] or topics["tain." .. name] or topics["Tensor:" .. short]
    or topics["tain." .. short] or names[name] or names[short] or names["tain_" .. short]
  if not text and name:find "^%a+$" then text = methods(name:gsub("^%l", string.upper)) end
  if not text then
    for topic, found in require("tain.data").sorted(topics) do   -- model:generate as "generate"
      if topic:match "[:.]([%w_]+)$" == short then text = text or found end
    end
  end
  text = text or command(name)
  if text then return text end
  local known = require("tain.main").commands()
  for _, from in ipairs { names, topics } do
    for one in pairs(from) do
      known[#known + 1] = one:gsub("^tain[_.]", "")
      known[#known + 1] = one:match ":([%w_]+)$"
    end
  end
  return nil, check.suggest(short, known)
end

-- The name of a function of ours.
local function name_of(fn)
  local _, topics = tables()
  local tain = require "tain.init"
  for topic in pairs(topics) do
    local owner, name = topic:match "^(%a[%w_.]*)[.:]([%w_]+)$"
    if owner == "tain" and name and rawget(tain, name) == fn then return topic end
    local inner = owner and owner:match "^tain%.([%w_]+)$"
    local module = inner and rawget(tain, inner)
    if type(module) == "table" and rawget(module, name) == fn then return topic end
    if owner and owner:find "^%u" then
      local ok, of = pcall(require, "tain." .. owner:lower())
      local class = ok and type(of) == "table" and rawget(of, "class")
      if type(class) == "table" and rawget(class, name) == fn then return topic end
    end
  end
end

--- The text about a value: a name, a function of tain's, an object.
---
--- @param value any
--- @return string
function help.about(value)
  if value == nil then return overview() end
  if type(value) == "string" then
    local text, near = help.find(value)
    return text or ("nothing is called %s%s\n"):format(value, near)
  end
  if type(value) == "function" then
    local name = name_of(value)
    if name then return (help.find(name)) end
    local info = debug.getinfo(value, "S")
    return ("a function of %s, line %d\n"):format(info.source:gsub("^[@=]", ""), info.linedefined)
  end
  if value == require "tain.init" then return whole() end
  local _, name = class_of(value)
  local text = name and methods(name)
  if text then return text end
  return "a " .. type(value) .. "; help(\"name\") tells of names\n"
end

return help
