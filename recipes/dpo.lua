--- Direct preference optimisation: what the model's own understanding accepts over what it rejects.
---
---     tain recipes/dpo.lua --model recipes/blocks/model --prompts train.jsonl --out runs/dpo
---
--- --loss takes any of tain's preference losses by name (`tain help loss`); --beta is that loss's
--- own unless given. DPO gains quickly and deceives itself easily: use --heldout and --judge, and
--- heed the guard. The trained model is in OUT/model; look at the run with `tain report OUT`.

local tain = require("tain").api "1"

local opt = tain.options(tain.shared("training rules run", {
  lr    = { "number", default = 3e-5, min = 0, help = "learning rate" },
  loss  = { "choice", choices = tain.loss.names(), default = "sigmoid" },
  beta  = { "number", optional = true, min = 1e-9, help = "less: farther from the start (0.1)" },
  nll   = { "number", default = 0.2, min = 0, help = "weight of the chosen image's likelihood" },
  pairs = { "integer", default = 4, min = 1, help = "pairs a prompt, surest against surest" },
  batch = { "integer", default = 8, min = 1, help = "pairs a step: few, for pairs are few" },
}))

local run = tain.run { out = opt.out, resume = opt.resume, options = opt, model = opt.model }
local model = tain.load(opt.model)
local watch = tain.watch(model, run, { heldout = opt.heldout, guidance = opt.heldout_guidance,
  judge = opt.judge and require(opt.judge .. ".outside") })
watch:round(0)

local judged = tain.judge(model, tain.jsonl(opt.prompts, { "prompt" }),
  { images = opt.images, seed = opt.seed, guidance = opt.guidance, run = run, label = "drawing" })
local ranked, pool = tain.preferences(judged, tain.rules(opt))
tain.record(run, 0, judged, ranked, pool)

-- The reference is the model as it is now. Its opinion of a pair is computed once and travels with
-- the pair, so no second copy of the weights is needed.
tain.method.reference(model, ranked, { run = run })

local trainer = tain.trainer(model, run, { lr = opt.lr, batch = opt.batch, seed = opt.seed,
  every = opt.every })
for epoch = 1, opt.epochs do
  trainer:epoch(ranked, function(batch)
    local columns = tain.method.likelihoods(model, batch)   -- chosen, ref_chosen, …
    return tain.method.preference(columns, { loss = opt.loss, beta = opt.beta, nll = opt.nll })
  end)
  watch:round(epoch)
end

trainer:save(opt.out .. "/model")
watch:show()
run:close()
