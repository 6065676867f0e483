--- The paper's whole experiment on the embedded model, for several seeds: what self-improvement does
--- to drawing (Gen), to judging (Und) and to the gap between them (Non), for the model as it was
--- (pretrained), SFT, DPO, and both with curriculum replay (C-SFT, C-DPO).
---
---     tain recipes/paper.lua --seeds 3
---     tain recipes/paper.lua --out runs/quick --quick
---
--- Candidates are drawn with --guidance, held-out prompts without, so that what guidance adds counts as
--- something to be learnt. Prints three tables by category with counts and 95 % intervals, and: whose
--- fault rejected images are; discarded prompts recovered when both halves have improved, or only one;
--- whether a category gains more the wider its gap was; the learning dynamics, with gradients of the
--- model itself. All of it is in OUT/paper.json too, and every training run under OUT has a report of
--- its own. It goes on where it was stopped with --resume.

local tain = require("tain").api "1"

local opt = tain.options(tain.shared("guidance heldout_guidance batch rules", {
  model    = { "model", default = "recipes/blocks/model", help = "model directory" },
  out      = { "path", new = true, optional = true, help = "folder for everything; default runs/paper, runs/paper-2, …" },
  resume   = { "boolean", help = "go on with what is in --out" },
  seeds    = { "integer", default = 3, min = 1, help = "how many times, with seeds 1, 2, …" },
  count    = { "integer", default = 800, min = 1, help = "prompts to learn from" },
  heldout  = { "integer", default = 480, min = 1, help = "held-out prompts, one image each" },
  images   = { "integer", default = 4, min = 2, max = 4095, help = "candidates a prompt" },
  epochs   = { "integer", default = 4, min = 1 },
  replay   = { "integers", default = { 3 }, min = 1, help = "epochs that begin by trying again" },
  samples  = { "integer", default = 24, min = 1, help = "samples whose gradients are compared" },
  quick    = { "boolean", help = "everything, but too small to mean anything: for tests" },
}))
local size = opt.quick and { seeds = 1, count = 8, heldout = 8, images = 2, epochs = 2, samples = 2, replay = { 2 } }
  or { seeds = opt.seeds, count = opt.count, heldout = opt.heldout, images = opt.images, epochs = opt.epochs,
       samples = opt.samples, replay = opt.replay }

if opt.resume and not opt.out then error("--resume needs --out, the folder to go on with", 0) end
opt.out = opt.out or tain.fresh "runs/paper"

local trial = require "paper.trial"
local dynamics = require "paper.dynamics"
local recovery = require "paper.recovery"
local tables = require "paper.tables"

local book = tables.new()
for seed = 1, size.seeds do
  local one = trial.begin(opt, size, seed)      -- draws, judges: what all methods learn from
  book:add(seed, "pretrained", one.first)
  for _, method in ipairs { "sft", "csft", "dpo", "cdpo" } do
    local made = trial.train(one, method)       -- trains a fresh copy, then looks at it
    book:add(seed, method, made)
    if method == "sft" then
      book.recovery[seed] = recovery.measure(one, made)
      book.dynamics[seed] = dynamics.measure(one, made)
    end
    trial.done(made)
  end
  trial.done(one)
end
book:write(opt.out .. "/paper.json", size)
book:show()
