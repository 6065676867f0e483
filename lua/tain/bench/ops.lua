--- Single operations to measure. See bench.lua for what a work is.

local parts = require "tain.bench.parts"
local tensor = require "tain.tensor"

local random, size, free = parts.random, parts.size, parts.free
local ops = {}

ops.matmul = {
  about = "a matrix [m, k] times the transpose of one of [n, k]",
  options = { m = size(1024), n = size(1024), k = size(1024), storage = parts.storage },
  jobs = function(opt)
    return parts.linear("matmul", ("m %d, n %d, k %d"):format(opt.m, opt.n, opt.k), opt.m, opt.n, opt.k,
      opt.storage)
  end,
}

ops.attention = {
  about = "attention of one sequence: forward, and forward with backward",
  options = {
    heads = size(32), tokens = size(1024), size = size(64, "of a head; a multiple of 4"),
    causal = { "boolean", default = true, help = "a token sees those before it; --no-causal: all" },
  },
  jobs = function(opt)
    local T, H, D = opt.tokens, opt.heads, opt.size
    local q, k, v = random { 1, T, H, D }, random { 1, T, H, D }, random { 1, T, H, D }
    local pairs_ = opt.causal and T * (T + 1) / 2 or T * T
    local shape = ("heads %d, tokens %d, size %d%s"):format(H, T, D, opt.causal and ", causal" or "")
    local function leaves(wanted)
      for _, one in ipairs { q, k, v } do one:want_grad(wanted) end
    end
    -- Two products of matrices forward. Backward five: the scores are computed again, then the
    -- gradients of the weights, of the scores' two factors, and of the values.
    return {
      { work = "attention", shape = shape, storage = "f32",
        flops = 4 * D * H * pairs_, bytes = 4 * 4 * T * H * D,
        before = function() leaves(false) end,
        run = function() q:attention(k, v, opt.causal) end },
      { work = "attention_backward", shape = shape, storage = "f32",
        flops = 14 * D * H * pairs_, bytes = 4 * (4 + 8) * T * H * D,
        before = function()
          leaves(false)   -- drops the gradients of the run before
          leaves(true)
        end,
        run = function()
          tensor.backward(function() return q:attention(k, v, opt.causal):sum() end)
        end },
    }, free { q, k, v }
  end,
}

ops.conv = {
  about = "a convolution that keeps the image's size",
  options = {
    size = size(96, "pixels a side"), from = size(128, "channels"), to = size(128, "channels"),
    kernel = { "choice", choices = { 1, 3, 5, 7 }, default = 3, help = "pixels a side" },
    batch = size(1, "images"),
  },
  jobs = function(opt)
    local S, K, B = opt.size, opt.kernel, opt.batch
    local x, weight = random { B, S, S, opt.from }, random { K, K, opt.from, opt.to }
    local pad = (K - 1) / 2
    return { {
      work = "conv", storage = "f32",
      shape = ("kernel %d, size %d, from %d, to %d, batch %d"):format(K, S, opt.from, opt.to, B),
      flops = 2 * B * S * S * K * K * opt.from * opt.to,
      bytes = 4 * (B * S * S * (opt.from + opt.to) + K * K * opt.from * opt.to),
      run = function() x:conv2d(weight, nil, 1, pad, pad) end,
    } }, free { x, weight }
  end,
}

ops.norm = {
  about = "RMS norm of rows",
  options = { rows = size(4096), size = size(1024, "elements a row") },
  jobs = function(opt)
    local x, weight = random { opt.rows, opt.size }, random { opt.size }
    local n = opt.rows * opt.size
    return { {
      work = "norm", shape = ("rows %d, size %d"):format(opt.rows, opt.size), storage = "f32",
      flops = 4 * n, bytes = 4 * (2 * n + opt.size),   -- square, sum, two factors
      run = function() x:rms_norm(weight, 1e-6) end,
    } }, free { x, weight }
  end,
}

return ops
