--- Ways to learn from one's own verdicts: what of the judged candidates becomes data, and what the
--- loss of a batch is.
---
---     local method = tain.method.sft { select = "mixed" }
---     local data, pool = method.choose(judged)
---     method.prepare(start, data)          -- start: the model before training
---     local loss = method.loss(model, batch)
---
--- A method of one's own is such a table.

local check = require "tain.check"
local judge = require "tain.judge"
local losses = require "tain.loss"
local tensor = require "tain.tensor"

local method = {}

-- ---- Supervised fine-tuning ----

--- Likelihood of the accepted images.
---
--- @param rules? table those of tain.approved
--- @return table
function method.sft(rules)
  return {
    name = "sft",
    choose = function(judged) return judge.approved(judged, rules) end,
    prepare = function() end,
    loss = function(model, batch)
      return -model:logprob(batch.prompt, batch.image, { per = "token" }):mean()
    end,
  }
end

-- ---- Preferences ----

--- What a model thinks of pairs now: sets ref_chosen and ref_rejected of each. Nothing is kept of
--- the model but these numbers, so no second copy of its weights is needed later.
---
--- @param model Model
--- @param ranked table[] pairs of tain.preferences
--- @param options? table batch (64), run and key: with them a run keeps the result
function method.reference(model, ranked, options)
  options = check.options("reference", options, {
    batch = { "integer", default = 64, min = 1 },
    run = { "any", optional = true },
    key = { "string", default = "reference" },
  })
  for first = 1, #ranked, options.batch do
    local last = math.min(first + options.batch - 1, #ranked)
    local function fresh()
      local prompts, images = {}, {}
      for i = first, last do
        local pair = ranked[i]
        prompts[#prompts + 1], images[#images + 1] = pair.prompt, pair.chosen
        prompts[#prompts + 1], images[#images + 1] = pair.prompt, pair.rejected
      end
      return tensor.no_grad(function() return model:logprob(prompts, images):numbers() end)
    end
    local numbers = options.run and options.run:once(("%s/%d"):format(options.key, first), fresh)
      or fresh()
    for i = first, last do
      ranked[i].ref_chosen = numbers[2 * (i - first) + 1]
      ranked[i].ref_rejected = numbers[2 * (i - first) + 2]
    end
  end
end

--- The columns of a batch of pairs that tain.loss wants: log-probabilities of the chosen and the
--- rejected now and at first, and how many codes an image has.
---
--- @param model Model
--- @param batch table columns of pairs
--- @return table
function method.likelihoods(model, batch)
  local chosen = model:logprob(batch.prompt, batch.chosen)
  local rejected = model:logprob(batch.prompt, batch.rejected)
  local codes = #batch.chosen[1]:codes()
  return { chosen = chosen, rejected = rejected, ref_chosen = tensor.tensor(batch.ref_chosen),
    ref_rejected = tensor.tensor(batch.ref_rejected), len_chosen = codes, len_rejected = codes }
end

local function both(a, b) return tensor.class.concat({ a, b }, 0) end

-- KTO has no pairs: both images of each stand alone.
local function alone(columns)
  local n, label = columns.chosen:count(), {}
  for i = 1, 2 * n do label[i] = i <= n end
  return { label = label, logp = both(columns.chosen, columns.rejected),
    ref_logp = both(columns.ref_chosen, columns.ref_rejected) }
end

--- The loss of a batch of pairs, by name, with the likelihood of the chosen images added.
---
--- @param columns table what `likelihoods` gave
--- @param options? table loss ("sigmoid"), beta (the loss's own), nll (weight of the likelihood, 0)
--- @return Tensor loss a number
--- @return table metrics what trainers log
function method.preference(columns, options)
  options = check.options("preference", options, {
    loss = { "choice", choices = losses.names(), default = "sigmoid" },
    beta = { "number", optional = true, min = 0 },
    nll = { "number", default = 0, min = 0 },
  })
  local batch = options.loss == "kto" and alone(columns) or columns
  local loss = losses[options.loss](batch, { beta = options.beta }):mean()
  local metrics = losses.metrics(columns, { beta = options.beta })
  if options.nll > 0 then
    local nll = -columns.chosen:mean()
    metrics.nll_loss = nll:item()
    loss = loss + options.nll * nll
  end
  return loss, metrics
end

--- The accepted over the rejected.
---
--- @param rules? table those of tain.preferences, and loss, beta, nll
--- @return table
function method.dpo(rules)
  local choosing, options = {}, {}
  for name, value in pairs(rules or {}) do
    local into = (name == "loss" or name == "beta" or name == "nll") and options or choosing
    into[name] = value
  end
  return {
    name = "dpo",
    choose = function(judged) return judge.preferences(judged, choosing) end,
    prepare = method.reference,
    loss = function(model, batch)
      return method.preference(method.likelihoods(model, batch), options)
    end,
  }
end

return method
