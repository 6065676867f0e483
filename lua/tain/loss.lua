--- Preference losses under the names that papers and trainers give them, as ordinary functions of
--- tensors: one number a pair, to be averaged by the recipe.
---
---     local loss = tain.loss.sigmoid({
---       chosen = model:logprob(batch.prompt, batch.chosen),
---       rejected = model:logprob(batch.prompt, batch.rejected),
---       ref_chosen = batch.ref_chosen, ref_rejected = batch.ref_rejected,
---     }, { beta = 0.1 }):mean()
---
--- A batch has columns [pairs], each a tensor or a list: `chosen` and `rejected`, log-probabilities
--- of whole images; `ref_chosen` and `ref_rejected`, the same under the reference; `len_chosen` and
--- `len_rejected`, how many tokens each has (or one number for all), for losses that look at
--- averages a token. All of a unified model's images have the same number of tokens, so "summed"
--- and "averaged" differ by a constant factor on beta: a beta copied from text models is badly
--- scaled.
---
--- In the formulas c = chosen - ref_chosen, r = rejected - ref_rejected, d = c - r, s is the
--- logistic function, b is beta. Nothing here overflows, however far apart the two are.

local check = require "tain.check"
local own = require "tain.own"
local tensor = require "tain.tensor"

local loss = {}

-- ---- What a batch and its options are ----

local LARGEST = 80   -- e^80 is the last round number that f32 holds
local ROOT = 1e18    -- and this the last whose square it holds

-- A column as a tensor.
local function column(fn, batch, name)
  local value = batch[name]
  if own.kind(value) == "tensor" then return value end
  if type(value) == "table" and not own.kind(value) or type(value) == "number" then
    return tensor.tensor(value)
  end
  check.raise("loss.%s: batch.%s must be a tensor or a list of numbers, not %s", fn, name,
    check.show(value))
end

local positive = 1e-9
local options_of = {}   -- name -> what it takes

local divergences = {
  reverse_kl = function(x) return x end,
  forward_kl = function(x) return 1 - (-x):minimum(LARGEST):exp() end,
  js_divergence = function(x) return x:logsigmoid() + math.log(2) end,
  alpha_divergence = function(x, alpha)
    return (((alpha - 1) * x):minimum(LARGEST):exp() - 1) / (alpha - 1)
  end,
}

-- The two options of the losses whose log-ratios an f-divergence may reshape.
local function reshaped(options)
  options.f_divergence = { "choice", default = "reverse_kl",
    choices = { "reverse_kl", "forward_kl", "js_divergence", "alpha_divergence" } }
  options.f_alpha = { "number", default = 0.5 }   -- 1 is reverse_kl, and is refused
  return options
end

local function take(fn, batch, options)
  check.table("loss." .. fn, "batch", batch)
  options = check.options("loss." .. fn, options, options_of[fn])
  if options.f_alpha == 1 then check.raise("loss.%s: f_alpha must not be 1", fn) end
  return options
end

-- c and r.
local function ratios(fn, batch, options)
  local score = divergences[options.f_divergence or "reverse_kl"]
  local c = column(fn, batch, "chosen") - column(fn, batch, "ref_chosen")
  local r = column(fn, batch, "rejected") - column(fn, batch, "ref_rejected")
  return score(c, options.f_alpha), score(r, options.f_alpha)
end

-- b * d, which most of them are made of.
local function margin(fn, batch, options)
  local c, r = ratios(fn, batch, options)
  return (c - r) * options.beta
end

-- -log s(x), of which a share is wrong.
local function smoothed(x, wrong)
  local right = -x:logsigmoid()
  if wrong == 0 then return right end
  return right * (1 - wrong) - (-x):logsigmoid() * wrong
end

-- In ascending order. The order is found on the host; the gradient goes where each number came
-- from.
local function sorted(x)
  local numbers, order = x:numbers(), {}
  for i = 1, #numbers do order[i] = i - 1 end
  table.sort(order, function(a, b)
    if numbers[a + 1] ~= numbers[b + 1] then return numbers[a + 1] < numbers[b + 1] end
    return a < b
  end)
  return x:rows(tensor.tensor(order, { type = "i32" }))
end

-- log(1 - e^x) for x < 0. Where e^x is nearly 1 the difference has no digits left, so there it is
-- log(-x) and the start of a series. Each branch sees only numbers that it can take.
local function log_one_minus_exp(x)
  local far = (1 - x:minimum(-0.05):exp()):log()
  local y = x:maximum(-0.05):minimum(-1e-7)
  local near = (-y):log() + (y / 2 + y:square() / 24)
  return x:lt(-0.05):where(far, near)
end

-- ---- With a reference ----

options_of.sigmoid = reshaped { beta = { "number", default = 0.1, min = positive } }
--- -log s(b d): DPO.
---
--- @param batch table chosen, rejected, ref_chosen, ref_rejected
--- @param options? table beta (0.1), f_divergence, f_alpha
--- @return Tensor # [pairs]
function loss.sigmoid(batch, options)
  options = take("sigmoid", batch, options)
  return -margin("sigmoid", batch, options):logsigmoid()
end

options_of.hinge = options_of.sigmoid
--- max(0, 1 - b d): SLiC.
---
--- @param batch table chosen, rejected, ref_chosen, ref_rejected
--- @param options? table beta (0.1), f_divergence, f_alpha
--- @return Tensor # [pairs]
function loss.hinge(batch, options)
  options = take("hinge", batch, options)
  return (1 - margin("hinge", batch, options)):relu()
end

-- c and r a token.
local function averages(fn, batch, options)
  local c, r = ratios(fn, batch, options)
  return c / column(fn, batch, "len_chosen"), r / column(fn, batch, "len_rejected")
end

options_of.ipo = options_of.sigmoid
--- (c/len - r/len - 1/(2 b))^2: IPO, averaged a token.
---
--- @param batch table chosen, rejected, ref_chosen, ref_rejected, len_chosen, len_rejected
--- @param options? table beta (0.1), f_divergence, f_alpha
--- @return Tensor # [pairs]
function loss.ipo(batch, options)
  options = take("ipo", batch, options)
  local c, r = averages("ipo", batch, options)
  return (c - r - 1 / (2 * options.beta)):maximum(-ROOT):minimum(ROOT):square()
end

options_of.sigmoid_norm = options_of.sigmoid
--- -log s(b (c/len - r/len)): DPO, averaged a token.
---
--- @param batch table chosen, rejected, ref_chosen, ref_rejected, len_chosen, len_rejected
--- @param options? table beta (0.1), f_divergence, f_alpha
--- @return Tensor # [pairs]
function loss.sigmoid_norm(batch, options)
  options = take("sigmoid_norm", batch, options)
  local c, r = averages("sigmoid_norm", batch, options)
  return -((c - r) * options.beta):logsigmoid()
end

options_of.exo_pair = reshaped { beta = { "number", default = 0.1, min = positive },
  label_smoothing = { "number", default = 1e-3, min = positive, max = 0.5 } }
--- q (log q - log(1 - e)) + q' (log q' - log e), q = s(b d), q' = s(-b d), e the label smoothing:
--- EXO.
---
--- @param batch table chosen, rejected, ref_chosen, ref_rejected
--- @param options? table beta (0.1), label_smoothing (0.001), f_divergence, f_alpha
--- @return Tensor # [pairs]
function loss.exo_pair(batch, options)
  options = take("exo_pair", batch, options)
  local x = margin("exo_pair", batch, options)
  local wrong = options.label_smoothing
  return x:sigmoid() * (x:logsigmoid() - math.log(1 - wrong))
    + (-x):sigmoid() * ((-x):logsigmoid() - math.log(wrong))
end

options_of.robust = reshaped { beta = { "number", default = 0.1, min = positive },
  label_smoothing = { "number", default = 0.1, min = 0, max = 0.499 } }
--- (-(1 - e) log s(b d) + e log s(-b d)) / (1 - 2 e), e the share of wrong labels: robust DPO.
---
--- @param batch table chosen, rejected, ref_chosen, ref_rejected
--- @param options? table beta (0.1), label_smoothing (0.1), f_divergence, f_alpha
--- @return Tensor # [pairs]
function loss.robust(batch, options)
  options = take("robust", batch, options)
  local x, wrong = margin("robust", batch, options), options.label_smoothing
  return ((-x):logsigmoid() * wrong - x:logsigmoid() * (1 - wrong)) / (1 - 2 * wrong)
end

options_of.discopop = reshaped { beta = { "number", default = 0.1, min = positive },
  tau = { "number", default = 0.05, min = positive } }
--- -log s(b d) (1 - m) + exp(-b d) m, m = s(b d / tau): DiscoPOP.
---
--- @param batch table chosen, rejected, ref_chosen, ref_rejected
--- @param options? table beta (0.1), tau (0.05), f_divergence, f_alpha
--- @return Tensor # [pairs]
function loss.discopop(batch, options)
  options = take("discopop", batch, options)
  local x = margin("discopop", batch, options)
  local m = x / options.tau
  -- exp(-x) alone overflows where m is as good as 0.
  return (m:logsigmoid() - x):minimum(LARGEST):exp() - x:logsigmoid() * (-m):sigmoid()
end

options_of.nca_pair = { beta = options_of.sigmoid.beta }
--- -log s(b c) - 1/2 log s(-b c) - 1/2 log s(-b r): NCA.
---
--- @param batch table chosen, rejected, ref_chosen, ref_rejected
--- @param options? table beta (0.1)
--- @return Tensor # [pairs]
function loss.nca_pair(batch, options)
  options = take("nca_pair", batch, options)
  local c, r = ratios("nca_pair", batch, options)
  c, r = c * options.beta, r * options.beta
  return -c:logsigmoid() - ((-c):logsigmoid() + (-r):logsigmoid()) / 2
end

options_of.bco_pair = options_of.nca_pair
--- -log s(b c) - log s(-b r): BCO, without its running mean.
---
--- @param batch table chosen, rejected, ref_chosen, ref_rejected
--- @param options? table beta (0.1)
--- @return Tensor # [pairs]
function loss.bco_pair(batch, options)
  options = take("bco_pair", batch, options)
  local c, r = ratios("bco_pair", batch, options)
  return -(c * options.beta):logsigmoid() - (r * -options.beta):logsigmoid()
end

options_of.sppo_hard = options_of.nca_pair
--- (c - 1/(2 b))^2 + (r + 1/(2 b))^2: SPPO.
---
--- @param batch table chosen, rejected, ref_chosen, ref_rejected
--- @param options? table beta (0.1)
--- @return Tensor # [pairs]
function loss.sppo_hard(batch, options)
  options = take("sppo_hard", batch, options)
  local c, r = ratios("sppo_hard", batch, options)
  return (c - 0.5 / options.beta):square() + (r + 0.5 / options.beta):square()
end

options_of.apo_zero = options_of.nca_pair
--- 1 - s(b c) + s(b r): APO-zero, which makes the chosen likelier and the rejected less likely.
---
--- @param batch table chosen, rejected, ref_chosen, ref_rejected
--- @param options? table beta (0.1)
--- @return Tensor # [pairs]
function loss.apo_zero(batch, options)
  options = take("apo_zero", batch, options)
  local c, r = ratios("apo_zero", batch, options)
  return (c * -options.beta):sigmoid() + (r * options.beta):sigmoid()
end

options_of.apo_down = options_of.nca_pair
--- s(b c) + 1 - s(b d): APO-down, which makes both less likely, the rejected more so.
---
--- @param batch table chosen, rejected, ref_chosen, ref_rejected
--- @param options? table beta (0.1)
--- @return Tensor # [pairs]
function loss.apo_down(batch, options)
  options = take("apo_down", batch, options)
  local c, r = ratios("apo_down", batch, options)
  return (c * options.beta):sigmoid() + ((c - r) * -options.beta):sigmoid()
end

options_of.aot = { beta = options_of.sigmoid.beta,
  label_smoothing = { "number", default = 0, min = 0, max = 0.5 } }
--- -log s(b x), x the sorted differences of the batch less those of the reference: AOT. The numbers
--- are of places in the order, not of pairs.
---
--- @param batch table chosen, rejected, ref_chosen, ref_rejected
--- @param options? table beta (0.1), label_smoothing (0)
--- @return Tensor # [pairs]
function loss.aot(batch, options)
  options = take("aot", batch, options)
  local policy = column("aot", batch, "chosen") - column("aot", batch, "rejected")
  local reference = column("aot", batch, "ref_chosen") - column("aot", batch, "ref_rejected")
  return smoothed((sorted(policy) - sorted(reference)) * options.beta, options.label_smoothing)
end

options_of.aot_unpaired = options_of.aot
--- -log s(b x), x the sorted c less the sorted r of the batch: AOT without pairs.
---
--- @param batch table chosen, rejected, ref_chosen, ref_rejected
--- @param options? table beta (0.1), label_smoothing (0)
--- @return Tensor # [pairs]
function loss.aot_unpaired(batch, options)
  options = take("aot_unpaired", batch, options)
  local c, r = ratios("aot_unpaired", batch, options)
  return smoothed((sorted(c) - sorted(r)) * options.beta, options.label_smoothing)
end

-- ---- Without a reference ----

-- How many tokens an image of the batch has on average.
local function mean_length(fn, batch)
  local value = batch.len_chosen
  if type(value) == "number" then return value end
  local numbers, sum = column(fn, batch, "len_chosen"):numbers(), 0
  for _, n in ipairs(numbers) do sum = sum + n end
  return sum / #numbers
end

options_of.sft = {}
--- -chosen / (mean of len_chosen), so that its mean over the batch is the mean over all tokens:
--- likelihood of the chosen, to be mixed with the others.
---
--- @param batch table chosen, len_chosen
--- @return Tensor # [pairs]
function loss.sft(batch, options)
  take("sft", batch, options)
  return column("sft", batch, "chosen") * (-1 / mean_length("sft", batch))
end

options_of.simpo = { beta = { "number", default = 2, min = positive },
  gamma = { "number", default = 0.5 }, label_smoothing = options_of.aot.label_smoothing }
--- -log s(b (chosen/len - rejected/len) - gamma): SimPO.
---
--- @param batch table chosen, rejected, len_chosen, len_rejected
--- @param options? table beta (2), gamma (0.5), label_smoothing (0)
--- @return Tensor # [pairs]
function loss.simpo(batch, options)
  options = take("simpo", batch, options)
  local chosen = column("simpo", batch, "chosen") / column("simpo", batch, "len_chosen")
  local rejected = column("simpo", batch, "rejected") / column("simpo", batch, "len_rejected")
  return smoothed((chosen - rejected) * options.beta - options.gamma, options.label_smoothing)
end

options_of.alphapo = { beta = options_of.simpo.beta, gamma = options_of.simpo.gamma,
  alpha = { "number", default = 0.25 }, label_smoothing = options_of.aot.label_smoothing }
--- SimPO with (1 - p^-alpha) / alpha instead of log p, p the probability a token: AlphaPO.
---
--- @param batch table chosen, rejected, len_chosen, len_rejected
--- @param options? table beta (2), gamma (0.5), alpha (0.25), label_smoothing (0)
--- @return Tensor # [pairs]
function loss.alphapo(batch, options)
  options = take("alphapo", batch, options)
  if options.alpha == 0 then check.raise("loss.alphapo: alpha must not be 0; that is simpo") end
  local function reward(side)
    local average = column("alphapo", batch, side) / column("alphapo", batch, "len_" .. side)
    return (1 - (average * -options.alpha):minimum(LARGEST):exp()) / options.alpha
  end
  return smoothed((reward "chosen" - reward "rejected") * options.beta - options.gamma,
    options.label_smoothing)
end

options_of.cpo = { beta = options_of.sigmoid.beta,
  kind = { "choice", choices = { "sigmoid", "hinge", "ipo" }, default = "sigmoid" },
  label_smoothing = options_of.aot.label_smoothing }
--- The sigmoid, hinge or ipo form of chosen - rejected (ipo: of their averages a token): CPO,
--- without its likelihood term; mix sft in for that.
---
--- @param batch table chosen, rejected; len_chosen, len_rejected for ipo
--- @param options? table beta (0.1), kind, label_smoothing (0; of sigmoid only)
--- @return Tensor # [pairs]
function loss.cpo(batch, options)
  options = take("cpo", batch, options)
  local chosen, rejected = column("cpo", batch, "chosen"), column("cpo", batch, "rejected")
  if options.kind == "ipo" then
    chosen = chosen / column("cpo", batch, "len_chosen")
    rejected = rejected / column("cpo", batch, "len_rejected")
    return (chosen - rejected - 1 / (2 * options.beta)):square()
  end
  local x = (chosen - rejected) * options.beta
  if options.kind == "hinge" then return (1 - x):relu() end
  return smoothed(x, options.label_smoothing)
end

options_of.orpo = { beta = options_of.sigmoid.beta,
  nll = { "number", default = 1, min = 0 } }
--- nll * sft - b log s(log odds of chosen - log odds of rejected), the odds of the probability a
--- token: ORPO.
---
--- @param batch table chosen, rejected, len_chosen, len_rejected
--- @param options? table beta (0.1), nll (1): the weight of the likelihood
--- @return Tensor # [pairs]
function loss.orpo(batch, options)
  options = take("orpo", batch, options)
  local function log_odds(side)
    local average = column("orpo", batch, side) / column("orpo", batch, "len_" .. side)
    return average - log_one_minus_exp(average)
  end
  local odds = (log_odds "chosen" - log_odds "rejected"):logsigmoid() * -options.beta
  return options.nll == 0 and odds or loss.sft(batch) * options.nll + odds
end

-- ---- Without pairs ----

-- The mean of the batch's divergence, at least 0, as a number: no gradient flows through it.
local function divergence(batch)
  local kl = batch.kl
  if kl == nil then return 0 end
  local numbers, sum = column("kto", batch, "kl"):numbers(), 0
  for _, n in ipairs(numbers) do sum = sum + n end
  return math.max(0, sum / #numbers)
end

options_of.kto = { beta = options_of.sigmoid.beta,
  desirable = { "number", default = 1, min = 0 }, undesirable = { "number", default = 1, min = 0 } }
--- w (1 - s(b (l - kl))) for images that were accepted, w (1 - s(b (kl - l))) for those that were
--- not, l = logp - ref_logp: KTO. Without `kl` it is what trainers call apo_zero_unpaired.
---
--- @param batch table logp, ref_logp, label (a list of true and false), kl (log-ratios of images to
---        prompts that are not theirs; their mean is taken, at least 0)
--- @param options? table beta (0.1), desirable (1), undesirable (1): weights
--- @return Tensor # one for each image
function loss.kto(batch, options)
  options = take("kto", batch, options)
  local signs, weights = {}, {}
  check.table("loss.kto", "batch.label", batch.label)
  for i, label in ipairs(batch.label) do
    local accepted = label == true or label == 1
    signs[i] = accepted and -options.beta or options.beta
    weights[i] = accepted and options.desirable or options.undesirable
  end
  local l = column("kto", batch, "logp") - column("kto", batch, "ref_logp")
  return ((l - divergence(batch)) * tensor.tensor(signs)):sigmoid() * tensor.tensor(weights)
end

-- ---- About all of them ----

local names = {}
for name in ([[sigmoid hinge ipo exo_pair nca_pair robust bco_pair sppo_hard aot aot_unpaired
    apo_zero apo_down discopop sft sigmoid_norm simpo alphapo cpo orpo kto]]):gmatch("%S+") do
  names[#names + 1] = name
end

--- The names of the losses, for an option's choices. All but kto are of pairs.
---
--- @return string[]
function loss.names()
  return { unpack(names) }
end

--- A weighted sum of losses: `tain.loss.mix(batch, { { "sigmoid", weight = 0.8, beta = 0.2 },
--- { "sft", weight = 1 } })`.
---
--- @param batch table what all of them need
--- @param parts table[] each a name, a weight (1), and that loss's options
--- @return Tensor # [pairs]
function loss.mix(batch, parts)
  check.table("loss.mix", "parts", parts)
  local total
  for i, part in ipairs(parts) do
    check.table("loss.mix", "parts[" .. i .. "]", part)
    local options, weight = {}, 1
    for name, value in pairs(part) do
      if name == "weight" then weight = check.number("loss.mix", "weight", value)
      elseif name ~= 1 then options[name] = value end
    end
    if not options_of[part[1]] then
      check.raise("loss.mix: parts[%d] must begin with the name of a loss, not %s%s", i,
        check.show(part[1]), check.suggest(part[1], names))
    end
    local one = loss[part[1]](batch, options) * weight
    total = total and total + one or one
  end
  if not total then check.raise("loss.mix: parts must name a loss") end
  return total
end

local function mean(numbers)
  local sum = 0
  for _, n in ipairs(numbers) do sum = sum + n end
  return sum / #numbers
end

--- What trainers log of a batch: rewards (b c and b r), how often the chosen one's is greater, and
--- the log-probabilities; and `logps/margin_token`, d a token, which says what beta acts on. Waits
--- for the device.
---
--- @param batch table chosen, rejected, ref_chosen, ref_rejected; len_chosen may be there
--- @param options? table beta (0.1)
--- @return table # name -> number
function loss.metrics(batch, options)
  options_of.metrics = options_of.nca_pair
  options = take("metrics", batch, options)
  return tensor.no_grad(function()
    local c, r = ratios("metrics", batch, options)
    c, r = c:numbers(), r:numbers()
    local right, row = 0, {}
    for i = 1, #c do right = right + (c[i] > r[i] and 1 or 0) end
    row["rewards/chosen"] = options.beta * mean(c)
    row["rewards/rejected"] = options.beta * mean(r)
    row["rewards/margins"] = options.beta * (mean(c) - mean(r))
    row["rewards/accuracies"] = right / #c
    row["logps/chosen"] = mean(column("metrics", batch, "chosen"):numbers())
    row["logps/rejected"] = mean(column("metrics", batch, "rejected"):numbers())
    local has, length = pcall(mean_length, "metrics", batch)
    if has then row["logps/margin_token"] = (mean(c) - mean(r)) / length end
    return row
  end)
end

return setmetatable(loss, {
  __index = function(_, name)
    check.raise("there is no loss %s%s", tostring(name), check.suggest(name, names))
  end,
})
