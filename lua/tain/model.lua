--- Models: verbs on nouns. One model draws, judges and is trained.
---
--- Every verb takes one prompt or a list of them; lists are done in batches, and give lists back.

local ffi = require "ffi"
local check = require "tain.check"
local data = require "tain.data"
local device = require "tain.device"
local hub = require "tain.hub"
local files = require "tain.files"
local image = require "tain.image"
local json = require "tain.json"
local layout = require "tain.layout"
local ops = require "tain.ops"
local own = require "tain.own"
local progress = require "tain.progress"
local tensor = require "tain.tensor"

local C = ffi.C
local types = ops.enums.tain_type
local model = {}

--- @class Model
--- @field folder string
--- @field name string what it was loaded by: the folder, or its name in the cache of Hugging Face
--- @field question string what it is asked about a picture; {prompt} stands for the prompt
--- @field guidance number of drawing, where none is asked for: the folder's generation_config.json, or 5
local Model = {}
Model.__index = Model

local QUESTION = "Does this image describe {prompt}? If it describes the scene, score 1; if it does not fully " ..
  "describe, score 0. Please answer in the following format: The score is {your score}."

local function handle(fn, self) return check.object(fn, "model", self, "model") end

-- A small file of a model's folder; an empty table if there is none.
local function settings(folder, name)
  local file = io and io.open(folder .. "/" .. name, "rb")
  if not file then return {} end
  local config = json.decode(file:read("*a"))
  file:close()
  return type(config) == "table" and config or {}
end

local function adopt(made, folder, name)
  local self = setmetatable({ folder = folder, name = name or folder, question = QUESTION, guidance = layout.GUIDANCE }, Model)
  own.keep(own.adopt(self, check.made(made), C.tain_model_free, "model"))
  local question = settings(folder, "processor_config.json").question
  if type(question) == "string" then self.question = question end
  local scale = settings(folder, "generation_config.json").guidance_scale
  if type(scale) == "number" and scale >= 0 and scale <= 1000 then self.guidance = scale end
  return self
end

-- The folder of a model that is given by its folder or its name.
local function find(fn, folder)
  local found, problem = hub.find(check.string(fn, "folder", folder))
  if not found then check.raise("%s: %s", fn, problem) end
  return found
end

-- Matrices in blocks, as config.json tells others of them. Only tain reads these files.
local METHOD = "tain"
local BITS = { int8 = 8, int4 = 4 }

-- How the matrices of a folder lie in its files, where config.json says that they are quantised.
local function quantised(folder)
  local path = folder .. "/config.json"
  if not files.exists(path) then return nil end
  local config = json.decode(files.read(path, 2 ^ 26))
  local said = type(config) == "table" and config.quantization_config
  if type(said) ~= "table" then return nil end
  for storage, bits in pairs(BITS) do
    if said.quant_method == METHOD and said.bits == bits then return storage end
  end
  check.raise("load: %s: quantization_config has quant_method %s and bits %s; only what tain quantize writes can be read",
    path, check.show(said.quant_method), check.show(said.bits))
end

-- Says in config.json how the matrices beside it are stored.
local function say_quantised(folder, storage)
  local path = folder .. "/config.json"
  local config = json.decode(files.read(path, 2 ^ 26))
  if not BITS[storage] and not config.quantization_config then return end
  config.quantization_config = BITS[storage] and { quant_method = METHOD, bits = BITS[storage], group_size = 32 } or nil
  files.write(path, json.encode(config) .. "\n")
end

--- Loads a model from a folder of published files.
---
--- With storage "int8" or "int4" the matrices of the language model's layers are quantised while they
--- are read, 32 numbers of a row with a scale in common, and everything else that is large is 16-bit. They
--- stay as they are, and adapters on top of them can be trained. Matrices whose rows are no multiple of
--- 32 long stay 16-bit.
---
--- The cache, keys and values of earlier tokens while the model draws and answers, takes half the memory in
--- 16 bits: where matrices are not f32 it is as the embedding is, f16 or bf16.
---
--- @param folder string or a name, such as "deepseek-ai/Janus-Pro-1B", that is in the cache of Hugging Face
--- @param options? table storage: "f32" (can be trained), "f16", "bf16", "int8", "int4"; nil for "f32", or as
---   `tain quantize` wrote the folder; cache: "f32", "f16", "bf16"; nil for as the embedding is
--- @return Model
function model.load(folder, options)
  local found = find("load", folder)
  options = check.options("load", options, {
    storage = { "choice", choices = types.list, optional = true },
    cache = { "choice", choices = { "f32", "f16", "bf16" }, optional = true },
  })
  local storage = options.storage or quantised(found) or "f32"
  local self = adopt(C.tain_model_load(device.handle(), found, types.values[storage]), found, folder)
  if options.cache then check.status(C.tain_model_cache(handle("load", self), types.values[options.cache])) end
  return self
end

--- Makes a model with random weights from a folder's config.json and tokenizer.
---
--- @param folder string
--- @param options? table seed
--- @return Model
function model.create(folder, options)
  folder = check.string("create", "folder", folder)
  options = check.options("create", options, { seed = { "integer", default = 1 } })
  return adopt(C.tain_model_create(device.handle(), folder, options.seed), folder)
end

local function layout_of(m)
  return C.tain_model_is_port(m) and "transformers" or "deepseek"
end

--- Writes the weights, and what else a model folder needs.
---
--- @param folder string made if it is missing
--- @param options? table type: how numbers are stored, "f32", "f16", "bf16", or "int8", "int4" for all
---   weights as they are in a model that was loaded so; layout: "deepseek" as published, "transformers" as
---   its port has it, or the model's own if nil; shard: bytes at most of one file, with an index if there
---   are several
function Model:save(folder, options)
  local m = handle("save", self)
  folder = check.string("save", "folder", folder)
  options = check.options("save", options, {
    type = { "choice", choices = types.list, default = "f32" },
    layout = { "choice", choices = layout.names, optional = true },
    shard = { "integer", default = 4 * 2 ^ 30, min = 1, max = 2 ^ 53 },
  })
  if BITS[options.type] and C.tain_model_matrices(m, types.values[options.type]) == 0 then
    check.raise("save: type is %s, and no matrix of the model is stored so; load it with that storage", options.type)
  end
  local own_layout = layout_of(m)
  local wanted = options.layout or own_layout
  check.status(C.tain_folder_make(folder))
  layout.write(self.folder, folder, own_layout, wanted, function(name)
    local id = C.tain_model_token(m, name)
    if id < 0 then check.raise("save: the tokenizer has no token %s", name) end
    return id
  end)
  say_quantised(folder, options.type)
  check.status(C.tain_model_save(m, folder, types.values[options.type], wanted == "transformers",
    options.shard))
end

--- Counts the matrices that are stored in some way; embeddings are none.
---
--- @param storage string such as "int4"
--- @return integer
function Model:matrices(storage)
  local m = handle("matrices", self)
  return tonumber(check.status(C.tain_model_matrices(m, check.enum("matrices", "storage", storage, types))))
end

--- Takes the weights of another folder or file with the same names.
function Model:restore(path)
  check.status(C.tain_model_restore(handle("restore", self), check.string("restore", "path", path)))
end

--- Frees the model's memory now instead of when the collector gets to it. Its images keep their codes.
function Model:free()
  if own.kind(self) ~= "model" then handle("free", self) end
  own.free(self, C.tain_model_free, "free")
end

--- The tensors of the weights whose names match any of the patterns, for an optimizer.
---
--- Weights that lie side by side on the device (q, k and v; gate and up) come together.
---
--- @param patterns? string|string[] Lua patterns; all weights if nil
--- @param except? string|string[] patterns of names that are left out all the same
--- @return Tensor[]
function Model:parameters(patterns, except)
  local m = handle("parameters", self)
  if type(patterns) == "string" then patterns = { patterns } end
  if type(except) == "string" then except = { except } end
  local list, seen = {}, {}
  for i = 0, C.tain_model_weight_count(m) - 1 do
    local name = ffi.string(C.tain_model_weight_name(m, i))
    local wanted = not patterns
    for _, pattern in ipairs(patterns or {}) do wanted = wanted or name:find(pattern) ~= nil end
    for _, pattern in ipairs(except or {}) do wanted = wanted and not name:find(pattern) end
    if wanted then
      local weight = check.made(C.tain_model_weight(m, i))
      local address = tostring(ffi.cast("void *", weight))
      if seen[address] then
        C.tain_tensor_free(weight)
      else
        seen[address] = true
        list[#list + 1] = own.keep(tensor.adopt("parameters", weight))
      end
    end
  end
  if #list == 0 then check.raise("parameters: no weight matches %s", check.show(patterns and patterns[1])) end
  return list
end

-- ---- Adapters ----

--- Gives the model a new low-rank adapter (LoRA); nothing changes at first.
---
--- @param options? table targets ("all-linear", or names between commas), rank, alpha, root (the scale is
---   alpha / sqrt(rank)), seed
--- @return Tensor[] # the adapter's tensors, for an optimizer
function Model:adapt(options)
  local m = handle("adapt", self)
  options = check.options("adapt", options, {
    targets = { "string", default = "language_model.*_proj" },
    rank = { "integer", default = 8, min = 1, max = 4096 },
    alpha = { "number", default = 16 },
    root = { "boolean", default = false },
    seed = { "integer", default = 1 },
  })
  check.status(C.tain_model_adapt(m, options.targets, options.rank, options.alpha, options.root, options.seed))
  return self:adapter()
end

--- The tensors of the adapter: A, B, A, B, …
---
--- @return Tensor[]
function Model:adapter()
  local m, list = handle("adapter", self), {}
  while true do
    local t = C.tain_model_adapter(m, #list)
    if t == nil then return list end
    list[#list + 1] = own.keep(tensor.adopt("adapter", t))
  end
end

--- Loads an adapter from a folder of PEFT's, made for the model in either layout.
---
--- @return Tensor[] # its tensors
function Model:load_adapter(folder)
  check.status(C.tain_model_adapter_load(handle("load_adapter", self), check.string("load_adapter", "folder", folder)))
  return self:adapter()
end

--- Writes the adapter as a folder of PEFT's, which loads it on top of the model in that layout.
---
--- @param folder string made if it is missing
--- @param options? table layout: "deepseek", "transformers", or the model's own if nil
function Model:save_adapter(folder, options)
  local m = handle("save_adapter", self)
  options = check.options("save_adapter", options, { layout = { "choice", choices = layout.names, optional = true } })
  local wanted = options.layout or layout_of(m)
  check.status(C.tain_folder_make(check.string("save_adapter", "folder", folder)))
  check.status(C.tain_model_adapter_save(m, folder, self.name, wanted == "transformers"))
end

--- Adds the adapter to the weights and drops it.
function Model:merge_adapter() check.status(C.tain_model_adapter_merge(handle("merge_adapter", self))) end

--- Drops the adapter.
function Model:drop_adapter() C.tain_model_adapter_drop(handle("drop_adapter", self)) end

local function restore(m, before, ok, ...)
  C.tain_model_adapter_enable(m, before)
  if not ok then error((...), 0) end
  return ...
end

--- Runs `fn` with the adapter switched off: as the model was before training. The reference of
--- preference losses, without a second copy of the weights.
---
--- @return any ... what fn returns
function Model:without_adapter(fn)
  local m = handle("without_adapter", self)
  return restore(m, C.tain_model_adapter_enable(m, false), xpcall(fn, own.on_error))
end

-- The part of the network that the paper trains: the language model, not the vision tower, the
-- aligners or the codec; with what turns its states into codes.
model.LANGUAGE = { "^language_model%.model%.layers", "^language_model%.model%.norm", "^gen_head" }

--- Chooses between time and memory in training: with recomputation only what enters a layer is kept.
---
--- @param on? boolean default true
function Model:recompute(on)
  check.status(C.tain_model_recompute(handle("recompute", self), on ~= false))
end

--- The names of all weights.
function Model:names()
  local m, list = handle("names", self), {}
  for i = 0, C.tain_model_weight_count(m) - 1 do list[#list + 1] = ffi.string(C.tain_model_weight_name(m, i)) end
  return list
end

-- ---- Lists ----

local function texts(fn, name, list)
  local array = ffi.new("const char *[?]", math.max(#list, 1))
  for i, text in ipairs(list) do array[i - 1] = check.string(fn, name, text) end
  return array
end

-- One or many: a list, and whether it was one.
local function as_list(value)
  if type(value) == "string" or image.is(value) then return { value }, true end
  return value, false
end

local function text_of(prompt) return type(prompt) == "table" and prompt.prompt or prompt end

-- ---- Drawing ----

--- Draws images.
---
--- An image depends on its prompt, seed and stream alone: it can be drawn again by itself.
---
--- @param prompts string|string[]
--- @param options? table seed, streams (list, one each; 1, 2, … if nil), guidance (1: none; the model's
---   own if nil), temperature, batch, label
--- @return Image|Image[]
function Model:generate(prompts, options)
  local m = handle("generate", self)
  options = check.options("generate", options, {
    seed = { "integer", default = 1 },
    streams = { "any", optional = true },
    guidance = { "number", default = self.guidance, min = 0 },
    temperature = { "number", default = 1, min = 1e-6 },
    batch = { "integer", default = 256, min = 1 },
    label = { "string", optional = true },
  })
  local list, one = as_list(prompts)
  if type(list) ~= "table" then check.raise("generate: prompts must be a string or a list, not %s", check.show(prompts)) end
  local images, count, size = {}, C.tain_model_image_codes(m), C.tain_model_image_size(m)
  local bar = options.label and progress.progress { label = options.label, total = #list * count }
  for first = 1, #list, options.batch do
    local last = math.min(first + options.batch - 1, #list)
    local rows = last - first + 1
    local part, streams = {}, ffi.new("int64_t[?]", rows)
    for i = first, last do
      part[#part + 1] = text_of(list[i])
      streams[i - first] = options.streams and options.streams[i] or i
    end
    local drawing = ffi.gc(check.made(C.tain_model_draw(m, texts("generate", "prompt", part), rows, options.seed, streams,
      options.guidance, options.temperature)), C.tain_drawing_free)
    repeat
      data.poll()
      local left = check.status(C.tain_drawing_next(drawing))
      if bar then bar:step(rows) end
    until left == 0
    local codes = ffi.new("int32_t[?]", rows * count)
    check.status(C.tain_drawing_codes(drawing, codes))
    C.tain_drawing_free(ffi.gc(drawing, nil))
    for i = 0, rows - 1 do
      local copy = ffi.new("int32_t[?]", count)
      ffi.copy(copy, codes + i * count, count * 4)
      images[#images + 1] = image.of_codes { codes = copy, count = count, model = self, width = size, height = size }
    end
  end
  if bar then bar:done() end
  return one and images[1] or images
end

--- Makes the pixels of drawn images, all at once.
---
--- @param images Image[]
--- @return Image[] images the same list
function Model:decode(images)
  local m = handle("decode", self)
  local count, size, todo = C.tain_model_image_codes(m), C.tain_model_image_size(m), {}
  for i, one in ipairs(images) do
    if not image.is(one) then check.raise("decode: images[%d] must be an image, not %s", i, check.show(one)) end
    if not image.has_pixels(one) then todo[#todo + 1] = one end
  end
  if #todo == 0 then return images end
  local codes, rgb = ffi.new("int32_t[?]", #todo * count), ffi.new("uint8_t[?]", #todo * size * size * 3)
  for i, one in ipairs(todo) do ffi.copy(codes + (i - 1) * count, image.codes_of(one).codes, count * 4) end
  check.status(C.tain_model_decode(m, codes, #todo, rgb))
  for i, one in ipairs(todo) do image.set_pixels(one, rgb + (i - 1) * size * size * 3) end
  return images
end

-- Pixels of a list of images of one size, side by side.
local function gather(fn, self, images)
  if #images == 0 then check.raise("%s: images is an empty list", fn) end
  self:decode(images)
  local width, height = images[1]:size()
  local bytes = width * height * 3
  local rgb = ffi.new("uint8_t[?]", #images * bytes)
  for i, one in ipairs(images) do
    local w, h = one:size()
    if w ~= width or h ~= height then
      check.raise("%s: images of different sizes: %s and %s", fn, tostring(images[1]), tostring(one))
    end
    ffi.copy(rgb + (i - 1) * bytes, one:pixels(), bytes)
  end
  return rgb, width, height
end

--- Makes the codes of images, as the model would have drawn them.
---
--- @param images Image|Image[]
--- @return Image|Image[] # new images with codes
function Model:encode(images)
  local m = handle("encode", self)
  local list, one = as_list(images)
  local rgb, width, height = gather("encode", self, list)
  local count, size, made = C.tain_model_image_codes(m), C.tain_model_image_size(m), {}
  local codes = ffi.new("int32_t[?]", #list * count)
  check.status(C.tain_model_encode(m, rgb, #list, width, height, codes))
  for i = 0, #list - 1 do
    local copy = ffi.new("int32_t[?]", count)
    ffi.copy(copy, codes + i * count, count * 4)
    made[#made + 1] = image.of_codes { codes = copy, count = count, model = self, width = size, height = size }
  end
  return one and made[1] or made
end

-- ---- Judging ----

--- The question that asks whether an image shows what a prompt says.
function Model:ask_about(prompt)
  return (self.question:gsub("{prompt}", (text_of(prompt):gsub("%%", "%%%%"))))
end

--- Asks whether images show what prompts say, and reads the first word of the answers.
---
--- p_yes is the probability of yes among yes and no; mass is the probability of both together, small
--- when the model did not understand the question. verdict is "accepted" or "rejected" if the
--- likeliest first word is a yes or a no, else "unclear".
---
--- @param images Image|Image[]
--- @param prompts string|string[]
--- @param options? table batch, label
--- @return table|table[] { p_yes =, mass =, verdict = }
function Model:score(images, prompts, options)
  local m = handle("score", self)
  options = check.options("score", options,
    { batch = { "integer", default = 128, min = 1 }, label = { "string", optional = true } })
  local list, one = as_list(images)
  local asked = as_list(prompts)
  if #list ~= #asked then check.raise("score: %d images and %d prompts", #list, #asked) end
  local scores = {}
  local bar = options.label and progress.progress { label = options.label, total = #list }
  for first = 1, #list, options.batch do
    data.poll()
    local part, questions = {}, {}
    for i = first, math.min(first + options.batch - 1, #list) do
      part[#part + 1], questions[#questions + 1] = list[i], self:ask_about(asked[i])
    end
    local n = #part
    local rgb, width, height = gather("score", self, part)
    local image_of, word = ffi.new("int32_t[?]", n), ffi.new("int32_t[?]", n)
    local yes, no = ffi.new("float[?]", n), ffi.new("float[?]", n)
    for i = 0, n - 1 do image_of[i] = i end
    check.status(C.tain_model_score(m, rgb, n, width, height, image_of, texts("score", "prompt", questions), n, yes, no, word))
    for i = 0, n - 1 do
      local mass = yes[i] + no[i]
      scores[#scores + 1] = {
        p_yes = mass > 0 and yes[i] / mass or 0.5,
        mass = mass,
        verdict = word[i] == 1 and "accepted" or word[i] == 0 and "rejected" or "unclear",
      }
    end
    if bar then bar:step(n) end
  end
  if bar then bar:done() end
  return one and scores[1] or scores
end

--- Answers a question about an image in words.
---
--- @param picture Image?
--- @param question string
--- @param options? table tokens: how many at most
--- @return string
function Model:ask(picture, question, options)
  local m = handle("ask", self)
  options = check.options("ask", options, { tokens = { "integer", default = 64, min = 1, max = 65536 } })
  question = check.string("ask", "question", question)
  local rgb, width, height
  if picture then rgb, width, height = gather("ask", self, { picture }) end
  return ffi.string(check.made(C.tain_model_ask(m, rgb, width or 0, height or 0, question, options.tokens)))
end

--- Reads an answer in words: "score is 1" or 0, else a leading yes or no.
---
--- @param answer string
--- @return "accepted"|"rejected"|"unclear"
function model.read_verdict(answer)
  local text = answer:lower()
  local digit = text:match("score is:?%s*([01])%f[%D]")
  if digit then return digit == "1" and "accepted" or "rejected" end
  local word = text:match("^%W*(%a+)")
  return word == "yes" and "accepted" or word == "no" and "rejected" or "unclear"
end

--- Judges images by the words of its answers.
---
--- @param images Image|Image[]
--- @param prompts string|string[]
--- @return string|string[] "accepted", "rejected" or "unclear"
function Model:verdict(images, prompts)
  local list, one = as_list(images)
  local asked, verdicts = as_list(prompts), {}
  for i, score in ipairs(self:score(list, asked)) do
    verdicts[i] = score.verdict
    if score.verdict == "unclear" then
      verdicts[i] = model.read_verdict(self:ask(list[i], self:ask_about(asked[i]), { tokens = 512 }))
    end
  end
  return one and verdicts[1] or verdicts
end

-- ---- Likelihood ----

--- How likely the model is to draw these images: differentiable.
---
--- @param prompts string|string[]
--- @param images Image|Image[] drawn or encoded
--- @param options? table per: "image" (sum over codes, the default), "token" (their mean), "code" ([rows, codes]);
---   dropped: a list of booleans, true puts padding in the place of the prompt
--- @return Tensor # [rows], or [rows, codes]
function Model:logprob(prompts, images, options)
  local m = handle("logprob", self)
  options = check.options("logprob", options, {
    per = { "choice", choices = { "image", "token", "code" }, default = "image" },
    dropped = { "any", optional = true },
  })
  local list, asked = as_list(images), as_list(prompts)
  if #list ~= #asked then check.raise("logprob: %d prompts and %d images", #asked, #list) end
  local count, plain = C.tain_model_image_codes(m), {}
  local codes = ffi.new("int32_t[?]", #list * count)
  for i, one in ipairs(list) do
    local parts = image.codes_of(one)
    if not parts then check.raise("logprob: images[%d] has no codes; encode it first", i) end
    ffi.copy(codes + (i - 1) * count, parts.codes, count * 4)
    plain[i] = text_of(asked[i])
  end
  local dropped = options.dropped and ffi.new("uint8_t[?]", #list)
  for i = 1, dropped and #list or 0 do dropped[i - 1] = options.dropped[i] and 1 or 0 end
  local each = tensor.adopt("logprob", C.tain_model_logprob(m, texts("logprob", "prompt", plain), dropped, #list, codes))
  if options.per == "code" then return each end
  return options.per == "token" and each:mean_dim(1, false) or each:sum_dim(1, false)
end

--- How likely the model is to give these answers to questions about images: differentiable.
---
--- @param images Image[]
--- @param questions string[]
--- @param answers string[]
--- @param image_of? integer[] which image each question is about; 1, 2, … if nil
--- @return Tensor # [questions], the sum over each answer's tokens
function Model:answer(images, questions, answers, image_of)
  local m = handle("answer", self)
  if #questions ~= #answers then check.raise("answer: %d questions and %d answers", #questions, #answers) end
  local rgb, width, height = gather("answer", self, images)
  local of = ffi.new("int32_t[?]", #questions)
  for i = 1, #questions do of[i - 1] = (image_of and image_of[i] or i) - 1 end
  return tensor.adopt("answer", C.tain_model_answer(m, rgb, #images, width, height, of,
    texts("answer", "question", questions), texts("answer", "answer", answers), #questions))
end

-- ---- The codec ----

--- Images as a tensor [B, S, S, 3] from -1 to 1.
---
--- @param images Image[]
--- @return Tensor
function Model:pixels(images)
  local rgb, width, height = gather("pixels", self, images)
  local count = #images * width * height * 3
  local values = ffi.new("float[?]", count)
  for i = 0, count - 1 do values[i] = rgb[i] / 127.5 - 1 end
  local x = tensor.zeros(#images, height, width, 3)
  check.status(C.tain_tensor_write((own.handle(x)), values, count))
  return x
end

--- @param pixels Tensor [B, S, S, 3] from -1 to 1
--- @return Tensor # [B, G, G, code_size]
function Model:codec_encode(pixels)
  pixels = check.tensor("codec_encode", "pixels", pixels)
  return tensor.adopt("codec_encode", C.tain_codec_encode(handle("codec_encode", self), pixels))
end

--- @param z Tensor [B, N, code_size], rows at unit length
--- @return Tensor # [B, S, S, 3]
function Model:codec_decode(z)
  return tensor.adopt("codec_decode", C.tain_codec_decode(handle("codec_decode", self), check.tensor("codec_decode", "z", z)))
end

--- @return Tensor # [codes, code_size], rows at unit length
function Model:codec_book()
  return tensor.adopt("codec_book", C.tain_codec_book(handle("codec_book", self)))
end

--- @param z Tensor [.., code_size]
--- @return Tensor # i32 [rows]
function Model:codec_nearest(z)
  return tensor.adopt("codec_nearest", C.tain_codec_nearest(handle("codec_nearest", self), check.tensor("codec_nearest", "z", z)))
end

--- @param z Tensor [.., C]
--- @return Tensor # rows at unit length
function Model:codec_unit(z)
  return tensor.adopt("codec_unit", C.tain_codec_unit(check.tensor("codec_unit", "z", z)))
end

model.class = Model
return model
