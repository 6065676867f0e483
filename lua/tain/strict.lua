--- The world a recipe runs in: Lua's library, and globals that must exist before they are used.
---
--- Reading or setting an undefined global is an error, because it is nearly always a misspelt
--- local. Under --sandbox what reaches the system is left out. That is a seat belt and not a
--- security boundary: through `getfenv` a recipe would reach our modules' `require` and so the FFI,
--- and `loadstring` accepts bytecode, which nothing verifies.

local check = require "tain.check"

local strict = {}

local safe = {}   -- what a sandbox keeps
for name in ([[assert error ipairs next pairs pcall print rawequal rawget rawset rawlen select
  setmetatable getmetatable tonumber tostring type unpack xpcall _VERSION collectgarbage
  coroutine math string table bit]]):gmatch("%S+") do safe[name] = true end

local function copy(from)
  local to = {}
  for name, value in pairs(from) do to[name] = value end
  return to
end

--- Makes an environment.
--- @param sandbox boolean
--- @param require_ function the environment's own `require`
function strict.environment(sandbox, require_)
  local env = {}
  for name, value in pairs(_G) do
    if not sandbox or safe[name] then
      env[name] = type(value) == "table" and name ~= "package" and name ~= "debug" and copy(value)
        or value
    end
  end
  env._G, env.require = env, require_
  if sandbox then
    env.os = { time = os.time, clock = os.clock, date = os.date }
    env.string.dump = nil
    function env.load(chunk, name, _, environment)
      return load(chunk, name, "t", environment or env)
    end
  end
  return setmetatable(env, {
    __index = function(_, name)
      check.raise("'%s' is not defined%s", tostring(name), check.suggest(name, env))
    end,
    __newindex = function(_, name)
      check.raise("'%s' is not defined: write local %s to make it", tostring(name), tostring(name))
    end,
    __metatable = false,
  })
end

return strict
