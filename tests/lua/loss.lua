--- tain.loss against the published trainers' own values (tests/golden/losses), in f32.
local t = require "expect"
local tain = require "tain"
local json = require "tain.json"

local file = assert(io.open "tests/golden/losses/losses.json", "rb")
local golden = json.decode(file:read "*a")
file:close()
local inputs = golden.inputs

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

local pairs_ = { "chosen", "rejected" }
local batch = {
  chosen = inputs.logp_chosen, rejected = inputs.logp_rejected,
  ref_chosen = inputs.ref_chosen, ref_rejected = inputs.ref_rejected,
  len_chosen = inputs.len_chosen, len_rejected = inputs.len_rejected,
}

-- The DPO family, CPO's, ORPO, KTO, several at once, one pair: each number by itself.
do
  local worst, lines = require("tain.golden.losses")(golden)
  t.that(worst <= 1e-5, lines)
  t.that(select(2, lines:gsub("\n", "")) > 150, "only few were compared")
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
