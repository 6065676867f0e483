--- Tensors in Lua: making, looking, arithmetic, gradients, and when they end.
local t = require "expect"
local tain = require "tain"

-- Making and looking.
local a = tain.tensor { { 1, 2, 3 }, { 4, 5, 6 } }
t.equal(a:shape(), { 2, 3 })
t.equal({ a:dims(), a:count(), a:size(-1), a:type() }, { 2, 6, 3, "f32" })
t.equal(a:numbers(), { 1, 2, 3, 4, 5, 6 })
t.equal(tostring(a), "tensor f32 [2, 3]")
t.equal(tain.tensor(5):item(), 5)
t.equal(tain.tensor(5):shape(), {})
t.equal(tain.tensor({}):shape(), { 0 })
t.equal(tain.tensor({ { {}, {} } }):shape(), { 1, 2, 0 })
t.equal(tain.zeros(2, 2):numbers(), { 0, 0, 0, 0 })
t.equal(tain.zeros({ 2 }, { type = "f16" }):type(), "f16")
local ints = tain.tensor({ 2 ^ 31 - 1, -2 ^ 31, 16777217 }, { type = "i32" })
t.equal(ints:numbers(), { 2 ^ 31 - 1, -2 ^ 31, 16777217 })
t.fails(tain.tensor, "must be an integer", { 1.5 }, { type = "i32" })
t.equal(tain.tensor({ 1 / 3 }, { type = "bf16" }):numbers()[1] == 1 / 3, false)
t.equal(tain.tensor({ 1, 0 / 0, 1 / 0 }):numbers(), { 1, 0 / 0, 1 / 0 })

local target = tain.zeros(2, 3)
t.equal(target:assign(a * 2):numbers(), { 2, 4, 6, 8, 10, 12 })
t.equal(a:assign(a):numbers(), { 1, 2, 3, 4, 5, 6 })
t.fails(target.assign, "assign: [3] to [2, 3]; the shapes", target, tain.zeros(3))
t.fails(target.assign, "from i32 to f32", target, tain.tensor({ { 1, 2, 3 }, { 4, 5, 6 } }, { type = "i32" }))
t.fails(target.assign, "view with gaps", target, tain.zeros(2, 6):slice(1, 0, 3))
t.fails(target.assign, "from must be a tensor, not 1", target, 1)
t.fails(tain.backward, "not inside a step", function() return target:assign(a):sum() end)

-- Arithmetic.
local x, y = tain.tensor { 1, 2, 4 }, tain.tensor { 8, 4, 2 }
t.close((x + y):numbers(), { 9, 6, 6 }, 0)
t.close((x - y):numbers(), { -7, -2, 2 }, 0)
t.close((x * y):numbers(), { 8, 8, 8 }, 0)
t.close((x / y):numbers(), { 0.125, 0.5, 2 }, 1e-6)
t.close((-x):numbers(), { -1, -2, -4 }, 0)
t.close((x + 1):numbers(), { 2, 3, 5 }, 0)
t.close((1 + x):numbers(), { 2, 3, 5 }, 0)
t.close((x - 1):numbers(), { 0, 1, 3 }, 0)
t.close((1 - x):numbers(), { 0, -1, -3 }, 0)
t.close((x * 2):numbers(), { 2, 4, 8 }, 0)
t.close((2 * x):numbers(), { 2, 4, 8 }, 0)
t.close((x / 2):numbers(), { 0.5, 1, 2 }, 0)
t.close((2 / x):numbers(), { 2, 1, 0.5 }, 1e-6)
t.fails(function() return x + "1" end, "add: b must be a tensor")
t.fails(function() return {} / x end, "div: a must be a tensor, not an empty table")
t.fails(function() return x + nil end, "add: b must be a tensor, not nil")

-- Numbers where a tensor could stand; all, or along one dimension.
t.equal(x:gt(1.5):numbers(), { 0, 1, 1 })
t.equal(x:gt(1.5):where(x, 0):numbers(), { 0, 2, 4 })
t.equal(x:gt(3):mean():item() > 0.3, true)
t.equal(a:sum():item(), 21)
t.equal(a:sum(0):numbers(), { 5, 7, 9 })
t.equal(a:mean(-1, true):shape(), { 2, 1 })

-- Gradients.
local w = tain.tensor({ 1, 2, 3 }, { grad = true })
t.equal(w:grad(), nil)
local loss, extra = tain.backward(function() return (w * w):sum(), "more" end)
t.equal({ loss, extra }, { 14, "more" })
t.close(w:grad():numbers(), { 2, 4, 6 }, 1e-6)
t.fails(tain.backward, "boom", function() error "boom" end)
t.equal((tain.backward(function() return w:sum() end)), 6)   -- the failed one left no tape behind
t.fails(tain.backward, "must return a tensor of one element, not nil", function() end)
local frozen = tain.no_grad(function() return w * 2 end)
t.equal(frozen:numbers(), { 2, 4, 6 })
t.fails(tain.no_grad, "boom", function() error "boom" end)
t.equal((tain.backward(function() return w:sum() end)), 6)   -- and no_grad ended although it failed

-- Ends.
local inside, kept
local out = tain.scope(function()
  inside, kept = x * 2, (x * 3):keep()
  return x * 4
end)
t.equal(out:numbers(), { 4, 8, 16 })
t.equal(kept:numbers(), { 3, 6, 12 })
t.equal(tostring(inside), "tensor, freed by the end of its scope")
t.fails(function() return inside:exp() end, "exp: x was freed by the end of its scope")
t.fails(function() return x + inside end, "add: b was freed by the end of its scope")
local view = x:reshape { 3, 1 }
x:free()
t.equal(view:numbers(), { 1, 2, 4 })   -- a view holds its base

-- Temporaries that no scope ends are collected before they fill the device.
local ffi = require "ffi"
local device = require("tain.device").handle()
collectgarbage()
collectgarbage()
ffi.C.tain_device_reset_peak(device)
for _ = 1, 1000 do tain.zeros(256, 1024) end
t.that(tonumber(ffi.C.tain_device_memory(device, true)) < 300 * 2 ^ 20)
local before = tonumber(ffi.C.tain_device_memory(device, false))
for _ = 1, 200 do tain.scope(function() return tain.zeros(1024, 1024), nil end):free() end
t.equal(tonumber(ffi.C.tain_device_memory(device, false)) <= before, true)
