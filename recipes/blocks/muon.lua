--- Muon: steps of equal length in all directions of a matrix, for the hidden layers of small models.
---
---     local optimizer = muon.new(model:parameters { "mlp", "attn" })
---     optimizer:expect()                      -- before the gradients are computed
---     tain.backward(…)
---     optimizer:step(lr)
---
--- The momentum of a matrix is replaced by the nearest orthogonal matrix, found by five turns of a
--- polynomial (Newton and Schulz; coefficients of Jordan 2024), and scaled so that its elements move as
--- far as AdamW's would at the same rate (Liu et al. 2025). Larger matrices are cut into squares, which
--- are all treated together. An optimizer written in a recipe: every step of it is tensor operations.

local ffi = require "ffi"
local tain = require "tain"
local files = require "tain.files"

local muon = {}

local MOMENTUM, DECAY = 0.95, 0.01
local A, B, C = 3.4445, -4.7750, 2.0315

local Muon = {}
Muon.__index = Muon

-- A matrix as a stack of squares, and back.
local function squares(x, side)
  if x:size(0) < x:size(1) then x = x:transpose(0, 1):contiguous() end
  return x:reshape { x:size(0) / side, side, side }
end

local function whole(stack, from, like)
  local rows, columns = like:size(0), like:size(1)
  local wide, side = rows < columns, stack:size(1)
  local part = stack:slice(0, from, like:count() / side / side)
  part = part:contiguous():reshape { math.max(rows, columns), math.min(rows, columns) }
  return wide and part:transpose(0, 1):contiguous() or part
end

--- @param parameters Tensor[] matrices whose longer side is a multiple of the shorter, all of one shorter side
function muon.new(parameters)
  local list = {}
  for _, each in ipairs(parameters) do
    if each:dims() == 2 then list[#list + 1] = each end
  end
  return setmetatable({ list = list, side = math.min(list[1]:size(0), list[1]:size(1)) }, Muon)
end

--- Makes the matrices leaves whose gradients begin at zero.
function Muon:expect()
  for _, each in ipairs(self.list) do each:want_grad(false):want_grad(true) end
end

local function orthogonal(x)
  local norm = x:square():sum_dim(2, true):sum_dim(1, true):sqrt()
  x = x / (norm + 1e-7)
  for _ = 1, 5 do
    local gram = x:matmul(x:transpose(1, 2))
    x = A * x + (B * gram + C * gram:matmul(gram)):matmul(x)
  end
  return x
end

--- Takes a step along the gradients that backward has left.
---
--- @param lr number
--- @return boolean taken false if a gradient is not a finite number
function Muon:step(lr)
  local side = self.side
  local momentum, step = tain.no_grad(function()
    local parts = {}
    for i, each in ipairs(self.list) do parts[i] = squares(each:grad(), side) end
    local gradient = parts[1].concat(parts, 0)
    local size = gradient:square():sum():item()
    if size ~= size or size == math.huge then return nil end
    local momentum = self.momentum and self.momentum * MOMENTUM + gradient or gradient
    local step = orthogonal(gradient + momentum * MOMENTUM) * (0.2 * math.sqrt(side) * lr)
    return (momentum + 0):keep(), step:keep()
  end)
  if not momentum then return false end
  if self.momentum then self.momentum:free() end
  self.momentum = momentum
  tain.scope(function()
    local from = 0
    for _, each in ipairs(self.list) do
      each:want_grad(false)
      each:assign(tain.no_grad(function() return each * (1 - lr * DECAY) - whole(step, from, each) end))
      from = from + each:count() / side / side
    end
  end)
  step:free()
  return true
end

--- Writes the momentum, all or nothing.
function Muon:save(path)
  local numbers = self.momentum:numbers()
  files.write(path, ffi.string(ffi.new("float[?]", #numbers, numbers), #numbers * 4))
end

--- Reads what save wrote.
function Muon:load(path)
  local bytes = files.read(path)
  local floats, numbers = ffi.cast("const float *", bytes), {}
  for i = 1, #bytes / 4 do numbers[i] = floats[i - 1] end
  self.momentum = tain.tensor(numbers):reshape { -1, self.side, self.side }:keep()
end

return muon
