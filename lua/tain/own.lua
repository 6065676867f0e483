--- Ownership: which Lua object owns which C object, and when it lets go.
---
--- A recipe never sees a pointer. Handles live in a table only this module can reach, so no recipe
--- can copy one, free one twice, or pass one kind as another.
---
--- Lua's collector does not see device memory, so temporaries end with the scope that made them,
--- and using one later is an error that says so. Scopes form one stack: no coroutine may yield
--- inside one.

local ffi = require "ffi"

local own = {}
local handles = setmetatable({}, { __mode = "k" })   -- object -> cdata, while it lives
local kinds = setmetatable({}, { __mode = "k" })     -- object -> "tensor", "model", ...
local ended = setmetatable({}, { __mode = "k" })     -- object -> what ended it
local kept = setmetatable({}, { __mode = "k" })      -- object -> true: scopes leave it alone
local scopes = {}

--- Makes `object` the owner of `handle`, which `free` releases.
--- @param kind string what messages call it: "tensor", "model"
function own.adopt(object, handle, free, kind)
  handles[object] = ffi.gc(handle, free)
  kinds[object] = kind
  local scope = scopes[#scopes]
  if scope then scope[#scope + 1] = { object, free } end
  return object
end

--- @return cdata? handle, string? ended what freed it
function own.handle(object)
  return handles[object], ended[object]
end

--- @return string? kind nil when it owns nothing
function own.kind(object)
  return kinds[object]
end

--- Frees now instead of when the collector gets to it. Freeing twice is harmless.
--- @param why? string ends the sentence "x was freed by …"
function own.free(object, free, why)
  local handle = handles[object]
  if handle == nil then return end
  handles[object], ended[object] = nil, why or "free"
  free(ffi.gc(handle, nil))
end

--- Lets an object outlive the scopes it is in; the collector or `free` ends it.
function own.keep(object)
  kept[object] = true
  return object
end

--- @return integer depth how many scopes are open
function own.depth()
  return #scopes
end

local function close(name, ok, ...)
  local scope = table.remove(scopes)
  local outer = scopes[#scopes]
  local returned = {}
  for i = 1, ok and select("#", ...) or 0 do
    local value = select(i, ...)
    if value ~= nil and value == value then returned[value] = true end
  end
  for _, entry in ipairs(scope) do
    local object, free = entry[1], entry[2]
    if returned[object] then
      if outer then outer[#outer + 1] = entry end
    elseif not kept[object] then
      own.free(object, free, name)
    end
  end
  if not ok then error((...), 0) end
  return ...
end

--- Runs `fn` and frees every object it made, save those it returns. Also when it fails.
--- @param name string ends the sentence "x was freed by …"
function own.scope(name, fn)
  scopes[#scopes + 1] = {}
  return close(name, xpcall(fn, own.on_error))
end

--- What errors pass through on their way out of a scope; the host puts its traceback here.
function own.on_error(message)
  return message
end

return own
