--- Learning rates over time: each of these makes a plain function of the step, counted from 1.
---
---     local rate = tain.schedule.cosine { lr = 1e-3, warmup = 100, steps = 2000, floor = 0.1 }
---     optimizer:step(fn, { lr = rate(step) })
---
--- With a warm-up, the rate grows in equal parts and reaches lr at that step; what comes after the
--- warm-up is what the name says.

local check = require "tain.check"

local schedule = {}

local function options(name, given, falls, fall)
  local specs = {
    fall = fall,
    lr = { "number", min = 0 },
    warmup = { "integer", min = 0, default = 0 },
  }
  if falls then
    specs.steps = { "integer", min = 1 }
    specs.floor = { "number", min = 0, max = 1, default = 0 }
  end
  local opt = check.options("schedule." .. name, given, specs)
  if falls and opt.warmup > opt.steps then
    check.raise("schedule.%s: warmup, %d, is more than steps, %d", name, opt.warmup, opt.steps)
  end
  return opt
end

local function warm(name, opt, after)
  return function(step)
    check.integer("schedule." .. name, "step", step, 1)
    if step < opt.warmup then return opt.lr * step / opt.warmup end
    return opt.lr * after(step)
  end
end

-- How much of the way from the end of the warm-up to the last step is left, from 1 to 0.
local function left(opt, step)
  if step >= opt.steps then return 0 end
  return (opt.steps - step) / (opt.steps - opt.warmup)
end

--- Stays at lr.
---
--- @param given table lr, warmup (default 0)
--- @return function
function schedule.constant(given)
  return warm("constant", options("constant", given), function() return 1 end)
end

--- Falls in a straight line to floor * lr at the last step, and stays there.
---
--- @param given table lr, steps, warmup (default 0), floor (default 0)
--- @return function
function schedule.linear(given)
  local opt = options("linear", given, true)
  return warm("linear", opt, function(step)
    return opt.floor + (1 - opt.floor) * left(opt, step)
  end)
end

--- Falls along half a cosine to floor * lr at the last step, and stays there.
---
--- @param given table lr, steps, warmup (default 0), floor (default 0)
--- @return function
function schedule.cosine(given)
  local opt = options("cosine", given, true)
  return warm("cosine", opt, function(step)
    return opt.floor + (1 - opt.floor) * 0.5 * (1 - math.cos(math.pi * left(opt, step)))
  end)
end

--- Stays at lr, then falls in a straight line to floor * lr at the last step, and stays there. The
--- number of steps can still be changed while it stays: where it has been does not depend on them.
---
--- @param given table lr, steps, warmup (default 0), floor (default 0), fall (the share of the steps in
---   which it falls, default 0.3)
--- @return function
function schedule.stable(given)
  local opt = options("stable", given, true, { "number", min = 0, max = 1, default = 0.3 })
  local span = math.max(1, math.min(opt.steps - opt.warmup, opt.fall * opt.steps))
  return warm("stable", opt, function(step)
    return opt.floor + (1 - opt.floor) * math.max(0, math.min(1, (opt.steps - step) / span))
  end)
end

return schedule
