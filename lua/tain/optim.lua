--- Optimizers: what changes parameters by their gradients.
---
---     local optimizer = tain.adamw(model:parameters(), { lr = 1e-4 })
---     local loss = optimizer:step(function()
---       return -model:logprob(prompts, images):mean()
---     end)
---
--- A step waits for the device once, at its end, to read the loss. A loss or a gradient that is not
--- a finite number leaves the parameters as they are; the run goes on, unless it goes on like that.

local ffi = require "ffi"
local check = require "tain.check"
local log = require "tain.log"
local own = require "tain.own"
local tensor = require "tain.tensor"

local C = ffi.C
local optim = {}

local PATIENCE = 10   -- skipped steps in a row that end the recipe

-- optimizer -> given (its options), skipped (as the device has counted), row (skipped without a
-- break), waiting (accumulate has left gradients)
local states = setmetatable({}, { __mode = "k" })

--- @class Optimizer
local Optimizer = {}
Optimizer.__index = function(_, name)
  local method = Optimizer[name]
  if method == nil then
    check.raise("an optimizer has no %s%s", tostring(name), check.suggest(name, Optimizer))
  end
  return method
end
Optimizer.__metatable = false
function Optimizer.__newindex(_, name)
  check.raise("optimizer.%s: nothing can be set; step takes { lr = … }", tostring(name))
end

--- Makes an AdamW optimizer.
---
--- @param params Tensor[] f32; they become leaves of the tape
--- @param options? table lr (may also be given with each step), betas (default { 0.9, 0.999 }),
---        eps (default 1e-8), decay (default 0), clip (greatest norm of all gradients; default 1,
---        0 for none)
--- @return Optimizer
function optim.adamw(params, options)
  local given = check.options("adamw", options, {
    lr = { "number", min = 0, optional = true },
    betas = { "numbers", min = 0, max = 1, default = { 0.9, 0.999 } },
    eps = { "number", min = 0, default = 1e-8 },
    decay = { "number", min = 0, default = 0 },
    clip = { "number", min = 0, default = 1 },
  })
  if #given.betas ~= 2 then check.raise("adamw: betas must be two numbers, not %d", #given.betas) end
  local array, count = check.array("adamw", "params", params, "tain_tensor *")
  if count == 0 then check.raise("adamw: params is empty; no parameter fits?") end
  local optimizer = setmetatable({}, Optimizer)
  local handle = check.made(C.tain_adamw_create(array, count))
  own.keep(own.adopt(optimizer, handle, C.tain_optimizer_free, "optimizer"))
  states[optimizer] = { given = given, skipped = 0, row = 0 }
  return optimizer
end

local function open(name, optimizer)
  return check.object(name, "optimizer", optimizer, "optimizer"), states[optimizer]
end

local function rate(name, state, options)
  local given = check.options(name, options, { lr = { "number", min = 0, optional = true } })
  local lr = given.lr or state.given.lr
  if not lr then check.raise("%s: lr is missing: give it here or to adamw", name) end
  return lr
end

local function go(handle, state, lr)
  local o = state.given
  check.status(C.tain_optimizer_step(handle, lr, o.betas[1], o.betas[2], o.eps, o.decay, o.clip))
end

local function seen(handle)
  local skipped = tonumber(C.tain_optimizer_skipped(handle))
  return check.status(skipped)
end

-- Whether the latest step was taken. Says so if it was not.
local function taken(name, handle, state)
  local skipped = seen(handle)
  if skipped == state.skipped then
    state.row = 0
    return true
  end
  state.skipped, state.row = skipped, state.row + 1
  local steps = tonumber(C.tain_optimizer_steps(handle))
  local loss, norm = C.tain_optimizer_loss(handle), C.tain_optimizer_norm(handle)
  local why = ("skipped: loss %.4g, norm of the gradient %.4g"):format(loss, norm)
  if state.row >= PATIENCE then
    check.raise("%s: %d steps in a row were %s", name, state.row, why)
  end
  log.log { "warning", "update", warning = why, update = steps }
  return false
end

--- Takes one step: runs `fn`, computes the gradients of the number it returns, updates the
--- parameters. Frees what fn made. If fn fails, nothing changes.
---
--- @param fn function returns a tensor of one element, and whatever else the caller wants
--- @param options? table lr, for this step
--- @return number loss
--- @return any ... what fn returned besides
function Optimizer:step(fn, options)
  local handle, state = open("step", self)
  local lr = rate("step", state, options)
  if state.waiting then
    check.raise("step: gradients of accumulate are waiting for update")
  end
  return tensor.on_tape("step", fn, function()
    check.status(C.tain_optimizer_zero(handle))
  end, function(loss)
    check.status(C.tain_optimizer_watch(handle, loss))
    go(handle, state, lr)
    taken("step", handle, state)   -- first: the loss alone could not say that reading it failed
    return C.tain_optimizer_loss(handle)
  end)
end

--- Runs `fn` and adds the gradients of the number it returns to those of earlier calls, for update
--- to use. A mean over several calls is the recipe's matter: divide the loss by their number. If fn
--- fails, the gradients of earlier calls are dropped too.
---
--- @param fn function returns a tensor of one element, and whatever else the caller wants
--- @return number loss
--- @return any ... what fn returned besides
function Optimizer:accumulate(fn)
  local handle, state = open("accumulate", self)
  local first = not state.waiting
  state.waiting = false
  return tensor.on_tape("accumulate", fn, function()
    if first then check.status(C.tain_optimizer_zero(handle)) end
  end, function(loss)
    local number = ffi.new("float[1]")
    check.status(C.tain_tensor_read(loss, number, 1))
    if number[0] - number[0] ~= 0 then check.status(C.tain_optimizer_watch(handle, loss)) end
    state.waiting = true
    return number[0]
  end)
end

--- Updates the parameters by the gradients that accumulate has left.
---
--- @param options? table lr, for this step
--- @return boolean taken false if the step was skipped
function Optimizer:update(options)
  local handle, state = open("update", self)
  local lr = rate("update", state, options)
  if not state.waiting then check.raise("update: there are no gradients; accumulate makes them") end
  state.waiting = false
  go(handle, state, lr)
  return taken("update", handle, state)
end

--- The norm of the latest step's gradients, before clipping.
---
--- @return number
function Optimizer:norm()
  local norm = C.tain_optimizer_norm((open("norm", self)))
  if norm < 0 then check.status(norm) end
  return norm
end

--- @return integer # steps so far, the skipped ones included
function Optimizer:steps()
  return tonumber(check.status(C.tain_optimizer_steps((open("steps", self)))))
end

--- @return integer # steps that were skipped because something was not a finite number
function Optimizer:skipped()
  return seen((open("skipped", self)))
end

--- Writes what the optimizer remembers, all or nothing.
---
--- @param path string
function Optimizer:save(path)
  check.status(C.tain_optimizer_save((open("save", self)), check.string("save", "path", path)))
end

--- Reads what save wrote: training goes on as if it had not been interrupted.
---
--- @param path string
function Optimizer:load(path)
  local handle, state = open("load", self)
  check.status(C.tain_optimizer_load(handle, check.string("load", "path", path)))
  state.skipped, state.row, state.waiting = seen(handle), 0, false
end

--- Frees the optimizer's memory now. Its parameters stay as they are.
function Optimizer:free()
  if own.kind(self) ~= "optimizer" then open("free", self) end
  own.free(self, C.tain_optimizer_free, "free")
end

function Optimizer:__tostring()
  local handle, ended = own.handle(self)
  if handle == nil then return ("optimizer, freed by %s"):format(tostring(ended)) end
  return ("optimizer, %d steps"):format(self:steps())
end

return optim
