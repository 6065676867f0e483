--- Optimizers and schedules as a recipe uses them: a regression is fitted, errors leave everything
--- usable, a step that is no number is skipped, training goes on from a file bit by bit.
local t = require "expect"
local tain = require "tain"
local log = require "tain.log"

local random = tain.random(7)
local N, D = 64, 3
local xs, ys, true_w, true_b = {}, {}, { 1.5, -2, 0.5 }, 0.25
for i = 1, N do
  local row, y = {}, true_b
  for k = 1, D do
    row[k] = random:uniform() * 2 - 1
    y = y + row[k] * true_w[k]
  end
  xs[i], ys[i] = row, { y }
end
local x, y = tain.tensor(xs), tain.tensor(ys)

local function model()
  return tain.zeros { D, 1 }, tain.zeros { 1 }
end

local function loss_of(w, b, scale)
  return (x:matmul(w) + b - y):square():mean() * (scale or 1)
end

-- ---- A fit ----

local w, b = model()
local optimizer = tain.adamw({ w, b }, { betas = { 0.9, 0.99 }, clip = 5 })
local rate = tain.schedule.cosine { lr = 0.1, warmup = 5, steps = 150 }
local first, last
for step = 1, 150 do
  local made
  local loss, extra = optimizer:step(function()
    made = loss_of(w, b)
    return made, "extra"
  end, { lr = rate(step) })
  t.equal(extra, "extra")
  t.fails(function() made:item() end, "freed by the end of its step")
  first, last = first or loss, loss
end
t.that(first > 1 and last < 1e-4, ("from %g to %g"):format(first, last))
t.close(w:numbers(), true_w, 1e-2)
t.close(b:item(), true_b, 1e-2)
t.equal(optimizer:steps(), 150)
t.equal(optimizer:skipped(), 0)
t.that(optimizer:norm() < 0.1)

-- ---- Accumulation: two halves are the whole ----

local function once(run)
  local w1, b1 = model()
  local o = tain.adamw({ w1, b1 }, { lr = 0.1 })
  run(o, w1, b1)
  local numbers = w1:numbers()
  o:free()
  return numbers
end
local whole = once(function(o, w1, b1)
  for _ = 1, 3 do o:step(function() return loss_of(w1, b1) end) end
end)
local halves = once(function(o, w1, b1)
  for _ = 1, 3 do
    for _ = 1, 2 do o:accumulate(function() return loss_of(w1, b1, 0.5) end) end
    t.that(o:update())
  end
  t.fails(function() o:update() end, "there are no gradients")
end)
t.close(halves, whole, 1e-6)

-- ---- Errors ----

local w2, b2 = model()
local o = tain.adamw({ w2, b2 }, { lr = 0.1 })
local function fit() return o:step(function() return loss_of(w2, b2) end) end
local before = fit()
t.fails(function()
  o:step(function()
    local kept = loss_of(w2, b2)
    error("out of " .. kept:count())
  end)
end, "out of 1")
t.fails(function() o:step(function() return 3 end) end, "must return a tensor of one element, not 3")
t.fails(function() o:step(function() return w2 end) end, "backward: the loss must be one number")
t.fails(function() o:step(function() return x:mean() end) end, "does not depend on any tensor")
t.fails(function() o:step(function() fit() end) end, "steps cannot be nested")
t.fails(function() o:step(fit, { rate = 1 }) end, "step: unknown option rate")
t.fails(function() o:step(fit, { lr = -1 }) end, "lr must be at least 0")
t.fails(function() tain.adamw({ w2 }) end, "parameter 1 is in the hands of an optimizer already")
t.fails(function() tain.adamw({}) end, "params is empty")
t.fails(function() tain.adamw({ w2, 3 }) end, "params[2] must be a tensor, not 3")
t.fails(function() tain.adamw({ w2 }, { betas = { 0.9 } }) end, "betas must be two numbers")
t.fails(function() o.lr = 3 end, "nothing can be set")
t.fails(function() return o.stepp end, "did you mean step?")
t.equal(o:steps(), 1)
t.that(fit() < before)

o:accumulate(function() return loss_of(w2, b2) end)
t.fails(fit, "waiting for update")
t.fails(function() o:accumulate(function() error("no") end) end, "no")
t.fails(function() o:update() end, "there are no gradients")
t.that(fit() < before)

-- ---- What is not a finite number ----

local rows = {}
log.listeners[#log.listeners + 1] = function(row) rows[#rows + 1] = row end
local nothing = tain.tensor(0 / 0)
local numbers = w2:numbers()
require("tain.settings").quiet = true
for _, bad in ipairs { 0 / 0, math.huge } do
  local loss = o:step(function() return loss_of(w2, b2) + tain.tensor(bad) end)
  t.that(loss - loss ~= 0)
end
o:step(function() return (w2 * nothing):sum() end)
o:accumulate(function() return loss_of(w2, b2) + tain.tensor(math.huge) end)
o:accumulate(function() return loss_of(w2, b2) end)
t.equal(o:update(), false)
t.equal(w2:numbers(), numbers)
t.equal({ #rows, rows[1].update, o:skipped() }, { 4, 4, 4 })
t.that(rows[1].warning:find("loss nan", 1, true) or rows[1].warning:find("loss -nan", 1, true))
t.that(fit() < before)
t.fails(function()
  for _ = 1, 10 do o:step(function() return (w2 * nothing):sum() end) end
end, "step: 10 steps in a row were skipped")
t.that(fit() < before)

-- ---- Going on from a file ----

local path = os.tmpname()
local function train(resume)
  local w3, b3 = model()
  local q = tain.adamw({ w3, b3 }, { lr = 0.05 })
  for step = 1, 6 do
    if resume and step == 4 then
      q:save(path)
      q:free()
      t.fails(function() q:steps() end, "freed by free")
      t.equal(w3:grad(), nil)
      q = tain.adamw({ w3, b3 }, { lr = 0.05 })
      q:load(path)
      t.equal(q:steps(), 3)
    end
    q:step(function() return loss_of(w3, b3) end)
  end
  return w3:numbers()
end
t.equal(train(true), train(false))
os.remove(path)
t.fails(function() o:load(path) end, path)

-- ---- Schedules ----

local linear = tain.schedule.linear { lr = 2, warmup = 4, steps = 8, floor = 0.5 }
local at = {}
for step = 1, 9 do at[step] = linear(step) end
t.close(at, { 0.5, 1, 1.5, 2, 1.75, 1.5, 1.25, 1, 1 }, 1e-12)
local cosine = tain.schedule.cosine { lr = 2, steps = 4, floor = 0.1 }
t.close({ cosine(1), cosine(2), cosine(4), cosine(400) },
  { 0.2 + 1.8 * (1 + math.sqrt(0.5)) / 2, 1.1, 0.2, 0.2 }, 1e-12)
local stable = tain.schedule.stable { lr = 2, warmup = 2, steps = 10, floor = 0.5, fall = 0.4 }
for step, want in pairs { 1, 2, [6] = 2, [8] = 1.5, [10] = 1, [20] = 1 } do t.close(stable(step), want, 1e-12) end
local constant = tain.schedule.constant { lr = 3, warmup = 2 }
t.equal({ constant(1), constant(2), constant(100) }, { 1.5, 3, 3 })
t.fails(function() tain.schedule.linear { lr = 1, steps = 3, warmup = 4 } end, "warmup, 4, is more")
t.fails(function() constant(0) end, "step must be at least 1")
