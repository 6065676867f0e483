--- Data for recipes: lists of tables, read from JSON lines and dealt out in batches of columns.

local check = require "tain.check"
local host = require "tain.host"
local json = require "tain.json"
local random = require "tain.random"

local data = {}

--- Ends a recipe whose user asked for that. Loops that can be left call it between two steps.
function data.poll()
  if host.interrupted() > 0 then check.raise("interrupted") end
end

--- Whether the user asked to stop: a loop may save and leave.
---
--- @return boolean
function data.interrupted()
  return host.interrupted(true) > 0
end

-- ---- JSON lines ----

local places = setmetatable({}, { __mode = "k" })   -- list -> item -> its index

-- `for item in list do`: Lua passes the item before, nil at first.
local lines_class = {
  __call = function(list, _, before)
    data.poll()
    return list[before == nil and 1 or places[list][before] + 1]
  end,
}

--- Reads a file of JSON objects, one a line. The result is a list, and can be called to go through:
--- `for item in tain.jsonl(path) do`.
---
--- @param path string
--- @param required? string[] names that every object must have
--- @return table[]
function data.jsonl(path, required)
  check.string("jsonl", "path", path)
  if required ~= nil then check.table("jsonl", "required", required) end
  local file, why = io.open(path, "rb")
  if not file then check.raise("jsonl: cannot open %s", why) end
  local list, place, number = {}, {}, 0
  for line in file:lines() do
    number = number + 1
    if line:find("[^ \t\r]") then
      local item, problem = json.decode(line)
      if problem then check.raise("jsonl: %s:%d: %s", path, number, problem) end
      if type(item) ~= "table" or item == json.null or #item > 0 then
        check.raise("jsonl: %s:%d: an object is expected, not %s", path, number, check.show(item))
      end
      for _, name in ipairs(required or {}) do
        if item[name] == nil then
          check.raise("jsonl: %s:%d: there is no %s%s", path, number, name,
            check.suggest(name, item))
        end
      end
      list[#list + 1], place[item] = item, #list + 1
    end
  end
  file:close()
  places[list] = place
  return setmetatable(list, lines_class)
end

-- ---- Batches ----

local batch_class = {
  __index = function(batch, name)
    local lacking = rawget(batch, "\0lacking")
    check.raise("batch: there is no column %s%s", tostring(name),
      lacking[name] and ": not every item of this batch has it" or check.suggest(name, batch))
  end,
}

-- Items as columns: every name that all of them have.
local function columns(list, order, first, last)
  local batch, lacking = {}, {}
  local n = last - first + 1
  for name in pairs(list[order[first]]) do
    local column = {}
    for i = first, last do column[i - first + 1] = list[order[i]][name] end
    for i = 1, n do
      if column[i] == nil then column = nil break end
    end
    if column then batch[name] = column else lacking[name] = true end
  end
  batch["\0lacking"] = lacking
  return setmetatable(batch, batch_class)
end

local batches_options = {
  size = { "integer", min = 1, default = 1 },
  epochs = { "integer", min = 0, default = 1 },
  seed = { "integer", min = 0, default = 0 },
  shuffle = { "boolean", default = true },
  from = { "table", optional = true },
}

--- Deals out a list in batches of columns: batch.prompt is the list of the items' prompts.
---
---     for step, batch, state in tain.batches(list, { size = 4, epochs = 2, seed = 1 }) do
---       print(step, state.epoch, #batch.prompt)
---     end
---
--- Each epoch has its own order, which depends on the seed and the epoch's number only; the last
--- batch of an epoch may be smaller.
---
--- @param list table[]
--- @param options? table size, epochs, seed, shuffle, from (a state to go on after)
--- @return function # gives step, batch, state = { step =, epoch =, index = }
function data.batches(list, options)
  check.table("batches", "list", list)
  options = check.options("batches", options, batches_options)
  for i = 1, #list do check.table("batches", "list[" .. i .. "]", list[i]) end

  local from = options.from and check.options("batches", options.from, {
    step = { "integer", min = 0 }, epoch = { "integer", min = 1 }, index = { "integer", min = 0 },
  }) or { step = 0, epoch = 1, index = 0 }
  local step, epoch, index = from.step, from.epoch, from.index
  local order, order_epoch

  return function()
    data.poll()
    if index >= #list then epoch, index = epoch + 1, 0 end
    if epoch > options.epochs or #list == 0 then return nil end
    if order_epoch ~= epoch then
      order, order_epoch = {}, epoch
      for i = 1, #list do order[i] = i end
      if options.shuffle then order = random.random(options.seed, epoch):order(#list) end
    end
    local last = math.min(index + options.size, #list)
    local batch = columns(list, order, index + 1, last)
    step, index = step + 1, last
    return step, batch, { step = step, epoch = epoch, index = index }
  end
end

-- ---- Small things about tables ----

--- One field of every item.
---
--- @param list table[]
--- @param name string
--- @return any[]
function data.column(list, name)
  check.table("column", "list", list)
  local values = {}
  for i = 1, #list do
    check.table("column", "list[" .. i .. "]", list[i])
    local value = list[i][name]
    if value == nil then
      check.raise("column: item %d has no %s%s", i, tostring(name), check.suggest(name, list[i]))
    end
    values[i] = value
  end
  return values
end

--- Whether a list has a value.
---
--- @param list any[]
--- @param value any
--- @return boolean
function data.contains(list, value)
  check.table("contains", "list", list)
  for _, item in ipairs(list) do
    if item == value then return true end
  end
  return false
end

--- A list of one value, so many times. For what is measured.
---
--- @param value any
--- @param count integer
--- @return any[]
function data.same(value, count)
  local list = {}
  for i = 1, count do list[i] = value end
  return list
end

--- Goes through a table in the order of its keys, numbers before strings.
---
--- @param map table
--- @return function # gives key, value
function data.sorted(map)
  check.table("sorted", "map", map)
  local keys = {}
  for key in pairs(map) do
    if type(key) ~= "number" and type(key) ~= "string" then
      check.raise("sorted: a key is %s; only numbers and strings have an order", check.show(key))
    end
    keys[#keys + 1] = key
  end
  table.sort(keys, function(a, b)
    if type(a) ~= type(b) then return type(a) == "number" end
    return a < b
  end)
  local i = 0
  return function()
    i = i + 1
    if keys[i] ~= nil then return keys[i], map[keys[i]] end
  end
end

return data
