--- What it costs to store the language model's matrices in fewer bits: how well a model judges and draws
--- held-out prompts, and how much of what it draws it rejects, for each way to store them.
---
---     tain recipes/blocks/storage.lua --model recipes/blocks/model
---
--- A line for each storage: judging is the share of right answers about clean pictures, drawing the share
--- of drawings that the exact judge accepts, rejected the share of them that the model itself rejects (the
--- gap), agreed where both judges say the same. The prompts and the random numbers are the same for all, so
--- that what differs is the storage. Keys and values of earlier tokens are kept to match unless --cache is given.

local tain = require("tain").api "1"
local exam = require "blocks.exam"

local opt = tain.options {
  model   = { "model",   help = "folder of a model, or its name" },
  storage = { "strings", default = { "f32", "f16", "int8", "int4" }, help = "ways to store" },
  cache   = { "choice", choices = { "f32", "f16", "bf16" }, optional = true, help = "how keys and values are kept" },
  count   = { "integer", default = 96, min = 1, help = "prompts" },
  seed    = { "integer", default = 1, help = "of prompts and drawings" },
}

for _, storage in ipairs(opt.storage) do
  local model = tain.load(opt.model, { storage = storage, cache = opt.cache })
  local row = exam.quick(model, opt.seed, opt.count)
  row.storage = storage
  tain.log(row)
  model:free()
end
