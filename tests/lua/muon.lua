--- recipes/blocks/muon: a step is nearly orthogonal whatever the gradient's size, for square, tall and wide
--- matrices; what was saved goes on the same.
local t = require "expect"
local tain = require "tain"
package.path = "recipes/?.lua;" .. package.path
local muon = require "blocks.muon"

local random = tain.random(3)
local function matrix(rows, columns)
  local list = {}
  for i = 1, rows do
    list[i] = {}
    for k = 1, columns do list[i][k] = random:uniform() - 0.5 end
  end
  return tain.tensor(list):keep()
end

local shapes = { { 16, 16 }, { 48, 16 }, { 16, 32 } }
local weights, sizes = {}, {}
for i, shape in ipairs(shapes) do weights[i], sizes[i] = matrix(shape[1], shape[2]), matrix(shape[1], shape[2]) end
local optimizer = muon.new(weights)

local function step(scale)
  optimizer:expect()
  tain.backward(function()
    local sum = (weights[1] * sizes[1]):sum()
    for i = 2, #weights do sum = sum + (weights[i] * sizes[i]):sum() end
    return sum * scale
  end)
  local before = {}
  for i, each in ipairs(weights) do before[i] = each:numbers() end
  t.that(optimizer:step(0.01))
  local moved = {}
  for i, each in ipairs(weights) do
    moved[i] = {}
    for k, value in ipairs(each:numbers()) do moved[i][k] = before[i][k] * (1 - 1e-4) - value end
  end
  return moved
end

-- The moves are against the gradient, and of 16 x 16 numbers as long as 16 directions of length one.
for _, scale in ipairs { 1, 1e3 } do
  for i, moved in ipairs(step(scale)) do
    local along, length, blocks = 0, 0, #moved / 256
    for k, value in ipairs(sizes[i]:numbers()) do
      along, length = along + value * moved[k], length + (moved[k] / (0.2 * 4 * 0.01)) ^ 2
    end
    t.that(along > 0)
    t.that(length > 0.5 * 16 * blocks and length < 1.4 * 16 * blocks, length .. " of " .. blocks)
  end
end

local path, kept = os.tmpname(), {}
optimizer:save(path)
for i, each in ipairs(weights) do kept[i] = each:numbers() end
local first = step(1)
for i, each in ipairs(weights) do each:write(kept[i]) end
optimizer:load(path)
t.equal(step(1), first)
os.remove(path)

optimizer:expect()
tain.backward(function()
  return ((weights[1] + weights[1]:size(0)) * (1 / 0)):sum() + weights[2]:sum() + weights[3]:sum()
end)
t.that(not optimizer:step(0.01))
