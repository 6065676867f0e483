--- What `require "tain"` gives: every name a recipe may use, each loaded when it is first used.
---
--- A module that gives recipes something stands here with the names it gives.

require "tain.cdef"
local check = require "tain.check"

local parts = {
  api = "api",
  data = "jsonl batches column contains sorted interrupted",
  evaluate = "evaluate summary",
  guard = "guard",
  image = "image",
  improve = "improve record",
  judge = "judge approved preferences rules",
  log = "log say",
  model = "load create LANGUAGE read_verdict",
  options = "options",
  progress = "progress",
  random = "random",
  pause = "pause",
  run = "run fresh",
  shared = "shared",
  terminal = "show",
  trainer = "trainer",
  watch = "watch",
  tensor = "tensor zeros scope keep no_grad backward",
  optim = "adamw",
  device = "device",
}
-- whole modules: tain.json.decode
local modules = { json = true, loss = true, measure = true, method = true, schedule = true, sheet = true }

local where = {}
for part, names in pairs(parts) do
  for name in names:gmatch("%S+") do where[name] = part end
end

local names = {}   -- for the prompt, which completes them
for name in pairs(where) do names[name] = true end
for name in pairs(modules) do names[name] = true end

return setmetatable({}, {
  names = names,
  __index = function(tain, name)
    local part = where[name]
    if modules[name] then
      rawset(tain, name, require("tain." .. name))
      return tain[name]
    end
    if not part then
      local renamed = require("tain.api").renamed[name]
      if renamed then return tain[require("tain.api").warn(name, renamed)] end
      check.raise("tain has no %s%s", tostring(name), check.suggest(name, where))
    end
    local value = require("tain." .. part)[name]
    rawset(tain, name, value)
    return value
  end,
  __newindex = function(_, name)
    check.raise("tain.%s: nothing can be added to tain", tostring(name))
  end,
  __metatable = false,
})
