--- Supervised fine-tuning: trains drawing on those of the model's own images that its own
--- understanding accepts. Nothing else is taught, and nobody else is asked.
---
---     tain recipes/sft.lua --model recipes/blocks/model --prompts train.jsonl --out runs/sft
---
--- With --heldout and --judge every epoch is measured, and a guard warns when the model likes its
--- images better while the outside judge likes them less. The trained model is in OUT/model; look
--- at the run with `tain report OUT`.

local tain = require("tain").api "1"

local opt = tain.options(tain.shared "training rules run")

local run = tain.run { out = opt.out, resume = opt.resume, options = opt, model = opt.model }
local model = tain.load(opt.model)
local watch = tain.watch(model, run, { heldout = opt.heldout, guidance = opt.heldout_guidance,
  judge = opt.judge and require(opt.judge .. ".outside") })
watch:round(0)

local judged = tain.judge(model, tain.jsonl(opt.prompts, { "prompt" }),
  { images = opt.images, seed = opt.seed, guidance = opt.guidance, run = run, label = "drawing" })
local data, pool = tain.approved(judged, tain.rules(opt))
tain.record(run, 0, judged, data, pool)

local trainer = tain.trainer(model, run, { lr = opt.lr, batch = opt.batch, seed = opt.seed,
  every = opt.every })
for epoch = 1, opt.epochs do
  trainer:epoch(data, function(batch)
    return -model:logprob(batch.prompt, batch.image, { per = "token" }):mean()
  end)
  watch:round(epoch)
end

trainer:save(opt.out .. "/model")
watch:show()
run:close()
