--- The two layouts of a Janus' folder: as DeepSeek published it ("deepseek") and as transformers'
--- port has it ("transformers"). Here the small files; what the weights are called is the core's.

local check = require "tain.check"
local files = require "tain.files"
local json = require "tain.json"

local layout = {}

local array = json.array

-- As core/model/janus_config.c has them, and LlamaConfig, JanusVisionConfig and JanusVQVAEConfig.
local VISION = { image_size = 384, patch_size = 16, width = 1024, layers = 24, heads = 16,
  mlp_ratio = 4, ln_eps = 1e-6 }
local CODEC = { image_token_size = 16384, n_embed = 8, ch = 128, z_channels = 256,
  num_res_blocks = 2 }
local LEVELS = array { 1, 1, 2, 2, 4 }

local function read(folder, name)
  local path = folder .. "/" .. name
  if not files.exists(path) then return nil end
  local value, problem = json.decode(files.read(path, 2 ^ 26))
  if problem then check.raise("save: %s: %s", path, problem) end
  return value
end

local function params(config, key)
  local part = config[key] or {}
  return part.params or part
end

local function merge(...)
  local result = {}
  for _, from in ipairs { ... } do
    for key, value in pairs(from) do result[key] = value end
  end
  return result
end

-- ---- config.json ----

local function same(a, b)
  return json.encode(a) == json.encode(b)
end

-- From DeepSeek's to the port's. `token` gives the id of a token by its name.
local function to_port(config, token)
  local language, vision = config.language_config or {}, merge(VISION, params(config, "vision_config"))
  local codec, head = merge(CODEC, params(config, "gen_vision_config")), params(config, "gen_head_config")
  local encoder = codec.encoder_ch_mult or codec.ch_mult or LEVELS
  local decoder = codec.decoder_ch_mult or codec.ch_mult or LEVELS
  local width = language.hidden_size or 4096
  if not same(encoder, decoder) then
    check.raise("save: layout transformers has one list of channel multipliers, and the model's encoder "
      .. "and decoder have %s and %s", json.encode(encoder), json.encode(decoder))
  elseif (head.image_token_embed or width) ~= width then
    check.raise("save: layout transformers has an image head as wide as the language model, %d; the "
      .. "model's has %d", width, head.image_token_embed)
  end
  local act = vision.act or vision.hidden_act or "gelu"
  if act ~= "gelu" and act ~= "gelu_erf" then
    check.raise("save: layout transformers has one activation for the vision tower and the aligner; the "
      .. "model's tower has %s", act)
  end
  local patch = vision.patch or vision.patch_size
  local select = vision.select_layer or -1
  local layers = math.min(select > 0 and select or vision.layers + select + 1, vision.layers)
  local grid = codec.grid or (codec.image_size or vision.image_size) / 2 ^ (#encoder - 1)
  return {
    architectures = array { "JanusForConditionalGeneration" }, model_type = "janus",
    image_token_id = token "<image_placeholder>", tie_word_embeddings = false,
    text_config = merge({ vocab_size = 32000 }, language, { model_type = "llama",
      tie_word_embeddings = false, bos_token_id = token "<｜begin▁of▁sentence｜>",
      eos_token_id = token "<｜end▁of▁sentence｜>", pad_token_id = token "<｜▁pad▁｜>" }),
    vision_config = { model_type = "janus_vision_model", hidden_size = vision.width,
      num_hidden_layers = layers, num_attention_heads = vision.heads, num_channels = 3,
      image_size = vision.image_size, patch_size = patch, mlp_ratio = vision.mlp_ratio,
      layer_norm_eps = vision.ln_eps, hidden_act = "gelu", attention_bias = true, use_qk_norm = false,
      depth = 2, num_image_tokens = grid ^ 2, projection_dim = width },
    vq_config = { model_type = "janus_vqgan", num_embeddings = codec.codes or codec.image_token_size,
      embed_dim = codec.code_dim or codec.n_embed, base_channels = codec.ch,
      latent_channels = codec.z_channels, num_res_blocks = codec.num_res_blocks,
      channel_multiplier = encoder, num_patches = grid, in_channels = 3, out_channels = 3,
      double_latent = false, num_hidden_layers = 2, hidden_act = "gelu", projection_dim = width,
      image_token_embed_dim = width },
  }
end

-- The other way. What the port leaves out has the same defaults.
local function from_port(config)
  local language, vision = config.text_config or {}, config.vision_config or {}
  local codec = config.vq_config or {}
  local width, channels = language.hidden_size or 4096, vision.hidden_size or VISION.width
  local rope = language.rope_parameters or {}
  local image, patch = vision.image_size or VISION.image_size, vision.patch_size or VISION.patch_size
  local levels = codec.channel_multiplier or LEVELS
  local code_size, codes = codec.embed_dim or CODEC.n_embed, codec.num_embeddings or CODEC.image_token_size
  language = merge(language, { model_type = "llama", rope_theta = rope.rope_theta or language.rope_theta })
  language.rope_parameters = nil
  local function part(name, cls, list) return { cls = cls, model_type = name, params = list } end
  return {
    architectures = array { "MultiModalityCausalLM" }, model_type = "multi_modality",
    language_config = language,
    vision_config = part("vision", "CLIPVisionTower", { image_size = image, patch_size = patch,
      width = channels, layers = vision.num_hidden_layers or VISION.layers,
      heads = vision.num_attention_heads or VISION.heads, mlp_ratio = vision.mlp_ratio or VISION.mlp_ratio,
      ln_eps = vision.layer_norm_eps or VISION.ln_eps, select_feature = "same", select_layer = -1 }),
    aligner_config = part("aligner", "MlpProjector", { depth = 2, input_dim = channels, n_embed = width,
      projector_type = "mlp_gelu" }),
    gen_vision_config = part("gen_vision", "VQ-16", { image_token_size = codes, n_embed = code_size,
      image_size = (codec.num_patches or image / patch) * 2 ^ (#levels - 1),
      ch = codec.base_channels or CODEC.ch, z_channels = codec.latent_channels or CODEC.z_channels,
      num_res_blocks = codec.num_res_blocks or CODEC.num_res_blocks, ch_mult = levels }),
    gen_aligner_config = part("gen_aligner", "MlpProjector", { depth = 2, input_dim = code_size,
      n_embed = width, projector_type = "mlp_gelu" }),
    gen_head_config = part("gen_head", "vision_head", { image_token_embed = width,
      image_token_size = codes, n_embed = width }),
  }
end

-- ---- The files around it ----

local CHAT = "{% for message in messages %}{{ '<|User|>: ' if message['role'] == 'user' else "
  .. "'<|Assistant|>: ' }}{% for c in message['content'] %}{% if c['type'] == 'image' %}"
  .. "<image_placeholder>\n{% else %}{{ c['text'] }}{% endif %}{% endfor %}\n\n{% endfor %}"
  .. "{% if add_generation_prompt %}<|Assistant|>:{% endif %}"
local SPECIAL = { boi_token = "<begin_of_image>", eoi_token = "<end_of_image>",
  image_token = "<image_placeholder>" }
local TEXTS = { bos_token = "<｜begin▁of▁sentence｜>", eos_token = "<｜end▁of▁sentence｜>",
  pad_token = "<｜▁pad▁｜>" }

-- Options of tain's own that a folder may have, such as the question about a picture.
local function own(processor)
  return { question = processor.question, system_prompt = processor.system_prompt }
end

--- Guidance of drawing where a folder says none: what DeepSeek's own example has.
layout.GUIDANCE = 5

local function guidance(folder)
  return (read(folder, "generation_config.json") or {}).guidance_scale or layout.GUIDANCE
end

local function port_files(folder, token)
  local config = to_port(read(folder, "config.json"), token)
  local pixels, processor = read(folder, "preprocessor_config.json") or {}, read(folder, "processor_config.json") or {}
  local size = config.vision_config.image_size
  return {
    ["config.json"] = config,
    ["generation_config.json"] = { bos_token_id = config.text_config.bos_token_id,
      eos_token_id = config.text_config.eos_token_id, pad_token_id = config.text_config.pad_token_id,
      guidance_scale = guidance(folder), generation_kwargs = { boi_token_id = token "<begin_of_image>" } },
    ["preprocessor_config.json"] = { image_processor_type = "JanusImageProcessor",
      processor_class = "JanusProcessor", background_color = pixels.background_color or array { 127, 127, 127 },
      image_mean = pixels.image_mean or array { 0.5, 0.5, 0.5 },
      image_std = pixels.image_std or array { 0.5, 0.5, 0.5 }, min_size = pixels.min_size or 14,
      rescale_factor = 1 / 255, resample = 3, size = { height = size, width = size },
      do_convert_rgb = true, do_normalize = true, do_pad = true, do_rescale = true, do_resize = true },
    ["processor_config.json"] = merge({ processor_class = "JanusProcessor",
      num_image_tokens = (size / config.vision_config.patch_size) ^ 2, use_default_system_prompt = true },
      own(processor)),
    ["tokenizer_config.json"] = merge(TEXTS, SPECIAL, { tokenizer_class = "PreTrainedTokenizerFast",
      processor_class = "JanusProcessor", model_max_length = 16384, chat_template = CHAT,
      clean_up_tokenization_spaces = false, extra_special_tokens = SPECIAL }),
  }
end

local function original_files(folder)
  local config = from_port(read(folder, "config.json"))
  local pixels, processor = read(folder, "preprocessor_config.json") or {}, read(folder, "processor_config.json") or {}
  local vision = config.vision_config.params
  return {
    ["config.json"] = config,
    ["generation_config.json"] = { guidance_scale = guidance(folder) },
    ["preprocessor_config.json"] = { image_processor_type = "VLMImageProcessor",
      processor_class = "VLChatProcessor", do_normalize = true, image_size = vision.image_size,
      background_color = pixels.background_color or array { 127, 127, 127 },
      image_mean = pixels.image_mean or array { 0.5, 0.5, 0.5 },
      image_std = pixels.image_std or array { 0.5, 0.5, 0.5 }, min_size = pixels.min_size or 14,
      rescale_factor = 1 / 255 },
    ["processor_config.json"] = merge({ processor_class = "VLChatProcessor", add_special_token = false,
      ignore_id = -100, image_tag = "<image_placeholder>", mask_prompt = true,
      num_image_tokens = (vision.image_size / vision.patch_size) ^ 2, sft_format = "deepseek" }, own(processor)),
    ["tokenizer_config.json"] = merge(TEXTS, { tokenizer_class = "LlamaTokenizer",
      model_max_length = 16384, clean_up_tokenization_spaces = false, legacy = true }),
  }
end

-- What a folder has besides its weights, in either layout.
local SMALL = { "config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
  "processor_config.json", "preprocessor_config.json", "generation_config.json" }

--- Writes what a model's folder has besides its weights: as it is, or in the other layout.
---
--- @param from string the model's folder
--- @param to string another
--- @param is string the layout it has: "deepseek" or "transformers"
--- @param wanted string the one it is to have
--- @param token function of a token's name; gives its id
function layout.write(from, to, is, wanted, token)
  local made = {}
  if wanted ~= is then made = wanted == "transformers" and port_files(from, token) or original_files(from) end
  for name, value in pairs(made) do files.write(to .. "/" .. name, json.encode(value) .. "\n") end
  for _, name in ipairs(SMALL) do
    local source = from .. "/" .. name
    local fits = wanted == is or name:find("^tokenizer%.") or name == "special_tokens_map.json"
    if not made[name] and fits and from ~= to and files.exists(source) then
      files.copy(source, to .. "/" .. name)
    end
  end
end

layout.names = { "deepseek", "transformers" }

return layout
