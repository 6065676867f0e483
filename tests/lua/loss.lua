--- tain.loss against the published trainers' own values (tests/golden/losses), in f32.
local t = require "expect"
local tain = require "tain"
local json = require "tain.json"

local file = assert(io.open "tests/golden/losses/losses.json", "rb")
local golden = json.decode(file:read "*a")
file:close()
local inputs = golden.inputs

-- Far numbers are right if they are right to five digits, near ones if they are right to 1e-6.
local function compare(what, got, want)
  t.equal(#got, #want)
  for i = 1, #want do
    if not (math.abs(got[i] - want[i]) <= 1e-5 * math.abs(want[i]) + 1e-6) then
      error(("%s, row %d: %.9g is not %.9g"):format(what, i, got[i], want[i]), 2)
    end
  end
end

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

local pairs_ = { "chosen", "rejected" }
local batch = {
  chosen = inputs.logp_chosen, rejected = inputs.logp_rejected,
  ref_chosen = inputs.ref_chosen, ref_rejected = inputs.ref_rejected,
  len_chosen = inputs.len_chosen, len_rejected = inputs.len_rejected,
}

-- The DPO family.
local smooth = { robust = true, exo_pair = true, aot = true, aot_unpaired = true }
for _, case in ipairs(golden.dpo) do
  local name = case.loss_type
  local values, chosen, rejected = run(name, batch, {
    beta = case.beta,
    label_smoothing = smooth[name] and case.label_smoothing or nil,   -- the trainer ignores it, too
    tau = case.discopop_tau,
    f_divergence = case.f_divergence_type,
    f_alpha = case.f_alpha_divergence_coef,
  }, pairs_)
  if case.per_example then
    compare(case.name, values, case.per_example)
  else
    compare(case.name, { mean(values) }, { case.batch_mean })
  end
  compare(case.name .. " by chosen", chosen, case.grad_chosen)
  compare(case.name .. " by rejected", rejected, case.grad_rejected)
end

-- Without a reference. Where the inputs are averages, every length is 1.
local function averages(logp, len)
  local list = {}
  for i = 1, #logp do list[i] = logp[i] / len[i] end
  return list
end
local average = {
  chosen = averages(inputs.logp_chosen, inputs.len_chosen), len_chosen = 1,
  rejected = averages(inputs.logp_rejected, inputs.len_rejected), len_rejected = 1,
}
for _, case in ipairs(golden.cpo_family) do
  local name, options = "cpo", { beta = case.beta, label_smoothing = case.label_smoothing }
  if case.loss_type == "simpo" then
    name, options.gamma, options.alpha = case.alpha and "alphapo" or "simpo", case.simpo_gamma,
      case.alpha
  else
    options.kind = case.loss_type
  end
  local values, chosen, rejected = run(name, case.inputs:find("average") and average or batch,
    options, pairs_)
  compare(case.name, values, case.per_example)
  compare(case.name .. " by chosen", chosen, case.grad_chosen)
  compare(case.name .. " by rejected", rejected, case.grad_rejected)
end
do
  local case = golden.orpo
  local values, chosen, rejected = run("orpo", average, { beta = case.beta, nll = 0 }, pairs_)
  compare(case.name, values, case.per_example)
  compare(case.name .. " by chosen", chosen, case.grad_chosen)
  compare(case.name .. " by rejected", rejected, case.grad_rejected)
end

-- Without pairs.
for _, case in ipairs(golden.kto) do
  local kl
  if case.kl_policy_logps then
    kl = {}
    for i, logp in ipairs(case.kl_policy_logps) do kl[i] = logp - case.kl_ref_logps[i] end
  end
  local values, gradient = run("kto",
    { logp = case.logp, ref_logp = case.ref_logp, label = case.label, kl = kl },
    { beta = case.beta, desirable = case.desirable_weight, undesirable = case.undesirable_weight },
    { "logp" })
  compare(case.name, values, case.per_example)
  compare(case.name .. " by logp", gradient, case.grad)
end

-- Several at once, and what trainers log.
do
  local case, parts = golden.combination, {}
  for i, name in ipairs(case.loss_type) do
    parts[i] = { name, weight = case.loss_weights[i], beta = name ~= "sft" and case.beta or nil }
  end
  compare("mix", { tain.loss.mix(batch, parts):mean():item() }, { case.batch_loss })
  local row = tain.loss.metrics(batch, { beta = case.beta })
  for name, value in pairs(case.metrics) do compare(name, { row[name] }, { value }) end
end

-- One pair by hand, and as tensors.
do
  local given, want = golden.single_vector.inputs, golden.single_vector.values
  local one = {
    chosen = tain.tensor { given.logp_c }, rejected = tain.tensor { given.logp_r },
    ref_chosen = { given.ref_c }, ref_rejected = tain.tensor { given.ref_r },
    len_chosen = given.len, len_rejected = { given.len },
  }
  for name, value in pairs(want) do
    local plain = ({ cpo_sigmoid = "cpo", orpo_term = "orpo" })[name] or name
    compare(name, tain.loss[plain](one, name == "orpo_term" and { nll = 0 } or nil):numbers(),
      { value })
  end
end

-- No loss and no gradient overflows, however far apart the two are.
do
  local far = { chosen = { -3000, -10, -1e4, -1e-6 }, rejected = { -10, -3000, -1e-6, -1e4 },
    ref_chosen = { -10, -3000, -10, -3000 }, ref_rejected = { -3000, -10, -3000, -10 },
    len_chosen = 4, len_rejected = 4 }
  for _, name in ipairs(tain.loss.names()) do
    if name ~= "kto" then
      for divergence in ("reverse_kl forward_kl js_divergence alpha_divergence"):gmatch("%S+") do
        local options = { f_divergence = divergence }
        if not pcall(tain.loss[name], far, options) then options = nil end
        local values, chosen, rejected = run(name, far, options, pairs_)
        for _, list in ipairs { values, chosen, rejected } do
          for _, x in ipairs(list) do
            t.that(x == x and math.abs(x) < math.huge, name .. " " .. divergence .. ": " .. x)
          end
        end
      end
    end
  end
end

-- Where e^x is nearly 1, the log-odds keep their digits.
for _, x in ipairs { -1e-6, -1e-3, -0.04999, -0.05001, -3 } do
  local got = tain.loss.orpo({ chosen = { -0.7 }, rejected = { x }, len_chosen = 1,
    len_rejected = 1 }, { beta = 1, nll = 0 }):item()
  local function odds(y)   -- y - log(1 - e^y)
    return y - math.log(y < -0.1 and 1 - math.exp(y)
      or -(y + y ^ 2 / 2 + y ^ 3 / 6 + y ^ 4 / 24 + y ^ 5 / 120))
  end
  t.close(got / math.log(1 + math.exp(odds(x) - odds(-0.7))), 1, 2e-6)
end

-- Mistakes.
t.fails(function() return tain.loss.sigmiod end, "there is no loss sigmiod; did you mean sigmoid?")
t.fails(tain.loss.sigmoid, "loss.sigmoid: batch.ref_chosen must be a tensor or a list of numbers, "
  .. "not nil", { chosen = { 1 }, rejected = { 1 } })
t.fails(tain.loss.sigmoid, "loss.sigmoid: unknown option label_smoothing", batch,
  { label_smoothing = 0.1 })
t.fails(tain.loss.sigmoid, "loss.sigmoid: batch must be a table, not nil")
t.fails(tain.loss.robust, "loss.robust: label_smoothing must be at most 0.499", batch,
  { label_smoothing = 0.5 })
t.fails(tain.loss.mix, "parts[1] must begin with the name of a loss, not \"sigmod\"; did you mean "
  .. "sigmoid?", batch, { { "sigmod" } })
