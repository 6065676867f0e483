--- What a model does, to measure: tokens, images, verdicts, steps of training. See bench.lua for what a
--- work is.
---
--- Floating point operations are those of the products of matrices and of attention, two for each
--- weight and token; norms and activations are left out, as everywhere.

local ffi = require "ffi"
local check = require "tain.check"
local data = require "tain.data"
local host = require "tain.host"
local image = require "tain.image"
local models = require "tain.model"
local optim = require "tain.optim"
local parts = require "tain.bench.parts"
local files = require "tain.files"

local C = ffi.C
local works = {}

local PROMPT = "a striped red cross"   -- 12 tokens to the embedded model, which so is trained on 75

local model_option = { "path", optional = true, help = "model folder; the embedded one if none" }

-- ---- Models ----

local function handle(model) return check.object("bench", "model", model, "model") end

local function embedded()
  for _, folder in ipairs { "recipes", host.folder .. "/recipes", host.folder .. "/../recipes" } do
    if files.exists(folder .. "/blocks/model/config.json") then return folder .. "/blocks/model" end
  end
  check.raise("bench: recipes/blocks/model is neither here nor beside the program; --model names a folder")
end

local weights = { "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
  "pytorch_model.bin.index.json" }

-- A model of these weights, or of random ones: the time is the same.
local function open(work, folder, storage)
  folder = folder or embedded()
  for _, name in ipairs(weights) do
    if files.exists(folder .. "/" .. name) then return models.load(folder, { storage = storage }) end
  end
  if storage ~= "f32" then
    check.raise("bench %s: storage %s needs weights, and %s has none; random ones are f32", work,
      storage, folder)
  end
  io.stderr:write("tain: ", folder, " has no weights; random ones are used\n")
  return models.create(folder, { seed = 1 })
end

-- The sizes of a model, read from its weights.
local function sizes(model)
  local function count(pattern)
    local n = 0
    for _, one in ipairs(model:parameters(pattern)) do n = n + one:count() end
    return n
  end
  local function layers(pattern)
    local most = -1
    for _, name in ipairs(model:names()) do most = math.max(most, tonumber(name:match(pattern)) or -1) end
    return most + 1
  end
  local first = "^language_model%.model%.layers%.0%.self_attn%."
  local width = count("^language_model%.model%.norm%.weight")
  local queries = count(first .. "o_proj") / width
  local eye = count("^vision_model.*norm%.weight$")
  return {
    layers = layers "^language_model%.model%.layers%.(%d+)%.", width = width, queries = queries,
    keys = (count(first .. "[qkv]_proj") / width - queries) / 2,
    body = count("^language_model%.model%.layers"),
    words = count("^language_model%.lm_head"), head = count("^gen_head"),
    seeing = count("^vision_model") + count("^aligner"),
    patches = count("pos_embed$") / eye, eye = eye, eyes = layers "^vision_model.*%.blocks%.(%d+)%.",
    codes = C.tain_model_image_codes(handle(model)),
    prompt = check.status(C.tain_model_tokens(handle(model), PROMPT, false)),
    question = check.status(C.tain_model_tokens(handle(model), model:ask_about(PROMPT), true)),
  }
end

-- Floating point operations of attention when each of `rows` sequences sees `from` to `to` keys, a
-- token each; and the bytes of keys and values that are read for that, which are f32 or 16-bit.
local function attention(s, rows, from, to, storage)
  local seen = rows * s.layers * (from + to) * (to - from + 1) / 2
  return 4 * s.queries * seen, 2 * (storage == "f32" and 4 or 2) * s.keys * seen
end

-- ---- Works ----

works.decode = {
  about = "a token of each of a batch of images, or with --m a matrix [m, k] times a few rows",
  options = {
    model = model_option, batch = parts.size(1, "images, a row each"),
    m = { "integer", optional = true, min = 1, help = "rows of a matrix, in the place of a model" },
    k = parts.size(4096, "columns of that matrix"), rows = parts.size(2, "how many that matrix is times"),
    storage = parts.storage,
  },
  jobs = function(opt)
    if opt.m then
      if opt.model then check.raise("bench decode: --m %d and --model %s; it takes one of them", opt.m, opt.model) end
      return parts.linear("decode", ("m %d, k %d, rows %d"):format(opt.m, opt.k, opt.rows), opt.rows, opt.m, opt.k,
        opt.storage)
    end
    local model = open("decode", opt.model, opt.storage)
    local s, B, each = sizes(model), opt.batch, parts.bytes[opt.storage]
    local prompts, streams = ffi.new("const char *[?]", B), ffi.new("int64_t[?]", B)
    for i = 0, B - 1 do prompts[i], streams[i] = PROMPT, i + 1 end
    local drawing, left = nil, 0
    local flops, bytes = attention(s, B, s.prompt + s.codes / 2, s.prompt + s.codes / 2, opt.storage)   -- on average
    return { {
      work = "decode", shape = ("batch %d, prompt %d, width %d, layers %d"):format(B, s.prompt, s.width, s.layers),
      storage = opt.storage,
      flops = 2 * B * (s.body + s.head) + flops, bytes = each * (s.body + s.head) + bytes,
      before = function()
        if left > 1 then return end   -- the last one is only chosen, and nothing is computed after it
        local made = C.tain_model_draw(handle(model), prompts, B, 1, streams, 1, 1)
        drawing = ffi.gc(check.made(made), C.tain_drawing_free)
        left = s.codes
      end,
      run = function() left = check.status(C.tain_drawing_next(drawing)) end,
    } }, function()
      drawing = nil
      collectgarbage()
      model:free()
    end
  end,
}

works.draw = {
  about = "images drawn, up to their codes; pixels are not made",
  options = {
    model = model_option, images = parts.size(256),
    guidance = { "number", default = 5, min = 0, help = "1 for none; else two rows an image" },
    storage = parts.storage,
  },
  jobs = function(opt)
    local model = open("draw", opt.model, opt.storage)
    local s, each = sizes(model), parts.bytes[opt.storage]
    local rows, prompts = opt.images * (opt.guidance == 1 and 1 or 2), data.same(PROMPT, opt.images)
    local tokens = s.prompt + s.codes - 1
    local flops = attention(s, rows, 1, tokens)
    local _, bytes = attention(s, rows, s.prompt + 1, tokens, opt.storage)
    return { {
      work = "draw", storage = opt.storage,
      shape = ("images %d, rows %d, prompt %d, codes %d"):format(opt.images, rows, s.prompt, s.codes),
      flops = 2 * rows * (s.body * tokens + s.head * s.codes) + flops,
      bytes = each * s.codes * (s.body + s.head) + bytes,
      sizes = s,
      run = function() model:generate(prompts, { guidance = opt.guidance, batch = opt.images }) end,
    } }, function() model:free() end
  end,
}

works.score = {
  about = "images judged: one question each, and the first word of the answer",
  options = { model = model_option, images = parts.size(256), storage = parts.storage },
  jobs = function(opt)
    local model = open("score", opt.model, opt.storage)
    local s, each, B = sizes(model), parts.bytes[opt.storage], 128
    local pixels = C.tain_model_image_size(handle(model))
    local one = image.image(pixels, pixels)
    for i = 0, 3 * pixels * pixels - 1 do one:pixels()[i] = i * 37 % 251 end
    local images, prompts = data.same(one, opt.images), data.same(PROMPT, opt.images)
    local read = each * (s.body + s.words + s.seeing) * math.ceil(opt.images / B)
    return { {
      work = "score", storage = opt.storage,
      shape = ("images %d, patches %d, tokens %d"):format(opt.images, s.patches, s.question),
      flops = opt.images * 2 * (s.seeing * s.patches + s.body * s.question + s.words)
        + opt.images * 4 * s.eye * s.eyes * s.patches ^ 2 + (attention(s, opt.images, 1, s.question)),
      bytes = read,
      sizes = s,
      run = function() model:score(images, prompts, { batch = B }) end,
    } }, function() model:free() end
  end,
}

works.train = {
  about = "a step of training: forward, backward, clip, AdamW",
  options = {
    model = model_option, batch = parts.size(64, "images"),
    lora = { "integer", optional = true, min = 1, help = "rank of an adapter, which alone is trained" },
  },
  jobs = function(opt)
    local model = open("train", opt.model, "f32")
    local s, B = sizes(model), opt.batch
    local params = opt.lora and model:adapt { rank = opt.lora }
      or model:parameters { "^language_model", "^gen_aligner", "^gen_embed", "^gen_head" }
    local optimizer = optim.adamw(params, { lr = 1e-4, decay = 0.01, clip = 1 })
    local images, prompts, trained = {}, data.same(PROMPT, B), 0
    for i = 1, B do images[i] = image.arbitrary(model, i) end
    for _, one in ipairs(params) do trained = trained + one:count() end
    local tokens = s.prompt + s.codes - 1
    local forward = 2 * B * (s.body * tokens + s.head * s.codes)
    -- Backward costs two products for each one forward; the gradients of frozen weights are spared.
    -- Attention as in ops.lua. AdamW reads four numbers a parameter and writes three.
    return { {
      work = "train", storage = "f32",
      shape = ("batch %d, tokens %d, trained %d%s"):format(B, tokens, trained,
        opt.lora and ", lora " .. opt.lora or ""),
      flops = (opt.lora and 2 or 3) * forward + 3.5 * (attention(s, B, 1, tokens)),
      bytes = 4 * (2 * (s.body + s.head) + 7 * trained),
      sizes = s,
      run = function()
        optimizer:step(function() return -model:logprob(prompts, images, { per = "token" }):mean() end)
      end,
    } }, function()
      optimizer:free()
      model:free()
    end
  end,
}

return works
