--- What training on one pair pulls at: its log-ratio before and after, and for each layer how great the
--- pair's gradient is and how far the weights have moved. Computed anew from the models, so that it can
--- be told of any run whose models are still there.

local ffi = require "ffi"
local image = require "tain.image"
local losses = require "tain.loss"
local loader = require "tain.model"
local tensor = require "tain.tensor"

local story = {}

-- Parts of a model that draw, in the order in which numbers go through them.
local function parts_of(model)
  local layers = -1
  for _, name in ipairs(model:names()) do
    layers = math.max(layers, tonumber(name:match "^language_model%.model%.layers%.(%d+)%.") or -1)
  end
  local parts = { { name = "word and code embeddings", patterns = { "embed_tokens", "^gen_embed", "^gen_aligner" } } }
  for i = 0, layers do
    parts[#parts + 1] = { name = ("layer %d, attention"):format(i + 1),
      patterns = { ("^language_model%%.model%%.layers%%.%d%%.self_attn"):format(i),
        ("^language_model%%.model%%.layers%%.%d%%.input_layernorm"):format(i) } }
    parts[#parts + 1] = { name = ("layer %d, MLP"):format(i + 1),
      patterns = { ("^language_model%%.model%%.layers%%.%d%%.mlp"):format(i),
        ("^language_model%%.model%%.layers%%.%d%%.post_attention"):format(i) } }
  end
  parts[#parts + 1] = { name = "drawing head", patterns = { "^language_model%.model%.norm%.", "^gen_head" } }
  return parts
end

local function square(x) return tensor.no_grad(function() return (x * x):sum():item() end) end

-- The square of how far b's weights are from a's.
local function moved(a, b)
  local sum = 0
  for i = 1, #a do sum = sum + tensor.no_grad(function() local d = b[i] - a[i] return (d * d):sum():item() end) end
  return sum
end

local function picture(model, codes)
  return image.of_codes { codes = ffi.new("int32_t[?]", #codes, codes), count = #codes, model = model, width = 0, height = 0 }
end

local function likelihoods(model, pair)
  local list = tensor.no_grad(function()
    return model:logprob({ pair.prompt, pair.prompt }, { picture(model, pair.chosen), picture(model, pair.rejected) }):numbers()
  end)
  return { chosen = list[1], rejected = list[2] }
end

--- @param before string folder of the model before training
--- @param after? string folder of the model after it
--- @param pair table prompt, chosen and rejected (lists of codes)
--- @param beta number of DPO
--- @return table # before and after { chosen =, rejected = }, parts { name, gradient, moved (of the weights' norm) }
function story.tell(before, after, pair, beta)
  local model = loader.load(before)
  local told = { before = likelihoods(model, pair), parts = parts_of(model) }
  for _, part in ipairs(told.parts) do
    part.weights = model:parameters(part.patterns)
    for _, weight in ipairs(part.weights) do weight:want_grad(true) end
  end
  tensor.backward(function()
    local columns = { chosen = model:logprob({ pair.prompt }, { picture(model, pair.chosen) }),
      rejected = model:logprob({ pair.prompt }, { picture(model, pair.rejected) }),
      ref_chosen = tensor.tensor { told.before.chosen }, ref_rejected = tensor.tensor { told.before.rejected } }
    return losses.sigmoid(columns, { beta = beta }):mean()
  end)
  for _, part in ipairs(told.parts) do
    local sum, own = 0, 0
    for _, weight in ipairs(part.weights) do
      local gradient = weight:grad()
      if gradient then
        sum = sum + square(gradient)
        gradient:free()
      end
      own = own + square(weight)
    end
    part.gradient, part.norm = math.sqrt(sum), math.sqrt(own)
  end
  if after then
    local trained = loader.load(after)
    told.after = likelihoods(trained, pair)
    for _, part in ipairs(told.parts) do
      part.moved = math.sqrt(moved(part.weights, trained:parameters(part.patterns))) / part.norm
    end
    trained:free()
  end
  for _, part in ipairs(told.parts) do part.weights, part.patterns = nil, nil end
  model:free()
  return told
end

return story
