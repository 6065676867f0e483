--- Writes random prompts of the blocks world, as the recipes read them: one JSON object a line,
--- {"category": …, "id": …, "prompt": …}, the categories in turn.
---
---     tain recipes/blocks/write_prompts.lua --out train.jsonl --count 800
---     tain recipes/blocks/write_prompts.lua --out heldout.jsonl --count 480 --split heldout
---
--- No prompt of one split is a rewording of one of the other. A prompt is written twice only when
--- its category has no other left (held out there are 6 of texture and 2320 of complex).

local tain = require "tain"
local write = require "blocks.prompt_file"

local opt = tain.options {
  out   = { "path", new = true, help = "the file to write" },
  count = { "integer", default = 800, min = 1, help = "how many prompts" },
  split = { "choice", choices = { "train", "heldout" }, default = "train" },
  seed  = { "integer", default = 1, min = 0 },
}

local items = write.sample(opt.count, opt.split, opt.seed)
write.save(opt.out, items)
tain.log { prompts = #items, split = opt.split, out = opt.out }
