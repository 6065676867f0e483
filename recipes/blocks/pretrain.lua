--- Trains the embedded model from nothing: first the image codec, then drawing, judging and describing.
---
---     tain recipes/blocks/pretrain.lua --out runs/pretrain
---
--- It draws worse than it judges, for the reason that lessons.lua states: 10 % of the captions that it
--- learns to draw from are wrong. Stop it whenever you like; --resume goes on from the last checkpoint.
--- OUT/model is a model folder; the one in recipes/blocks/model was made by this recipe.

local tain = require "tain"
local codec = require "blocks.codec"
local files = require "tain.files"
local lessons = require "blocks.lessons"
local exam = require "blocks.exam"
local muon = require "blocks.muon"

local opt = tain.options {
  model       = { "path", default = "recipes/blocks/model", help = "folder of config.json and tokenizer" },
  out         = { "path", new = true, help = "where checkpoints and curves go" },
  codec_steps = { "integer", default = 2400, min = 0 },
  codec_batch = { "integer", default = 16, min = 1 },
  codec_lr    = { "number", default = 2e-3, min = 0 },
  steps       = { "integer", default = 4000, min = 0 },
  draw        = { "integer", default = 32, min = 1, help = "pictures to draw a step" },
  look        = { "integer", default = 16, min = 1, help = "pictures to judge and describe a step" },
  lr          = { "number", default = 2e-3, min = 0 },
  warmup      = { "integer", default = 100, min = 0 },
  wrong       = { "number", default = 0.1, min = 0, max = 1, help = "share of wrong captions to draw by" },
  empty       = { "number", default = 0.1, min = 0, max = 1, help = "share of missing captions" },
  every       = { "integer", default = 50, min = 1, help = "steps between checkpoints" },
  seed        = { "integer", default = 1 },
  start       = { "path", optional = true, help = "weights to start from" },
  resume      = { "boolean", default = false },
}

local function mean_of(values, picks)
  return values:rows(tain.tensor(picks, { type = "i32" })):mean()
end

local function curve(row)
  local file = assert(io.open(opt.out .. "/curves.jsonl", "a"))
  file:write(tain.json.encode(row), "\n")
  file:close()
  tain.log(row)
end

--- Takes back what the curve says of steps that were lost with a kill and will be taken again.
local function rewind(name, from)
  local path, kept = opt.out .. "/curves.jsonl", {}
  if not files.exists(path) then return end
  for line in files.read(path):gmatch "[^\n]+" do
    local whole, row = pcall(tain.json.decode, line)
    if whole and (row.stage ~= name or not row.step or row.step <= from) then kept[#kept + 1] = line .. "\n" end
  end
  files.write(path, table.concat(kept))
end

--- Trains one stage from its checkpoint: `step(n, optimizer, rate)` returns a row for the curve. Muon
--- trains the matrices that match `hidden`, AdamW all other weights.
local function stage(name, model, weights, hidden, steps, rate, step)
  local folder = opt.out .. "/" .. name
  local matrices = hidden and muon.new(model:parameters(hidden))
  local optimizer = tain.adamw(model:parameters(weights, hidden), { betas = { 0.9, 0.98 }, decay = 0.01, clip = 1 })
  local from = 0
  -- Killed after the old checkpoint was gone and before the new one had its name: it is whole.
  if not files.folder_exists(folder) and files.exists(folder .. ".part/state.json") then
    files.rename(folder .. ".part", folder)
  end
  if files.exists(folder .. "/state.json") then
    from = tain.json.decode(files.read(folder .. "/state.json")).step
    model:restore(folder)
    optimizer:load(folder .. "/optimizer.safetensors")
    if matrices then matrices:load(folder .. "/momentum.f32") end
  end
  rewind(name, from)
  local bar = tain.progress { label = name, total = math.max(0, steps - from) }
  for n = from + 1, steps do
    if matrices then matrices:expect() end
    local row = step(n, optimizer, rate(n))
    if matrices then matrices:step(rate(n)) end
    bar:step()
    if n % 10 == 0 then row.stage, row.step = name, n; curve(row) end
    local stop = tain.interrupted()
    if n % opt.every == 0 or n == steps or stop then
      files.write_folder(folder, function(part)
        model:save(part)
        optimizer:save(part .. "/optimizer.safetensors")
        if matrices then matrices:save(part .. "/momentum.f32") end
        files.write(part .. "/state.json", tain.json.encode { step = n })   -- last: with it, all is there
      end)
    end
    if stop then error("interrupted at step " .. n .. "; --resume goes on from there", 0) end
  end
  bar:done()
  optimizer:free()
  return from < steps
end

local model = tain.create(opt.model, { seed = opt.seed })
files.make_folder(opt.out)
if opt.start then model:restore(opt.start) end

local names = opt.codec_steps > 0 and codec.names(model, opt.seed)
if names and not opt.start then codec.start(model, names, opt.seed) end   -- a checkpoint overrides it
local trained = stage("codec", model, "^gen_vision_model", nil, opt.codec_steps,
  tain.schedule.cosine { lr = opt.codec_lr, warmup = math.min(20, opt.codec_steps), steps = math.max(1, opt.codec_steps),
    floor = 0.05 },
  function(n, optimizer, lr)
    local row = codec.step(model, optimizer, names, n, { seed = opt.seed, batch = opt.codec_batch, lr = lr })
    row.learning_rate = lr
    return row
  end)
if trained then
  local kept, of, entropy = codec.measure(model, 400, opt.seed)
  curve { stage = "codec", kept = kept / of, n = of, entropy = entropy }
end

stage("model", model, { "^language_model", "^vision_model", "^aligner", "^gen_aligner", "^gen_embed", "^gen_head" },
  { "^language_model.*proj", "^vision_model.*attn.*weight", "^vision_model.*mlp.*weight" }, opt.steps,
  tain.schedule.stable { lr = opt.lr, warmup = math.min(opt.warmup, opt.steps), steps = math.max(1, opt.steps), floor = 0.05 },
  function(n, optimizer, lr)
    local rng = require("blocks.world").rng(opt.seed, 2000000 + n)
    local prompts, pictures, dropped = lessons.drawing(rng, opt.draw, opt)
    local images, asked = lessons.judging(model, rng, opt.look)
    local codes = model:encode(pictures)
    local _, draw, judge, caption = optimizer:step(function()
      local draw = -model:logprob(prompts, codes, { per = "token", dropped = dropped }):mean()
      local told = model:answer(images, asked.question, asked.answer, asked.image_of)
      local judge, caption = -mean_of(told, asked.judge), -mean_of(told, asked.caption)
      return 4 * draw + judge + 0.1 * caption, draw, judge, caption
    end, { lr = lr })
    local row = { learning_rate = lr, draw = draw:item(), judge = judge:item(), caption = caption:item() }
    draw:free()
    judge:free()
    caption:free()
    if n % 250 == 0 then
      for key, value in pairs(exam.quick(model, opt.seed)) do row[key] = value end
    end
    return row
  end)

model:save(opt.out .. "/model", { type = "f16" })
tain.log { saved = opt.out .. "/model" }
