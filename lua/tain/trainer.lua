--- Training in epochs, as part of a run: steps, numbers, checkpoints, and going on after anything.
---
---     local trainer = tain.trainer(model, run, { lr = 1e-4, batch = 64, seed = 1 })
---     trainer:epoch(data, function(batch)
---       return -model:logprob(batch.prompt, batch.image, { per = "token" }):mean()
---     end)

local check = require "tain.check"
local data = require "tain.data"
local optim = require "tain.optim"
local progress = require "tain.progress"
local public = require "tain.model"

local trainer = {}

--- @class Trainer
--- @field epochs integer how many were begun
--- @field optimizer Optimizer
local Trainer = {}
Trainer.__index = Trainer

--- Makes a trainer of a model. From now on the run keeps the model's weights and the optimizer.
---
--- @param model Model
--- @param run Run
--- @param options? table lr, batch, seed (of the order of the data), every (steps between
---   checkpoints), weights (patterns; what the paper trains if nil), betas, decay, clip
--- @return Trainer
function trainer.trainer(model, run, options)
  options = check.options("trainer", options, {
    lr = { "number", min = 0 },
    batch = { "integer", default = 64, min = 1 },
    seed = { "integer", default = 1, min = 0 },
    every = { "integer", default = 50, min = 1 },
    weights = { "strings", default = public.LANGUAGE },
    betas = { "numbers", default = { 0.9, 0.98 } },
    decay = { "number", default = 0.01, min = 0 },
    clip = { "number", default = 1, min = 0 },
  })
  local optimizer = optim.adamw(model:parameters(options.weights), { lr = options.lr,
    betas = options.betas, decay = options.decay, clip = options.clip })
  run:keeps(function(folder)
    model:save(folder)
    optimizer:save(folder .. "/optimizer.safetensors")
  end, function(folder)
    model:restore(folder)
    optimizer:load(folder .. "/optimizer.safetensors")
  end)
  return setmetatable({ model = model, run = run, optimizer = optimizer, options = options,
    epochs = 0 }, Trainer)
end

--- Goes once through the data, in an order that depends on the seed and the epoch's number.
---
--- @param list table[]
--- @param loss function of a batch: gives a tensor of one element, and perhaps numbers to record
function Trainer:epoch(list, loss)
  check.table("epoch", "list", list)
  check["function"]("epoch", "loss", loss)
  local options = self.options
  self.epochs = self.epochs + 1
  local epoch = self.epochs
  local bar = progress.progress { label = "epoch " .. epoch,
    total = math.ceil(#list / options.batch) }
  local steps = self.run:train("epoch " .. epoch, { every = options.every,
    batches = function(from)
      return data.batches(list, { size = options.batch, seed = options.seed * 4096 + epoch,
        from = from })
    end })
  for _, batch in steps do
    local value, metrics = self.optimizer:step(function() return loss(batch) end)
    local row = { loss = value, epoch = epoch, learning_rate = options.lr,
      grad_norm = self.optimizer:norm() }
    for name, number in pairs(metrics or {}) do row[name] = number end
    self.run:metrics(row)
    bar:step()
  end
  bar:done()
end

--- Writes the trained model: a folder like the one it came from.
---
--- @param folder string
function Trainer:save(folder)
  self.run:once("save " .. folder:match("[^/]*$"), function() self.model:save(folder) end)
end

return trainer
