--- tain quantize: the folder loads as it was written, computes what loading with that storage computes,
--- trains adapters, goes back to floats; the sentences where something cannot be done.
local t = require "expect"
local recipe = require "recipe"
local tain = require "tain"

local sh, folder = recipe.sh, recipe.folder

local function config(path)
  local file = assert(io.open(path .. "/config.json", "rb"))
  local text = file:read "*a"
  file:close()
  return tain.json.decode(text)
end

local function refused(command, code, text)
  local said, got = sh("$tain quantize " .. command)
  if got ~= code or not said:find(text, 1, true) then
    error(("quantize %s ends with %d and says %s"):format(command, got, said), 2)
  end
end

local pictures = {}
for i = 1, 2 do pictures[i] = tain.image(("\40\90\200"):rep(32 * 32), 32, 32) end

-- What a model says of prompts and pictures, as numbers.
local function says(model)
  local list = {}
  for _, score in ipairs(model:score(pictures, { "a red cross", "a blue square" })) do
    list[#list + 1] = score.p_yes
    list[#list + 1] = score.mass
  end
  return list
end

for storage, bits in pairs { int8 = 8, int4 = 4 } do
  local out = ("%s/%s"):format(folder, storage)
  local said, code = sh(("$tain quantize %s --type %s --out %s"):format(recipe.model, storage, out))
  t.that(code == 0 and said:find(("7 matrices in %s, "):format(storage), 1, true), said)
  t.equal(config(out).quantization_config, { quant_method = "tain", bits = bits, group_size = 32 })

  local model, loaded = tain.load(out), tain.load(recipe.model, { storage = storage })
  t.equal(model:matrices(storage), 7)
  t.equal(model:matrices "int8" + model:matrices "int4", 7)
  t.equal(says(model), says(loaded))
  loaded:free()

  -- As floats, which computes nearly the same, and back, without the note.
  local floats = tain.load(out, { storage = "f32" })
  t.equal(floats:matrices(storage), 0)
  floats:save(folder .. "/floats")
  t.equal(config(folder .. "/floats").quantization_config, nil)
  t.close(says(floats)[1], says(model)[1], 1e-2)
  floats:free()
  model:save(folder .. "/dense", { type = "f16" })   -- the same from what is quantised
  t.equal(config(folder .. "/dense").quantization_config, nil)
  t.that(not pcall(model.save, model, folder .. "/other", { type = storage == "int8" and "int4" or "int8" }))

  -- Adapters train on top; the base does not, and takes none in.
  local image = model:generate("a red cross", { seed = 1 })
  local before = model:logprob("a red cross", image):mean():item()
  local optimizer = tain.adamw(model:adapt { rank = 4 }, { lr = 1e-2 })
  local losses = {}
  for step = 1, 6 do
    losses[step] = optimizer:step(function() return -model:logprob("a red cross", image):mean() end)
  end
  t.close(losses[1], -before, 1e-5)
  t.that(losses[6] < losses[1] - 0.05, ("%g is not below %g"):format(losses[6], losses[1]))
  t.close(model:without_adapter(function() return model:logprob("a red cross", image):mean():item() end), before, 1e-6)
  t.fails(function() model:merge_adapter() end, "is stored as " .. storage .. "; load the model as f32, merge there")
  t.fails(function() tain.adamw(model:parameters(tain.LANGUAGE), { lr = 1 }) end, "is stored as " .. storage)
  model:save_adapter(folder .. "/adapter")
  model:free()
end

-- From shards in bf16, where the rest stays bf16, and from the layout of transformers.
do
  local whole = tain.load(recipe.model)
  whole:save(folder .. "/shards", { type = "bf16", shard = 50000 })
  whole:free()
  for name, from in pairs { shards = folder .. "/shards", port = "tests/golden/janus_hf" } do
    local out = folder .. "/from_" .. name
    local said, code = sh(("$tain quantize %s --type int4 --out %s"):format(from, out))
    t.that(code == 0, said)
    local model, loaded = tain.load(out), tain.load(from, { storage = "int4" })
    t.that(model:matrices "int4" > 0 and model:matrices(name == "shards" and "bf16" or "f16") > 0)
    t.equal(says(model), says(loaded))
    model:free()
    loaded:free()
  end
end

-- What is not right is said, and nothing is written.
refused(recipe.model .. " --type int3 --out " .. folder .. "/x", 2, "--type must be one of int8, int4")
refused(recipe.model .. " --type int8", 2, "--out")
refused(recipe.model .. (" --type int8 --out %s/int8"):format(folder), 2, "int8 exists already")
refused(folder .. "/none --type int8 --out " .. folder .. "/x", 2, "none")
t.that((sh "$tain help quantize"):find "tain quantize MODEL %-%-type int8|int4 %-%-out FOLDER")
t.that((sh "$tain quantize --help"):find "tain quantize MODEL %-%-type")
local model = tain.load(recipe.model)
t.fails(function() model:save(folder .. "/x", { type = "int4" }) end, "no matrix of the model is stored so")
t.that(not io.open(folder .. "/x/config.json"))
model:free()

-- What others quantised is not taken for ours.
os.execute(("cp -r %s/int4 %s/foreign"):format(folder, folder))
local changed = config(folder .. "/foreign")
changed.quantization_config = { quant_method = "gptq", bits = 4 }
local file = assert(io.open(folder .. "/foreign/config.json", "wb"))
file:write(tain.json.encode(changed))
file:close()
t.fails(function() tain.load(folder .. "/foreign") end, 'quant_method "gptq" and bits 4')

-- The recipe that prints what quantising costs.
local said = recipe.run("blocks/storage", "{m} --count 2 --json")
local seen = {}
for line in said:gmatch "[^\n]+" do
  local row = tain.json.decode(line)
  seen[#seen + 1] = row.storage
  t.that(row.judging >= 0 and row.judging <= 1 and row.drawing >= 0 and row.rejected <= 1)
end
t.equal(seen, { "f32", "f16", "int8", "int4" })
recipe.done()
