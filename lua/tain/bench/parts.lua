--- What works to measure are put together from.

local ffi = require "ffi"
local check = require "tain.check"
local random = require "tain.random"
local tensor = require "tain.tensor"

local C = ffi.C
local parts = {}

--- Bytes of a number, by how it is stored; in blocks of 32 there is a scale as well.
parts.bytes = { f32 = 4, f16 = 2, bf16 = 2, int8 = 8.5 / 8, int4 = 4.5 / 8 }

--- The option of that name.
parts.storage = { "choice", choices = { "f32", "f16", "bf16", "int8", "int4" }, default = "f32",
  help = "how the matrix is stored" }

--- An option that is a size.
function parts.size(default, help) return { "integer", default = default, min = 1, help = help } end

local BLOCK = 65521   -- a prime, so that no two rows are the same
local block

-- Numbers from -1 to 1.
local function numbers()
  if block then return block end
  local from = random.random(1)
  block = ffi.new("float[?]", BLOCK)
  for i = 0, BLOCK - 1 do block[i] = 2 * from:uniform() - 1 end
  return block
end

--- A tensor of arbitrary numbers: zeros would be no fair work for a processor that knows them. They
--- come from the host, because no device writes more than it can bind at once.
---
--- @param shape integer[]
--- @param type? string f32 if nil
--- @return Tensor
function parts.random(shape, type)
  local made = tensor.zeros(shape, { type = type })
  local count = made:count()
  local values, from = ffi.new("float[?]", count), numbers()
  for at = 0, count - 1, BLOCK do ffi.copy(values + at, from, 4 * math.min(BLOCK, count - at)) end
  check.status(C.tain_tensor_write(check.tensor("bench", "x", made), values, count))
  return made
end

--- A function that frees tensors.
function parts.free(list)
  return function() for _, one in ipairs(list) do one:free() end end
end

--- The job of x [m, k] times the transpose of a weight [n, k], as in every layer of a model.
function parts.linear(work, shape, m, n, k, type)
  local x, weight = parts.random { m, k }, parts.random({ n, k }, type)
  return { { work = work, shape = shape, storage = type,
    flops = 2 * m * n * k, bytes = 4 * m * (k + n) + parts.bytes[type] * n * k,
    run = function() x:linear(weight) end } }, parts.free { x, weight }
end

return parts
