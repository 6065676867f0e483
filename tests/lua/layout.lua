--- A model's folder in both layouts and in shards: there and back gives the same bytes, what
--- transformers recorded still holds, and what one layout has no words for is refused.
local t = require "expect"
local ffi = require "ffi"
local recipe = require "recipe"
local tain = require "tain"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

-- What a safetensors file holds: name -> type, shape and bytes as one string.
local function contents(path, into)
  local text, list = read(path), into or {}
  local length = tonumber(ffi.cast("const uint64_t *", text)[0])
  for name, e in pairs(tain.json.decode(text:sub(9, 8 + length))) do
    if name ~= "__metadata__" then
      list[name] = e.dtype .. tain.json.encode(e.shape)
        .. text:sub(9 + length + e.data_offsets[1], 8 + length + e.data_offsets[2])
    end
  end
  return list
end

local golden = "tests/golden/janus_hf"
local original, port = recipe.folder .. "/original", recipe.folder .. "/port"
local model = tain.load(golden)
model:save(original, { layout = "deepseek", type = "f16" })
model:free()

-- The names are those of the table that was made beside the fixture.
local names = {}
for _, row in ipairs(tain.json.decode(read(golden .. "/rename.json")).map) do names[row.original] = true end
local there = contents(original .. "/model.safetensors")
for name in pairs(there) do t.that(names[name], name .. " is not DeepSeek's") end
for name in pairs(names) do t.that(there[name], name .. " is missing") end
local config = tain.json.decode(read(original .. "/config.json"))
t.equal(config.model_type, "multi_modality")
t.equal(config.gen_vision_config.params.ch_mult, { 2, 1 })

-- Back again: every tensor of the file that transformers wrote, bit for bit.
model = tain.load(original)
model:save(port, { layout = "transformers", type = "f16" })
t.equal(contents(port .. "/model.safetensors"), contents(golden .. "/model.safetensors"))

-- And the sizes: what was recorded with the port's own files holds with these.
os.execute(("cp %s/info.json %s/io.safetensors %s"):format(golden, golden, port))
local said, code = recipe.sh(("$tain check %s"):format(port))
t.that(code == 0 and said:find "gen1.greedy", said)
local now, was = tain.json.decode(read(port .. "/config.json")), tain.json.decode(read(golden .. "/config.json"))
for part, list in pairs {
  text_config = "vocab_size hidden_size intermediate_size num_hidden_layers bos_token_id",
  vision_config = "hidden_size depth num_image_tokens projection_dim mlp_ratio patch_size",
  vq_config = "num_patches channel_multiplier embed_dim num_embeddings projection_dim latent_channels",
} do
  for key in list:gmatch "%S+" do t.equal({ part, key, now[part][key] }, { part, key, was[part][key] }) end
end
t.equal(now.image_token_id, was.image_token_id)

-- Shards: none above the limit but one tensor alone, an index that loads, and the same tensors.
local shards = recipe.folder .. "/shards"
model:save(shards, { type = "f16", shard = 60000 })
local index = tain.json.decode(read(shards .. "/model.safetensors.index.json"))
local all, files = {}, {}
for _, name in pairs(index.weight_map) do files[name] = true end
for name in pairs(files) do
  local one = contents(shards .. "/" .. name)
  local bytes, count = 0, 0
  for key, value in pairs(one) do
    t.equal(index.weight_map[key], name)
    bytes, count = bytes + #value:match("%](.*)$"), count + 1
    all[key] = value
  end
  t.that(bytes <= 60000 or count == 1, name .. " has " .. bytes)
end
t.equal(all, there)
model:restore(shards)
model:free()
tain.load(shards):free()

-- Both layouts draw the same picture.
local a, b = tain.load(original), tain.load(port)
t.equal(a:generate("a cat", { seed = 3 }):png(), b:generate("a cat", { seed = 3 }):png())

-- An adapter of the tower's q, k and v, which are three modules in the port.
local adapter = recipe.folder .. "/adapter"
b:adapt { targets = "attn.qkv,gen_head.vision_head", rank = 2 }
b:save_adapter(adapter)
local modules = tain.json.decode(read(adapter .. "/adapter_config.json")).target_modules
t.equal(#modules, 7)
t.equal(modules[1], "model.vision_model.encoder.layers.0.self_attn.q_proj")
t.equal(#a:load_adapter(adapter), 14)
a:save_adapter(adapter, { layout = "deepseek" })
t.equal(#b:load_adapter(adapter), 6)
a:drop_adapter()
b:drop_adapter()

-- What the port has no place for.
local odd = recipe.folder .. "/odd"
os.execute(("cp -r tests/golden/tiny_model %s"):format(odd))
local function change(fn)
  local c = tain.json.decode(read "tests/golden/tiny_model/config.json")
  fn(c)
  local file = assert(io.open(odd .. "/config.json", "wb"))
  file:write(tain.json.encode(c))
  file:close()
  return tain.create(odd)
end
t.fails(function() change(function(c) c.gen_vision_config.params.decoder_ch_mult = { 1, 1, 1, 2 } end)
  :save(recipe.folder .. "/x", { layout = "transformers" }) end, "one list of channel multipliers")
t.fails(function() change(function(c) c.gen_head_config.params.image_token_embed = 64 end)
  :save(recipe.folder .. "/x", { layout = "transformers" }) end, "as wide as the language model, 32; the model's has 64")
t.fails(function() change(function(c) c.vision_config.params.act = "gelu_tanh" end)
  :save(recipe.folder .. "/x", { layout = "transformers" }) end, "the model's tower has gelu_tanh")
t.fails(function() a:save(recipe.folder .. "/x", { layout = "other" }) end, "one of deepseek, transformers")
t.fails(function() a:save(recipe.folder .. "/x", { shard = 0 }) end, "shard must be at least 1")
recipe.done()
