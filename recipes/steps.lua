--- The loop one stage at a time, for a room with a projector: each stage says in two sentences what
--- happens and why, shows it, and waits.
---
---     tain recipes/steps.lua
---     tain recipes/steps.lua --auto 6 --prompt "a red circle to the left of a blue square"
---
--- Enter goes on, q ends; --auto SECONDS goes on by itself. recipes/lesson.md is a lesson of 45
--- minutes around it. What was shown is kept in --out: `tain report`, `tain explain` and
--- `tain recipes/lesson.lua` go on from there.

local tain = require("tain").api "1"
local prompts = require "blocks.prompt_file"
local exact = require "blocks.outside"

local opt = tain.options(tain.shared("seed above below", {
  model  = { "model", default = "recipes/blocks/model", help = "model directory" },
  out    = { "path", new = true, optional = true, help = "the run's folder; default runs/steps, runs/steps-2, …" },
  prompt = { "string", optional = true, help = "this prompt of the blocks world instead of random ones" },
  count  = { "integer", default = 4, min = 1, help = "prompts" },
  images = { "integer", default = 8, min = 2, max = 64, help = "candidates a prompt" },
  steps  = { "integer", default = 10, min = 1, help = "steps of training" },
  lr     = { "number", default = 1e-4, min = 0, help = "learning rate" },
  beta   = { "number", default = 0.1, min = 1e-9, help = "of DPO: less goes farther from the start" },
  auto   = { "number", optional = true, min = 0, help = "seconds a stage; without it, Enter goes on" },
}))

local function say(text, ...) tain.say(select("#", ...) > 0 and text:format(...) or text) end

local out = opt.out or tain.fresh "runs/steps"
local run = tain.run { out = out, options = opt, model = opt.model }

local number = 0
local function stage(title, text)
  if number > 0 and not tain.pause(opt.auto) then
    run:close()
    os.exit(0, true)
  end
  number = number + 1
  say("\n== %d. %s ==\n%s\n", number, title, text)
end

local right = { [true] = "right", [false] = "wrong" }
local said = { accepted = "yes", rejected = "no", unclear = "neither yes nor no" }

-- Pictures of a prompt in a row, each with some words below.
local function show(each, words)
  local captions = {}
  for i, one in ipairs(each.all) do captions[i] = words(one) end
  say('"%s"', each.prompt)
  local pictures = {}
  for i, one in ipairs(each.all) do pictures[i] = one.image end
  tain.show(pictures, { captions = captions, across = 8 })
  return captions
end

local function accepted(judged)
  local k, n = 0, 0
  for _, each in ipairs(judged) do k, n = k + #each.accepted, n + #each.all end
  return k, n
end

local function truly(judged)
  local k = 0
  for _, each in ipairs(judged) do
    for _, one in ipairs(each.all) do
      if exact(one.image, each.prompt) then k = k + 1 end
    end
  end
  return k
end

local model = tain.load(opt.model)
local items = opt.prompt and { { prompt = opt.prompt } } or prompts.sample(opt.count, "train", opt.seed)

stage("The prompts", "A prompt is an order in words. The model has to draw it, and nobody shows it how.")
for _, item in ipairs(items) do say('   "%s"', item.prompt) end

stage("Drawing", ("The model draws %d candidates of each prompt, code by code, each by other random numbers.\n"
  .. "Equal seeds give equal pictures, so that we can ask for the same ones after training."):format(opt.images))
local judged = tain.judge(model, items, { images = opt.images, seed = opt.seed, label = "drawing",
  run = run })
for _, each in ipairs(judged) do show(each, function(one) return ("%d"):format(one.index) end) end

stage("Judging", "Now its other half looks: of every picture it is asked whether it shows the prompt, and\n"
  .. "p(yes) is how probable it finds the word yes. Nobody tells it which picture is its own.")
for _, each in ipairs(judged) do
  show(each, function(one) return ("%d: %.2f"):format(one.index, one.p_yes) end)
  for _, one in ipairs(each.all) do
    say("   %2d  p(yes) %.3f  %-20s %s", one.index, one.p_yes, ("#"):rep(math.floor(20 * one.p_yes + 0.5)),
      said[one.verdict])
  end
end

stage("The gap", "A model that were one whole would accept whatever it draws. The share that it rejects is\n"
  .. "called non-unification, and it is all that this method lives on.")
local yes, all = accepted(judged)
say("   It accepts %d of %d. Non-unification: %s.", yes, all, tain.measure.show(tain.measure.share(all - yes, all)))

stage("Choosing", "The surest accepted picture of a prompt is paired with the surest rejected one: more like\n"
  .. "this, less like that. A prompt without an accepted picture was too hard; it waits in the pool.")
local ranked, pool = tain.preferences(judged, { above = opt.above, below = opt.below, pairs = 2 })
tain.record(run, 0, judged, ranked, pool)
local chosen = {}
for _, pair in ipairs(ranked) do
  chosen[pair.prompt] = true
  say('   "%s": %d (p %.3f) is chosen over %d (p %.3f)', pair.prompt, pair.chosen_index, pair.p_chosen,
    pair.rejected_index, pair.p_rejected)
end
for _, each in ipairs(judged) do
  if not chosen[each.prompt] then
    say('   "%s": no pair; %d accepted, %d rejected, %d answered neither%s', each.prompt, #each.accepted,
      #each.rejected, #each.unclear, #each.accepted == 0 and ". It waits." or ".")
  end
end

stage("The truth", "In the blocks world a program can read the pixels and knows the truth. The model never\n"
  .. "hears of it; we look, to see whether its own judgement deserves to be trusted.")
local agree = 0
for _, each in ipairs(judged) do
  show(each, function(one)
    local truth = exact(one.image, each.prompt) == true
    if truth == (one.verdict == "accepted") then agree = agree + 1 end
    return ("%d: %s"):format(one.index, right[truth])
  end)
end
say("   Truly right: %d of %d. Its own verdict is right about %s.", truly(judged), all,
  tain.measure.show(tain.measure.share(agree, all)))

if #ranked == 0 then
  say("\nThere is no prompt with both an accepted and a rejected picture, so there is nothing to learn\n"
    .. "from. Try another --seed, more --count, or more --images.")
  run:close()
  return
end

stage("Training", ("DPO makes the chosen picture more probable relative to the rejected one, compared with the\n"
  .. "model as it was. %d steps; the loss begins at log 2 = 0.693, where nothing has moved yet."):format(opt.steps))
tain.method.reference(model, ranked)
local optimizer = tain.adamw(model:parameters())
local batch = {}
for _, name in ipairs { "prompt", "chosen", "rejected", "ref_chosen", "ref_rejected" } do
  batch[name] = tain.column(ranked, name)
end
for step = 1, opt.steps do
  local margin
  local loss = optimizer:step(function()
    local value, metrics = tain.method.preference(tain.method.likelihoods(model, batch), { beta = opt.beta })
    margin = metrics["rewards/margins"]
    return value
  end, { lr = opt.lr })
  run.global_step = step
  run:metrics { loss = loss, grad_norm = optimizer:norm(), ["rewards/margins"] = margin, learning_rate = opt.lr }
end
say("\n   log-ratio: how much more probable the chosen picture is than the rejected one, as a logarithm.\n")
local after = {}
for i, pair in ipairs(ranked) do
  after[i] = { prompt = pair.prompt, chosen = pair.chosen, rejected = pair.rejected }
end
tain.method.reference(model, after)
for i, pair in ipairs(ranked) do
  say('   %2d  %8.2f before, %8.2f after   "%s"', i, pair.ref_chosen - pair.ref_rejected,
    after[i].ref_chosen - after[i].ref_rejected, pair.prompt)
end

stage("Drawing again", "The same prompts at the same seeds, by the model as it is now. What changes from picture\n"
  .. "to picture is what training did, not chance.")
local again = tain.judge(model, items, { images = opt.images, seed = opt.seed, label = "drawing" })
for i, each in ipairs(again) do
  show(judged[i], function() return "before" end)
  show(each, function(one) return said[one.verdict] end)
end
local now = accepted(again)
say("   It accepted %d of %d and now accepts %d. Truly right were %d, and now are %d.", yes, all, now,
  truly(judged), truly(again))
say("   That is %d prompts and %d steps: a lesson, not a measurement. recipes/demo.lua measures.", #items, opt.steps)

stage("The pool", "What was too hard is tried again when the model has become better: curriculum replay.\n"
  .. "Nobody orders the prompts by difficulty; the model's own failures do.")
local recovered = 0
for i, each in ipairs(judged) do
  if #each.accepted == 0 then
    say('   "%s" waited and %s', each.prompt, #again[i].accepted > 0 and "can be used now." or "waits on.")
    if #again[i].accepted > 0 then recovered = recovered + 1 end
  end
end
say("   Waiting: %d prompts. Recovered: %d.", #pool, recovered)

model:save(out .. "/model")
run:close()
say("\nIn words and pictures: tain report %s. One pair: tain explain %s 1. Exercises: tain recipes/lesson.lua --run %s",
  out, out, out)
