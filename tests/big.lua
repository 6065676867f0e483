--- Writes a folder like a published Janus-Pro's, in its real size, of random numbers: every name and
--- shape, config.json, bf16. What a real checkpoint would break is then seen without having one.
---
---     tain tests/big.lua --size 1b --out FOLDER       4.2 GB in one file
---     tain tests/big.lua --size 7b --out FOLDER       14.8 GB in four shards and an index
---
--- Sizes may be made smaller, one by one; config.json then says so. --list prints names and shapes and
--- writes nothing. The tokenizer is the small one of tests/golden, so ids are not the published ones.

local ffi = require "ffi"
local tain = require "tain"
local files = require "tain.files"

ffi.cdef "size_t fwrite(const void *, size_t, size_t, void *);"

local opt = tain.options {
  size = { "choice", choices = { "1b", "7b" }, default = "1b", help = "which Janus-Pro" },
  out = { "path", new = true, optional = true, help = "the folder to make" },
  list = { "boolean", help = "prints what there would be" },
  seed = { "integer", default = 1, min = 0, help = "of the numbers" },
  spread = { "number", default = 0.02, min = 0, help = "their standard deviation" },
  shard = { "integer", default = 5000000000, min = 1, help = "bytes at most of a file of the 7b" },
  layers = { "integer", optional = true, min = 1, help = "of the language model" },
  width = { "integer", optional = true, min = 128, help = "of the language model, a multiple of 128" },
  hidden = { "integer", optional = true, min = 1, help = "of its MLP" },
  vocabulary = { "integer", optional = true, min = 1 },
  vision_layers = { "integer", optional = true, min = 1 },
  vision_width = { "integer", optional = true, min = 64, help = "a multiple of 64" },
  channels = { "integer", optional = true, min = 32, help = "of the codec, a multiple of 32" },
  image = { "integer", optional = true, min = 16, help = "pixels, a multiple of 16" },
}
if not opt.out and not opt.list then error "give --out FOLDER or --list" end

local big = opt.size == "7b"
local layers, width = opt.layers or (big and 30 or 24), opt.width or (big and 4096 or 2048)
local hidden, words = opt.hidden or (big and 11008 or 5632), opt.vocabulary or 102400
local vision_layers, vision_width = opt.vision_layers or 24, opt.vision_width or 1024
local channels, image, codes = opt.channels or 128, opt.image or 384, 16384
local multipliers = { 1, 1, 2, 2, 4 }

-- ---- What there is, in the order of the published files ----

local tensors = {}

local function add(name, ...)
  local shape, count = { ... }, 1
  for _, n in ipairs(shape) do count = count * n end
  tensors[#tensors + 1] = { name = name, shape = shape, count = count }
end

local function both(name, ...)   -- with a bias
  add(name .. ".weight", ...)
  add(name .. ".bias", (...))
end

local function norm(name, n) both(name, n) end

local function vision(p, C)
  local grid = image / 16
  add(p .. "pos_embed", 1, grid * grid, C)
  both(p .. "patch_embed.proj", C, 3, 16, 16)
  for i = 0, vision_layers - 1 do
    local b = p .. "blocks." .. i .. "."
    norm(b .. "norm1", C)
    both(b .. "attn.qkv", 3 * C, C)
    both(b .. "attn.proj", C, C)
    norm(b .. "norm2", C)
    both(b .. "mlp.fc1", 4 * C, C)
    both(b .. "mlp.fc2", C, 4 * C)
  end
  norm(p .. "norm", C)
  local a = p .. "attn_pool."   -- published, and used by nobody
  add(a .. "latent", 1, 1, C)
  both(a .. "q", C, C)
  both(a .. "kv", 2 * C, C)
  both(a .. "proj", C, C)
  norm(a .. "norm", C)
  both(a .. "mlp.fc1", 4 * C, C)
  both(a .. "mlp.fc2", C, 4 * C)
end

local function projector(p, from)
  both(p .. ".layers.0", width, from)
  both(p .. ".layers.2", width, width)
end

local function res(p, from, to)
  norm(p .. ".norm1", from)
  both(p .. ".conv1", to, from, 3, 3)
  norm(p .. ".norm2", to)
  both(p .. ".conv2", to, to, 3, 3)
  if from ~= to then both(p .. ".nin_shortcut", to, from, 1, 1) end
end

local function attn(p, n)
  norm(p .. ".norm", n)
  for _, part in ipairs { "q", "k", "v", "proj_out" } do both(p .. "." .. part, n, n, 1, 1) end
end

local function half(p, decoder)
  local most = channels * multipliers[#multipliers]
  local at = decoder and most or channels
  local function mid()
    res(p .. ".mid.0", most, most)
    attn(p .. ".mid.1", most)
    res(p .. ".mid.2", most, most)
  end
  both(p .. ".conv_in", at, decoder and 256 or 3, 3, 3)
  if decoder then mid() end
  for i = 0, 4 do
    local b, to = p .. ".conv_blocks." .. i, channels * multipliers[decoder and 5 - i or i + 1]
    for k = 0, decoder and 2 or 1 do
      res(b .. ".res." .. k, at, to)
      if i == (decoder and 0 or 4) then attn(b .. ".attn." .. k, to) end
      at = to
    end
    if i < 4 then both(b .. (decoder and ".upsample.conv" or ".downsample.conv"), at, at, 3, 3) end
  end
  if not decoder then mid() end
  norm(p .. ".norm_out", at)
  both(p .. ".conv_out", decoder and 3 or 256, at, 3, 3)
end

local function language(p)
  add(p .. "model.embed_tokens.weight", words, width)
  for i = 0, layers - 1 do
    local b = p .. "model.layers." .. i .. "."
    for _, part in ipairs { "q", "k", "v", "o" } do add(b .. "self_attn." .. part .. "_proj.weight", width, width) end
    add(b .. "mlp.gate_proj.weight", hidden, width)
    add(b .. "mlp.up_proj.weight", hidden, width)
    add(b .. "mlp.down_proj.weight", width, hidden)
    add(b .. "input_layernorm.weight", width)
    add(b .. "post_attention_layernorm.weight", width)
  end
  add(p .. "model.norm.weight", width)
  add(p .. "lm_head.weight", words, width)
end

vision("vision_model.vision_tower.", vision_width)
projector("aligner", vision_width)
half("gen_vision_model.encoder", false)
half("gen_vision_model.decoder", true)
add("gen_vision_model.quantize.embedding.weight", codes, 8)
add("gen_vision_model.quantize.codebook_used", 65536)   -- published, and used by nobody
both("gen_vision_model.quant_conv", 8, 256, 1, 1)
both("gen_vision_model.post_quant_conv", 256, 8, 1, 1)
projector("gen_aligner", 8)
both("gen_head.output_mlp_projector", width, width)
both("gen_head.vision_head", codes, width)
add("gen_embed.weight", codes, 8)
language "language_model."

local total = 0
for _, one in ipairs(tensors) do total = total + 2 * one.count end

if opt.list then
  for _, one in ipairs(tensors) do print(one.name .. " [" .. table.concat(one.shape, ", ") .. "]") end
end

-- ---- config.json: as published, and what the options change ----

local function config()
  local function module(cls, kind, params) return { cls = cls, model_type = kind, params = params } end
  local text = { max_position_embeddings = 16384, model_type = "llama", num_hidden_layers = layers,
    torch_dtype = "bfloat16", vocab_size = words }
  if not big or opt.width or opt.hidden then   -- the 7b leaves them to LlamaConfig
    text.hidden_size, text.intermediate_size = width, hidden
    text.num_attention_heads, text.num_key_value_heads = width / 128, width / 128
  end
  local seen = { image_size = image, model_name = "siglip_large_patch16_384", select_feature = "same", select_layer = -1 }
  if opt.vision_layers or opt.vision_width then
    seen.layers, seen.width, seen.heads = vision_layers, vision_width, vision_width / 64
  end
  local drawn = { image_token_size = codes, n_embed = 8 }
  if opt.channels then drawn.ch = channels end
  return {
    architectures = { "MultiModalityCausalLM" }, model_type = "multi_modality", torch_dtype = "bfloat16",
    transformers_version = "4.33.1",
    vision_config = module("CLIPVisionTower", "vision", seen),
    aligner_config = module("MlpProjector", "aligner",
      { depth = 2, input_dim = vision_width, n_embed = width, projector_type = "mlp_gelu" }),
    gen_vision_config = module("VQ-16", "gen_vision", drawn),
    gen_aligner_config = module("MlpProjector", "gen_aligner",
      { depth = 2, input_dim = 8, n_embed = width, projector_type = "mlp_gelu" }),
    gen_head_config = module("vision_head", "gen_head",
      { image_token_embed = width, image_token_size = codes, n_embed = width }),
    language_config = text,
  }
end

-- ---- Numbers: some are made, and written again and again from where the last tensor ended ----

-- A prime, so that no two rows of a matrix are the same ones.
local POOL = 1048573

local function numbers()
  local pool, one = ffi.new("uint16_t[?]", POOL), ffi.new "union { float f; uint32_t u; }"
  local bit, state = require "bit", opt.seed + 88172645463325252ULL
  local function uniform()   -- in (0, 1): xorshift
    state = bit.bxor(state, bit.lshift(state, 13))
    state = bit.bxor(state, bit.rshift(state, 7))
    state = bit.bxor(state, bit.lshift(state, 17))
    return (tonumber(bit.rshift(state, 12)) + 0.5) * 2 ^ -52
  end
  for i = 0, POOL - 1 do
    one.f = opt.spread * math.sqrt(-2 * math.log(uniform())) * math.cos(2 * math.pi * uniform())
    pool[i] = bit.rshift(one.u, 16)
  end
  return pool
end

local function write(file, from, bytes)
  if ffi.C.fwrite(from, 1, bytes, file) ~= bytes then error "the disk did not take it" end
end

local at = 0
local function fill(file, pool, count)
  while count > 0 do
    local some = math.min(count, POOL - at)
    write(file, pool + at, 2 * some)
    at, count = (at + some) % POOL, count - some
  end
end

-- One file: header and tensors.
local function write_file(path, list, pool, ones)
  local header, offset = { __metadata__ = { format = "pt" } }, 0
  for _, one in ipairs(list) do
    header[one.name] = { dtype = "BF16", shape = one.shape, data_offsets = { offset, offset + 2 * one.count } }
    offset = offset + 2 * one.count
  end
  local text = tain.json.encode(header)
  text = text .. (" "):rep(-#text % 8)
  local file = assert(io.open(path, "wb"))
  write(file, ffi.new("uint64_t[1]", #text), 8)
  file:write(text)
  for _, one in ipairs(list) do
    if #one.shape == 1 and one.name:find "norm%d?%w*%.weight$" then   -- norms scale by one
      write(file, ones, 2 * one.count)
    else
      fill(file, pool, one.count)
    end
  end
  assert(file:close())
end

if opt.out then
  files.make_folder(opt.out)
  local tokenizer = "tests/golden/tokenizers/" .. (big and "janus_7b" or "janus")
  for _, name in ipairs { "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json" } do
    files.copy(tokenizer .. "/" .. name, opt.out .. "/" .. name)
  end
  local function json(name, value) files.write(opt.out .. "/" .. name, tain.json.encode(value) .. "\n") end
  json("config.json", config())
  json("preprocessor_config.json", { background_color = { 127, 127, 127 }, do_normalize = true,
    image_mean = { 0.5, 0.5, 0.5 }, image_processor_type = "VLMImageProcessor", image_size = image,
    image_std = { 0.5, 0.5, 0.5 }, min_size = 14, rescale_factor = 0.00392156862745098 })
  json("processor_config.json", { add_special_token = false, ignore_id = -100, image_tag = "<image_placeholder>",
    mask_prompt = true, num_image_tokens = (image / 16) ^ 2, processor_class = "VLChatProcessor", sft_format = "deepseek" })

  local ones = ffi.new("uint16_t[?]", math.max(width, vision_width, 4 * channels))
  for i = 0, math.max(width, vision_width, 4 * channels) - 1 do ones[i] = 0x3f80 end
  local pool, shards, bytes = numbers(), { {} }, 0
  for _, one in ipairs(tensors) do
    if big and bytes > 0 and bytes + 2 * one.count > opt.shard then shards[#shards + 1], bytes = {}, 0 end
    table.insert(shards[#shards], one)
    bytes = bytes + 2 * one.count
  end
  local index = { metadata = { total_size = total }, weight_map = {} }
  for i, list in ipairs(shards) do
    local name = #shards == 1 and "model.safetensors" or ("model-%05d-of-%05d.safetensors"):format(i, #shards)
    for _, one in ipairs(list) do index.weight_map[one.name] = name end
    write_file(opt.out .. "/" .. name, list, pool, ones)
  end
  if #shards > 1 then json("model.safetensors.index.json", index) end
end
print(("%d tensors, %.0f bytes"):format(#tensors, total))
