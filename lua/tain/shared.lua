--- The options that recipes share, so that one word means one thing in all of them.
---
---     local opt = tain.options(tain.shared("model prompts images seed", {
---       lr = { "number", default = 1e-4, min = 0 },
---     }))

local check = require "tain.check"
local judge = require "tain.judge"

local shared = {}

local specs = {
  model = { "model", help = "folder of a model, or its name in the cache of Hugging Face" },
  prompts = { "path", help = 'prompts: a line {"id": …, "prompt": …, "category": …} each' },
  heldout = { "path", optional = true,
    help = "held-out prompts, drawn after every epoch at the same seeds" },
  judge = { "string", optional = true,
    help = "outside judge that measures and warns: blocks, or NAME for NAME/outside.lua" },
  out = { "path", new = true, help = "the run's folder" },
  resume = { "boolean", help = "go on with the run in --out" },
  images = { "integer", default = 8, min = 1, max = 4095, help = "candidates a prompt" },
  guidance = { "number", optional = true, min = 0, help = "classifier-free guidance; 1: none; if none, the model's own" },
  heldout_guidance = { "number", default = 1, min = 0,
    help = "guidance of held-out drawings; 1: none, so that what guidance adds is there to be learnt" },
  seed = { "integer", default = 1, min = 0 },
  epochs = { "integer", default = 4, min = 0 },
  batch = { "integer", default = 64, min = 1, help = "images a step" },
  lr = { "number", default = 1e-4, min = 0, help = "learning rate" },
  every = { "integer", default = 50, min = 1, help = "steps between checkpoints" },
}
for name, spec in pairs(judge.rule_options) do specs[name] = spec end

-- What several options are called together.
local groups = {
  rules = "select top above below",
  run = "out resume every",
  training = "model prompts heldout judge images guidance heldout_guidance seed epochs batch lr",
}

--- Options by their names, with one's own added; one's own win.
---
--- @param names string names of options or groups, with spaces between them
--- @param own? table
--- @return table # for tain.options
function shared.shared(names, own)
  local result = {}
  for name in names:gmatch("%S+") do
    for one in (groups[name] or name):gmatch("%S+") do
      if not specs[one] then
        check.raise("shared: there is no shared option %s%s", one, check.suggest(one, specs))
      end
      result[one] = specs[one]
    end
  end
  for name, spec in pairs(own or {}) do result[name] = spec end
  return result
end

return shared
