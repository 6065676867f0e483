--- One seed of the experiment: what the model draws and thinks at first, and each method on that.
---
--- Every part is a run of its own below OUT/seed-N, so each can be looked at with `tain report`, and
--- what is done is not done again. All methods learn from the same candidates.

local tain = require "tain"
local exam = require "blocks.exam"
local files = require "tain.files"
local outside = require "blocks.outside"
local prompts = require "blocks.prompt_file"

local trial = {}

-- Pairs are few, so DPO takes small batches of them: at its rate, steps are what moves the model. An image has
-- some 10 nats here, so it takes a weight of 0.2 for the likelihood to hold the model where it is; with 0.02
-- DPO unlearns whole categories (recipes/LOG.md).
local DPO = { lr = 3e-5, batch = 8, beta = 0.1, nll = 0.2, pairs = 4 }
local SFT = { lr = 1e-4 }

local function open(one, name, options)
  local folder = ("%s/seed-%d/%s"):format(one.opt.out, one.seed, name)
  local there = files.exists(folder .. "/events.jsonl")
  if there and not one.opt.resume then
    error(folder .. " is there already; --resume goes on with it", 0)
  end
  files.make_folder(("%s/seed-%d"):format(one.opt.out, one.seed))
  return tain.run { out = folder, resume = there, options = options, model = one.opt.model, seed = one.seed }
end

-- Held-out prompts at seeds of their own, judged by the model and by the exact judge.
local function look(one, model, run, key)
  return tain.evaluate(model, one.heldout, { seed = one.seed, guidance = one.opt.heldout_guidance,
    outside = outside, run = run, key = key, label = "looking" })
end

-- How often a model is right about clean pictures of held-out prompts.
local function clean(one, model, run)
  local counted = run:once("clean", function()
    local right, of = exam.judging(model, exam.questions(#one.heldout, one.seed))
    return { right = right, of = of }
  end)
  return tain.measure.share(counted.right, counted.of)
end

local function column(list, name)
  local values = {}
  for i, each in ipairs(list) do values[i] = each[name] end
  return values
end

--- Draws and judges with the model as it is: held-out prompts, and the candidates to learn from.
---
--- @return table trial
function trial.begin(opt, size, seed)
  local one = { opt = opt, size = size, seed = seed, model = tain.load(opt.model),
    heldout = prompts.sample(size.heldout, "heldout", 1), prompts = prompts.sample(size.count, "train", seed) }
  one.run = open(one, "pretrained", { seed = seed, count = size.count, images = size.images })
  local looks = look(one, one.model, one.run, "heldout")
  one.judged = tain.judge(one.model, one.prompts, { images = size.images, seed = seed,
    guidance = opt.guidance, run = one.run, key = "candidates", label = "drawing" })
  one.first = { looks = looks, verdicts = column(looks, "verdict"), clean = clean(one, one.model, one.run) }
  one.run:close { report = false }
  return one
end

local function method_of(opt, name)
  local rules = tain.rules(opt)
  if name == "sft" then return tain.method.sft(rules), SFT.lr, opt.batch end
  rules.select, rules.top = nil, nil
  rules.pairs, rules.beta, rules.nll = DPO.pairs, DPO.beta, DPO.nll
  return tain.method.dpo(rules), DPO.lr, DPO.batch
end

--- Trains a fresh copy of the model by a method, and looks at what has become of it.
---
--- @param name "sft"|"csft"|"dpo"|"cdpo"
--- @return table made
function trial.train(one, name)
  local opt, size = one.opt, one.size
  local method, lr, batch = method_of(opt, name:gsub("^c", ""))
  local made = { name = name, model = tain.load(opt.model) }
  local run = open(one, name, { seed = one.seed, method = name, lr = lr, count = size.count, images = size.images,
    epochs = size.epochs, batch = batch, replay = name:find("^c") and size.replay or nil })
  local guard = tain.guard()
  guard:see((tain.summary(one.first.looks)))

  local result = tain.improve(made.model, run, {
    method = method, prompts = one.prompts, judged = one.judged, images = size.images, epochs = size.epochs,
    batch = batch, lr = lr, seed = one.seed, guidance = opt.guidance,
    replay = name:find("^c") and function(state) return tain.contains(size.replay, state.epoch) end or nil,
    start = function() return one.model end,
  })
  made.replays, made.data, made.pool = result.replays, result.data, result.pool
  made.looks = look(one, made.model, run, "heldout")
  -- Understanding is compared on the same pictures: those the model drew before training.
  made.verdicts = run:once("verdicts", function()
    local images = column(one.first.looks, "image")
    return column(made.model:score(images, column(one.first.looks, "prompt")), "verdict")
  end)
  made.clean = clean(one, made.model, run)
  made.warnings = guard:see((tain.summary(made.looks)))
  for _, text in ipairs(made.warnings) do
    run:event { kind = "warning", text = text }
    tain.log { warning = text, method = name, seed = one.seed }
  end
  made.run = run
  return made
end

--- Ends what begin or train began, and frees the model.
function trial.done(part)
  if part.name then part.run:close() end
  part.model:free()
end

return trial
