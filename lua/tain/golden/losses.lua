--- tain.loss against the published trainers' own values: losses, and gradients by every column.

local tain = require "tain.init"

-- A loss's numbers, and the gradients of their sum for the columns named.
local function run(name, batch, options, leaves)
  local columns = {}
  for key, value in pairs(batch) do columns[key] = value end
  for _, leaf in ipairs(leaves) do columns[leaf] = tain.tensor(batch[leaf], { grad = true }) end
  local values
  tain.backward(function()
    local each = tain.loss[name](columns, options)
    values = each:numbers()
    return each:sum()
  end)
  local gradients = {}
  for i, leaf in ipairs(leaves) do
    local gradient = columns[leaf]:grad()   -- none if the loss does not look at it
    gradients[i] = gradient and gradient:numbers() or {}
  end
  return values, gradients[1], gradients[2]
end

local function mean(list)
  local sum = 0
  for _, x in ipairs(list) do sum = sum + x end
  return sum / #list
end

-- Averages a token: inputs for losses that divide by the length.
local function averages(logp, len)
  local list = {}
  for i = 1, #logp do list[i] = logp[i] / len[i] end
  return list
end

local pairs_ = { "chosen", "rejected" }
local smooth = { robust = true, exo_pair = true, aot = true, aot_unpaired = true }
local plain = { cpo_sigmoid = "cpo", orpo_term = "orpo" }

--- @param golden table what losses.json holds
--- @return number worst, string lines
return function(golden)
  local worst, lines = 0, {}
  local inputs = golden.inputs

  -- Relative to each number by itself: some rows are far out on purpose.
  local function compare(what, got, want)
    local error_ = #got == #want and 0 or 1
    for i = 1, #want do
      local apart = got[i] and math.abs(got[i] - want[i]) / (1 + math.abs(want[i])) or 1
      if not (apart <= error_) then error_ = apart == apart and apart or math.huge end
    end
    worst = math.max(worst, error_)
    lines[#lines + 1] = ("%-72s %.2e\n"):format(what, error_)
  end

  local function both(case, values, chosen, rejected)
    if case.per_example then
      compare(case.name, values, case.per_example)
    else
      compare(case.name, { mean(values) }, { case.batch_mean })
    end
    compare(case.name .. " by chosen", chosen, case.grad_chosen)
    compare(case.name .. " by rejected", rejected, case.grad_rejected)
  end

  local batch = {
    chosen = inputs.logp_chosen, rejected = inputs.logp_rejected,
    ref_chosen = inputs.ref_chosen, ref_rejected = inputs.ref_rejected,
    len_chosen = inputs.len_chosen, len_rejected = inputs.len_rejected,
  }
  local average = {
    chosen = averages(inputs.logp_chosen, inputs.len_chosen), len_chosen = 1,
    rejected = averages(inputs.logp_rejected, inputs.len_rejected), len_rejected = 1,
  }

  for _, case in ipairs(golden.dpo) do
    local name = case.loss_type
    both(case, run(name, batch, {
      beta = case.beta,
      label_smoothing = smooth[name] and case.label_smoothing or nil,   -- ignored there, too
      tau = case.discopop_tau,
      f_divergence = case.f_divergence_type,
      f_alpha = case.f_alpha_divergence_coef,
    }, pairs_))
  end
  for _, case in ipairs(golden.cpo_family) do
    local name, options = "cpo", { beta = case.beta, label_smoothing = case.label_smoothing }
    if case.loss_type == "simpo" then
      name, options.gamma, options.alpha = case.alpha and "alphapo" or "simpo", case.simpo_gamma,
        case.alpha
    else
      options.kind = case.loss_type
    end
    both(case, run(name, case.inputs:find("average") and average or batch, options, pairs_))
  end
  both(golden.orpo, run("orpo", average, { beta = golden.orpo.beta, nll = 0 }, pairs_))

  for _, case in ipairs(golden.kto) do
    local kl
    if case.kl_policy_logps then
      kl = {}
      for i, logp in ipairs(case.kl_policy_logps) do kl[i] = logp - case.kl_ref_logps[i] end
    end
    local values, gradient = run("kto",
      { logp = case.logp, ref_logp = case.ref_logp, label = case.label, kl = kl },
      { beta = case.beta, desirable = case.desirable_weight,
        undesirable = case.undesirable_weight }, { "logp" })
    compare(case.name, values, case.per_example)
    compare(case.name .. " by logp", gradient, case.grad)
  end

  local case, parts = golden.combination, {}   -- several at once, and what trainers log
  for i, name in ipairs(case.loss_type) do
    parts[i] = { name, weight = case.loss_weights[i], beta = name ~= "sft" and case.beta or nil }
  end
  compare("mix", { tain.loss.mix(batch, parts):mean():item() }, { case.batch_loss })
  local row = tain.loss.metrics(batch, { beta = case.beta })
  for name, value in require("tain.data").sorted(case.metrics) do
    compare(name, { row[name] }, { value })
  end

  local given = golden.single_vector.inputs   -- one pair by hand, and as tensors
  local one = {
    chosen = tain.tensor { given.logp_c }, rejected = tain.tensor { given.logp_r },
    ref_chosen = { given.ref_c }, ref_rejected = tain.tensor { given.ref_r },
    len_chosen = given.len, len_rejected = { given.len },
  }
  for name, value in require("tain.data").sorted(golden.single_vector.values) do
    compare("one pair, " .. name, tain.loss[plain[name] or name](one,
      name == "orpo_term" and { nll = 0 } or nil):numbers(), { value })
  end
  return worst, table.concat(lines)
end
