--- Self-improvement, the whole loop: a model draws, judges what it drew, trains on its judgement, and
--- when a policy says so tries again what it could not use.
---
---     tain.improve(model, run, { method = tain.method.sft(), prompts = prompts, images = 8,
---       epochs = 4, lr = 1e-4, replay = function(state) return state.epoch == 3 end })

local check = require "tain.check"
local judge = require "tain.judge"
local log = require "tain.log"
local measure = require "tain.measure"
local trainers = require "tain.trainer"

local improve = {}

local options_of = {
  method = { "table" },
  prompts = { "table" },
  images = { "integer", default = 8, min = 1 },
  seed = { "integer", default = 1, min = 0 },
  guidance = { "number", optional = true, min = 0 },
  epochs = { "integer", default = 4, min = 0 },
  batch = { "integer", default = 64, min = 1 },
  lr = { "number", min = 0 },
  every = { "integer", default = 50, min = 1 },
  replay = { "function", default = function() return false end },
  start = { "function", optional = true },
  judged = { "table", optional = true },
  watch = { "table", optional = true },
}

-- ---- What a run is told of candidates ----

local SHOWN = 8   -- prompts, and pairs, of a round whose images are kept for the report

local function tell_candidates(run, judged, round)
  for i, each in ipairs(judged) do
    for _, one in ipairs(each.all) do
      run:event { kind = "candidate", round = round, prompt = one.prompt, id = one.id,
        category = one.category, seed = one.seed, stream = one.stream, own = one.verdict,
        p_yes = one.p_yes, image = i <= SHOWN and run:image(one.image) or nil }
    end
  end
end

local function tell_data(run, list, round)
  for i, one in ipairs(list) do
    if one.chosen then
      run:event { kind = "pair", round = round, prompt = one.prompt, id = one.id,
        p_chosen = one.p_chosen, p_rejected = one.p_rejected,
        chosen = i <= SHOWN and run:image(one.chosen) or nil,
        rejected = i <= SHOWN and run:image(one.rejected) or nil }
    end
  end
end

--- Puts judged candidates, what was made of them and what is left into a run's events.
---
--- @param run Run
--- @param round integer 0 at first, then one for each replay
--- @param judged table[] what tain.judge gave
--- @param list table[] what was chosen of them
--- @param pool table[] prompts that were not used
function improve.record(run, round, judged, list, pool)
  tell_candidates(run, judged, round)
  tell_data(run, list, round)
  run:event { kind = "pool", round = round, tried = #judged, recovered = #judged - #pool,
    waiting = #pool }
  log.log { "round", "prompts", "chosen", "waiting", round = round, prompts = #judged,
    chosen = #list, waiting = #pool }
end

-- ---- Policies ----

--- Replays at the beginning of these epochs.
---
--- @param epochs integer[]
--- @return function
function improve.at(epochs)
  return function(state)
    for _, epoch in ipairs(epochs) do
      if epoch == state.epoch then return true end
    end
    return false
  end
end

--- Replays when the model accepts at least this share of new images of waiting prompts.
---
--- @param share number
--- @return function
function improve.when_accepted(share)
  return function(state) return state.acceptance() >= share end
end

-- One new image each of up to 64 waiting prompts: how many are accepted.
local function acceptance(model, run, pool, options, epoch)
  local some = {}
  for i = 1, math.min(#pool, 64) do some[i] = pool[i] end
  local accepted = 0
  for _, each in ipairs(judge.judge(model, some, { seed = options.seed, round = 128 + epoch % 127,
      guidance = options.guidance, run = run, key = "acceptance " .. epoch })) do
    accepted = accepted + #each.accepted
  end
  return accepted / #some
end

-- ---- The loop ----

--- Runs the loop.
---
--- @param model Model is trained
--- @param run Run
--- @param options table method (see tain.method), prompts (items), images, seed, guidance, epochs,
---   batch, lr, every; replay: a function of { epoch, pool, replays, acceptance = function } that
---   says whether the epoch begins with trying the pool again; start: a function that gives the model
---   as it was before training; judged: first candidates that there are already; watch
--- @return table # { data =, pool =, trainer =, replays = list of { epoch, tried, recovered,
---   images, share } }
function improve.improve(model, run, options)
  options = check.options("improve", options, options_of)
  local method, watch = options.method, options.watch
  local drawing = { images = options.images, seed = options.seed, guidance = options.guidance,
    run = run, label = "drawing" }

  local judged = options.judged
  if not judged then
    drawing.key = "round 0"
    judged = judge.judge(model, options.prompts, drawing)
  end
  local list, pool = method.choose(judged)
  improve.record(run, 0, judged, list, pool)
  method.prepare(model, list, { run = run, key = "reference 0" })

  local trainer = trainers.trainer(model, run, { lr = options.lr, batch = options.batch,
    seed = options.seed, every = options.every })
  local replays = {}
  for epoch = 1, options.epochs do
    local state = { epoch = epoch, pool = pool, replays = #replays,
      acceptance = function() return acceptance(model, run, pool, options, epoch) end }
    if #pool > 0 and options.replay(state) then
      local round = #replays + 1
      drawing.round, drawing.key = round, "round " .. round
      local tried = judge.judge(model, pool, drawing)
      local more, left = method.choose(tried)
      improve.record(run, round, tried, more, left)
      if #more > 0 and options.start then
        method.prepare(options.start(), more, { run = run, key = "reference " .. round })
      else
        method.prepare(model, more, { run = run, key = "reference " .. round })
      end
      replays[round] = { epoch = epoch, tried = #pool, recovered = #pool - #left, images = #more,
        share = measure.share(#pool - #left, #pool) }
      for _, one in ipairs(more) do list[#list + 1] = one end
      pool = left
    end
    trainer:epoch(list, function(batch) return method.loss(model, batch) end)
    if watch then watch:round(epoch) end
  end
  return { data = list, pool = pool, replays = replays, trainer = trainer }
end

return improve
