--- A preference loss of one's own: a hinge that asks for more where understanding is surer.
---
---     tain recipes/prefer.lua --model recipes/blocks/model --prompts train.jsonl --out runs/mine
---
--- It needs no reference. Nothing around the loss knows which loss it is: copy this file and write
--- another.

local tain = require("tain").api "1"

local opt = tain.options(tain.shared("training rules run", {
  lr     = { "number", default = 3e-5, min = 0, help = "learning rate" },
  anchor = { "number", default = 1, min = 0, help = "weight of staying likely at all" },
  pairs  = { "integer", default = 4, min = 1, help = "pairs a prompt, surest against surest" },
  batch  = { "integer", default = 8, min = 1, help = "pairs a step: few, for pairs are few" },
}))

-- chosen and rejected: log-probability a code, [batch]; surer: difference of scores, [batch].
local function preference(chosen, rejected, surer)
  local short = (surer - (chosen - rejected)):relu()
  return short:mean() - opt.anchor * chosen:mean()
end

local run = tain.run { out = opt.out, resume = opt.resume, options = opt, model = opt.model }
local model = tain.load(opt.model)
local watch = tain.watch(model, run, { heldout = opt.heldout, guidance = opt.heldout_guidance,
  judge = opt.judge and require(opt.judge .. ".outside") })
watch:round(0)

local judged = tain.judge(model, tain.jsonl(opt.prompts, { "prompt" }),
  { images = opt.images, seed = opt.seed, guidance = opt.guidance, run = run, label = "drawing" })
local ranked, pool = tain.preferences(judged, tain.rules(opt))
tain.record(run, 0, judged, ranked, pool)

local trainer = tain.trainer(model, run, { lr = opt.lr, batch = opt.batch, seed = opt.seed,
  every = opt.every })
for epoch = 1, opt.epochs do
  trainer:epoch(ranked, function(batch)
    local chosen   = model:logprob(batch.prompt, batch.chosen, { per = "token" })
    local rejected = model:logprob(batch.prompt, batch.rejected, { per = "token" })
    return preference(chosen, rejected, tain.tensor(batch.surer))
  end)
  watch:round(epoch)
end

trainer:save(opt.out .. "/model")
watch:show()
run:close()
