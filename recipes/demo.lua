--- The whole loop on the embedded model, in a few minutes: it draws, judges its own drawings, trains
--- on what it accepted, tries again what was too hard, and is measured by a judge that cannot be
--- fooled, because the world it draws is made of blocks.
---
---     tain recipes/demo.lua
---
--- At the end it names a page of pictures and curves. recipes/sft.lua is the same loop without words.

local tain = require("tain").api "1"
local prompts = require "blocks.prompt_file"

local opt = tain.options(tain.shared("seed", {
  model   = { "model", default = "recipes/blocks/model", help = "model directory" },
  out     = { "path", new = true, optional = true, help = "the run's folder; default runs/demo, runs/demo-2, …" },
  count   = { "integer", default = 400, min = 1, help = "prompts to learn from" },
  heldout = { "integer", default = 160, min = 1, help = "prompts to be measured on" },
  images  = { "integer", default = 4, min = 1, max = 4095, help = "candidates a prompt" },
  epochs  = { "integer", default = 4, min = 1 },
  batch   = { "integer", default = 16, min = 1, help = "images a step" },
  lr      = { "number", default = 2e-4, min = 0 },
}))

local function say(text, ...) tain.say(text:format(...)) end

local out = opt.out or tain.fresh "runs/demo"
local run = tain.run { out = out, options = opt, model = opt.model }
local model = tain.load(opt.model)
local watch = tain.watch(model, run, { heldout = prompts.sample(opt.heldout, "heldout", 1),
  judge = require "blocks.outside" })

say("1. How good is it now? It draws %d prompts that it has never seen and judges what it drew.", opt.heldout)
say("   An exact judge, which reads pixels, knows the truth. The model is never told.")
watch:round(0)

say("2. It draws %d candidates for each of %d other prompts, with guidance %g, accepts or rejects each,", opt.images,
  opt.count, model.guidance)
say("   and trains on those it accepts. Before epoch 3 it tries again what it rejected altogether.")
local result = tain.improve(model, run, {
  method = tain.method.sft(), prompts = prompts.sample(opt.count, "train", opt.seed), images = opt.images,
  epochs = opt.epochs, batch = opt.batch, lr = opt.lr, seed = opt.seed, watch = watch,
  replay = function(state) return state.epoch == 3 end,
})

say("3. The same prompts at the same seeds, before training and after each epoch:")
watch:show()
for _, replay in ipairs(result.replays) do
  say("   Of the prompts that waited, it could now use %s.", tain.measure.show(replay.share))
end
result.trainer:save(out .. "/model")
run:close()
say("Look at %s/report.html", out)
