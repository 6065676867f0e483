--- Curriculum replay: prompts the model could not use at first are tried again when it is better.
---
---     tain recipes/curriculum.lua --model recipes/blocks/model --prompts train.jsonl --out runs/c
---
--- A prompt without a single accepted image waits in the pool. --replay 3 tries the whole pool
--- again at the beginning of epoch 3; --when 0.4 does so in any epoch, after the first, at whose
--- beginning the model accepts 40 % of new images of waiting prompts. Either is a function of the
--- state of the loop: write another. --method dpo learns from pairs, as recipes/dpo.lua does.

local tain = require("tain").api "1"

local opt = tain.options(tain.shared("training rules run", {
  method = { "choice", choices = { "sft", "dpo" }, default = "sft" },
  images = { "integer", default = 2, min = 1, help = "candidates a prompt" },
  replay = { "integers", default = { 3 }, min = 1, help = "epochs that begin by trying again" },
  when   = { "number", optional = true, min = 0, max = 1, help = "or: at this acceptance" },
  lr     = { "number", optional = true, min = 0, help = "default 1e-4 for sft, 3e-5 for dpo" },
  beta   = { "number", default = 0.1, min = 1e-9, help = "of dpo" },
  nll    = { "number", default = 0.2, min = 0, help = "of dpo" },
  pairs  = { "integer", default = 4, min = 1, help = "of dpo, a prompt" },
  batch  = { "integer", optional = true, min = 1, help = "a step; default 64 images for sft, 8 pairs for dpo" },
}))

local function policy(state)   -- epoch, pool, replays, acceptance()
  if opt.when then return state.epoch > 1 and state.acceptance() >= opt.when end
  return tain.contains(opt.replay, state.epoch)
end

local rules = tain.rules(opt)
local method
if opt.method == "sft" then
  rules.pairs = nil
  method = tain.method.sft(rules)
else
  rules.beta, rules.nll = opt.beta, opt.nll
  method = tain.method.dpo(rules)
end

local run = tain.run { out = opt.out, resume = opt.resume, options = opt, model = opt.model }
local model = tain.load(opt.model)
local watch = tain.watch(model, run, { heldout = opt.heldout, guidance = opt.heldout_guidance,
  judge = opt.judge and require(opt.judge .. ".outside") })
watch:round(0)

local result = tain.improve(model, run, {
  method = method, prompts = tain.jsonl(opt.prompts, { "prompt" }), replay = policy, watch = watch,
  images = opt.images, epochs = opt.epochs, batch = opt.batch or (opt.method == "sft" and 64 or 8), every = opt.every,
  lr = opt.lr or (opt.method == "sft" and 1e-4 or 3e-5), seed = opt.seed, guidance = opt.guidance,
  start = function() return tain.load(opt.model) end,
})

for _, replay in ipairs(result.replays) do
  tain.log { "epoch", "recovered", epoch = replay.epoch, recovered = tain.measure.show(replay.share) }
end
result.trainer:save(opt.out .. "/model")
watch:show()
run:close()
