--- One tensor given for several inputs of an operation gets the sum of the gradients that as many equal ones get.
local t = require "expect"
local tain = require "tain"

local random = tain.random(tonumber(os.getenv "TAIN_SEED") or os.time())

local function flat(value, into)
  if type(value) ~= "table" then into[#into + 1] = value return into end
  for _, one in ipairs(value) do flat(one, into) end
  return into
end

-- The gradients of `count` inputs of this shape; same: all of them are one tensor.
local function gradients(shape, list, count, same, run)
  local inputs = {}
  for i = 1, count do
    inputs[i] = same and inputs[1] or tain.tensor(list):reshape(shape)
    inputs[i]:want_grad(true)
  end
  tain.backward(function() return run(unpack(inputs)):square():mean() end)
  local sum = {}
  for i = 1, same and 1 or count do
    for k, v in ipairs(flat(inputs[i]:grad():numbers(), {})) do sum[k] = (sum[k] or 0) + v end
  end
  return sum
end

local other = tain.zeros { 6, 8 } + 0.3
local cases = {
  { { 1, 20, 2, 64 }, 3, function(q, k, v) return q:attention(k, v, true) end },
  { { 2, 7, 3, 8 }, 3, function(q, k, v) return q:attention(k, v, false) end },
  { { 1, 9, 2, 16 }, 2, function(k, v) return (k * 0.5):attention(k, v, true) end },
  { { 12, 12 }, 2, function(a, b) return a:matmul(b) end },
  { { 9, 9 }, 2, function(x, w) return x:linear(w) end },
  { { 5, 7 }, 2, function(a, b) return a * b end },
  { { 5, 7 }, 2, function(a, b) return a - b * 2 end },
  { { 8 }, 2, function(w, b) return other:layer_norm(w, b, 1e-5) end },
}
for number, case in ipairs(cases) do
  local shape, count, run = unpack(case)
  local n, list = 1, {}
  for _, size in ipairs(shape) do n = n * size end
  for i = 1, n do list[i] = 2 * random:uniform() - 1 end
  local want, got = gradients(shape, list, count, false, run), gradients(shape, list, count, true, run)
  for i = 1, n do
    t.that(math.abs(got[i] - want[i]) <= 1e-5 * (1 + math.abs(want[i])),
      ("case %d: at %d %g and not %g"):format(number, i, got[i], want[i]))
  end
end
