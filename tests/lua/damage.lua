--- Files that a recipe names, damaged: cut off after every 64 bytes, and with bits of their first 512 turned
--- over. Whatever comes of it is one sentence, or the file is read. Those that C reads by themselves are tried
--- in tests/io/damage.c; here are lines of prompts, the folder of a run and the page about it, an adapter, the
--- state of an optimizer, and the files of a model's folder.
---
---     build/tain tests/lua/damage.lua [--all]
---
--- A short file of prompts has every one of these bits turned over, the others some, spread over all eight of a
--- byte; `--all` leaves none out.

local json = require "tain.json"
local recipe = require "recipe"
local report = require "tain.report"
local tain = require "tain"

local bit = require "bit"
local ffi = require "ffi"
ffi.cdef "int dup(int); int dup2(int, int); int open(const char *, int, ...);"
local folder = recipe.folder
local HEAD = 512
local opt = tain.options { all = { "boolean" } }

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

-- ---- Trying ----

local function try(what, closed, fn)
  local ok, raised = pcall(fn)
  local message = type(raised) == "table" and raised.message or raised
  if ok then
    if closed then error(what .. ": it was read all the same", 0) end
  elseif type(message) ~= "string" or message == "" or #message > 600 or message:find "%c" or json.broken(message)
    or message:find "attempt to " or message:find "bad argument" then
    error(("%s: no sentence: %q"):format(what, tostring(message)), 0)
  end
end

-- `options`: cuts and flips are how many there are at most, spread over all, but with --all; closed: a cut can be
-- told, if what is missing is more than white space; before, how a try begins.
local function damage(path, fn, options)
  options = options or {}
  local good = read(path)
  fn()
  local bits, cuts = 8 * math.min(options.head or HEAD, #good), math.ceil(#good / 64)
  local step = opt.all and 1 or math.ceil(cuts / (options.cuts or cuts))
  for i = 0, cuts - 1, step do
    write(path, good:sub(1, 64 * i))
    if options.before then options.before() end
    try(("%s cut after %d bytes"):format(path, 64 * i), options.closed and good:find("%S", 64 * i + 1), fn)
  end
  step = opt.all and 1 or math.ceil(bits / (options.flips or bits))
  if step % 2 == 0 then step = step + 1 end   -- odd: every bit of a byte has its turn
  for i = 0, bits - 1, step do
    local at = math.floor(i / 8) + 1
    write(path, good:sub(1, at - 1) .. string.char(bit.bxor(good:byte(at), bit.lshift(1, i % 8))) .. good:sub(at + 1))
    if options.before then options.before() end
    try(("%s with bit %d of byte %d turned over"):format(path, i % 8, at - 1), options.summed, fn)
  end
  write(path, good)
end

-- ---- Prompts ----

do
  local path = folder .. "/prompts.jsonl"
  local lines = {}
  for line in io.lines "tests/golden/blocks/scenes.jsonl" do
    if #lines < 20 then lines[#lines + 1] = line end
  end
  lines[#lines + 1] = '{"prompt": "ein rotes Quadrat mit \228\184\150 und \\u00e4"}'
  write(path, table.concat(lines, "\n") .. "\n")
  damage(path, function() tain.jsonl(path) end, { flips = 250 })
  write(path, '{"prompt": "a \195\164", "label": 1}\n{"prompt": "b", "label": 0}\n')
  damage(path, function() tain.jsonl(path, { "prompt", "label" }) end)
end

-- ---- A run ----

do
  local out = folder .. "/run"
  local function play(resume)
    local run = tain.run { out = out, resume = resume, options = { lr = 1e-3, name = "x" }, device = false }
    for step = 1, 3 do run:event { kind = "step", loss = step / 3, text = 'a "red" circle' } end
    run:event { kind = "evaluate", round = 0, non = 0.25, gen = 0.5 }
    run:close()
  end
  play(false)
  local heard, deaf = ffi.C.dup(2), ffi.C.open("/dev/null", 1)
  ffi.C.dup2(deaf, 2)   -- a run that goes on with another text of its recipe says so
  local names = { "run.json", "events.jsonl", "times.jsonl", "metrics.jsonl" }
  local good = {}
  for _, name in ipairs(names) do good[name] = read(out .. "/" .. name) end
  for _, name in ipairs(names) do
    local function before()
      collectgarbage()   -- the log of a run that failed is locked until it is let go
      for _, other in ipairs(names) do
        if other ~= name then write(out .. "/" .. other, good[other]) end
      end
    end
    damage(out .. "/" .. name, function() play(true) end, { before = before, flips = name == "run.json" and 200 or 100 })
    before()
    damage(out .. "/" .. name, function() report.page(out) end, { before = before, flips = 40 })
  end
  ffi.C.dup2(heard, 2)
end

-- ---- On top of a model ----

do
  local model = tain.load(recipe.model)
  local path = folder .. "/adapter"
  local parameters = model:adapt { rank = 2, targets = "q_proj,v_proj" }
  local optimizer = tain.adamw(parameters, { lr = 1e-3 })
  model:save_adapter(path)
  optimizer:save(folder .. "/optimizer.safetensors")
  damage(folder .. "/optimizer.safetensors", function() optimizer:load(folder .. "/optimizer.safetensors") end,
    { closed = true, flips = 300 })
  local function load()
    for _, tensor in ipairs(model:load_adapter(path)) do tensor:free() end
  end
  damage(path .. "/adapter_config.json", load, { closed = true, head = 1024, flips = 300 })
  damage(path .. "/adapter_model.safetensors", load, { closed = true, head = 1024, flips = 300 })
  model:free()
end

-- ---- A model's folder ----

do
  local whole, path = tain.load(recipe.model), folder .. "/model"
  whole:save(path, { shard = 200000 })
  whole:free()
  local function load() tain.load(path):free() end
  local _, shard = next(json.decode(read(path .. "/model.safetensors.index.json")).weight_map)
  for _, name in ipairs { "config.json", "processor_config.json", "preprocessor_config.json", "tokenizer_config.json",
    "special_tokens_map.json", "tokenizer.json", "model.safetensors.index.json" } do
    damage(path .. "/" .. name, load, { closed = true, cuts = 16, flips = 24 })
  end
  damage(path .. "/" .. shard, load, { closed = true, cuts = 16, flips = 24 })
end

recipe.done()
