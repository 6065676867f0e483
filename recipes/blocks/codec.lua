--- Trains the image codec: a picture becomes 64 codes of 512 and comes back.
---
--- The encoder's vectors and the codebook's rows are compared at unit length. The picture must come
--- back (absolute and squared error), the rows must move to the vectors they stand for, and the
--- vectors must stay near their rows. And a code must mean the same wherever it stands: each of the
--- commonest patches has a code of its own, which the encoder is taught to name. An encoder that is left
--- alone hides in the codes of the background what lies beside them; such codes bring the picture back as
--- well, and are far harder to learn to draw.

local ffi = require "ffi"
local tain = require "tain"
local world = require "blocks.world"

local codec = {}

--- What is hardest to bring back, marks, arrowheads and what hides behind another thing, is shown more
--- often than the rest.
local shown = { "texture", "nonspatial", "nonspatial", "spatial3d" }
for _, category in ipairs(world.categories) do shown[#shown + 1] = category end

--- Pictures of scenes whose captions are in the training split. Three in four are crowded: two or
--- three scenes drawn over each other have more edges to learn from than one.
local function pictures(rng, count)
  local list = {}
  for i = 1, count do
    local crowd = {}
    for _ = 1, i % 4 == 0 and 1 or 1 + i % 4 do
      local _, objects = world.example(rng, rng:pick(shown), "train")
      for _, object in ipairs(objects) do crowd[#crowd + 1] = object end
    end
    list[i] = tain.image(world.render(crowd), world.SIZE, world.SIZE)
  end
  return list
end

-- The bytes of each patch of an image, of which there are grid x grid, in the order of the codes.
local function patches(image, grid)
  local side, row, pixels, list = world.SIZE / grid, world.SIZE * 3, image:pixels(), {}
  for y = 0, world.SIZE - side, side do
    for x = 0, world.SIZE - side, side do
      local lines = {}
      for line = 0, side - 1 do lines[line + 1] = ffi.string(pixels + (y + line) * row + x * 3, side * 3) end
      list[#list + 1] = table.concat(lines)
    end
  end
  return list
end

--- Which code each of the commonest patches has: the commonest code 0, and so on.
---
--- @param model Model
--- @param seed integer of the training pictures that are looked at
--- @return table<string, integer> # by the bytes of a patch
function codec.names(model, seed)
  local rng, often, order, names = world.rng(seed, 4711), {}, {}, {}
  local codes = model:codec_book():size(0)
  local grid = model:codec_encode(tain.zeros(1, world.SIZE, world.SIZE, 3)):size(1)
  for i = 1, 2500 do
    local _, objects = world.example(rng, world.categories[(i - 1) % #world.categories + 1], "train")
    for _, patch in ipairs(patches(tain.image(world.render(objects), world.SIZE, world.SIZE), grid)) do
      if not often[patch] then order[#order + 1] = patch end
      often[patch] = (often[patch] or 0) + 1
    end
  end
  table.sort(order, function(a, b) return often[a] > often[b] or often[a] == often[b] and a < b end)
  for i = 1, math.min(codes, #order) do names[order[i]] = i - 1 end
  return names
end

--- Starts the codebook at what the encoder, though it has learnt nothing, makes of the patches that have
--- names: each row is the mean of the vectors of its patch. So most codes mean what they shall from the
--- first step, and what is left to learn is to paint them. Rows without a patch stay as they are.
---
--- @param names table of codec.names
--- @param seed integer of the training pictures that are looked at
function codec.start(model, names, seed)
  local rng, means, found = world.rng(seed, 4712), {}, {}
  local row_size = model:codec_book():size(1)
  for _ = 1, 40 do
    local images = pictures(rng, 16)
    local vectors, grid
    tain.no_grad(function()
      local z = model:codec_encode(model:pixels(images))
      vectors, grid = model:codec_unit(z:reshape { -1, row_size }):numbers(), z:size(1)
    end)
    for i, image in ipairs(images) do
      for k, patch in ipairs(patches(image, grid)) do
        local code, at = names[patch], ((i - 1) * grid ^ 2 + k - 1) * row_size
        if code then
          local mean = means[code] or {}
          means[code], found[code] = mean, (found[code] or 0) + 1
          for c = 1, row_size do mean[c] = (mean[c] or 0) + vectors[at + c] end
        end
      end
    end
  end
  local book = model:parameters("quantize%.embedding")[1]
  local numbers = book:numbers()
  for code, mean in pairs(means) do
    for c = 1, row_size do numbers[code * row_size + c] = mean[c] / found[code] end
  end
  tain.no_grad(function() book:assign(tain.tensor(numbers):reshape { book:size(0), row_size }) end)
end

local background = world.background[1] / 127.5 - 1
local SHARP = 30   -- how fast naming falls with distance: unit vectors of neighbours differ by 0.06 in cosine

-- The numbers of a tensor, which teach nothing.
local function fixed(x) return tain.no_grad(function() return x + 0 end) end

--- The loss of one batch, of it the picture's and the naming's, and the share of patches that have a name
--- and were given it.
local function loss_of(model, images, names)
  local pixels = model:pixels(images)
  local z = model:codec_encode(pixels)
  local unit = model:codec_unit(z:reshape { -1, z:size(-1) })
  local book = model:codec_book()
  local codes = tain.no_grad(function() return model:codec_nearest(unit) end)
  local rows = book:rows(codes)
  -- Forward the row, backward as if it were the vector itself.
  local through = unit + tain.no_grad(function() return rows - unit end)
  local back = model:codec_decode(through:reshape { #images, -1, z:size(-1) }) - pixels
  -- What is far from the background is rare, and is all that the judge looks at.
  local weight = tain.no_grad(function() return (pixels - background):abs() * 2 + 1 end)
  local picture = (back:abs() * weight):mean() + (back:square() * weight):mean()
  local commit = (unit - fixed(rows)):square():mean()
  local follow = (rows - fixed(unit)):square():mean()
  local wanted, picks, chosen, right = {}, {}, codes:numbers(), 0
  for i, image in ipairs(images) do
    for k, patch in ipairs(patches(image, z:size(1))) do
      local code, at = names[patch], (i - 1) * z:size(1) ^ 2 + k
      if code then
        wanted[#wanted + 1], picks[#picks + 1] = code, at - 1
        if chosen[at] == code then right = right + 1 end
      end
    end
  end
  local scores = unit:rows(tain.tensor(picks, { type = "i32" })):linear(book) * SHARP
  local naming = -scores:token_logprob(tain.tensor(wanted, { type = "i32" })):mean()
  return picture + 0.5 * commit + follow + 0.1 * naming, picture, naming, right / #wanted
end

--- One step of training.
---
--- @param names table of codec.names
--- @param step integer from 1: with the seed it decides everything that is random
--- @return table # loss, and of it picture and naming; named: the share of patches that took their code
function codec.step(model, optimizer, names, step, options)
  local images = pictures(world.rng(options.seed, 1000000 + step), options.batch)
  local loss, picture, naming, named = optimizer:step(function() return loss_of(model, images, names) end,
    { lr = options.lr })
  local row = { loss = loss, picture = picture:item(), naming = naming:item(), named = named }
  picture:free()
  naming:free()
  return row
end

--- How many true prompts stay true after encoding and decoding, and the entropy of a code by itself in
--- nats: the less, the less there is to learn to draw.
---
--- @return integer kept, integer of, number entropy
function codec.measure(model, count, seed)
  local rng, kept = world.rng(seed, 77), 0
  local prompts, images = {}, {}
  for i = 1, count do
    local prompt, objects = world.example(rng, world.categories[(i - 1) % #world.categories + 1], "heldout")
    prompts[i] = prompt
    images[i] = tain.image(world.render(objects), world.SIZE, world.SIZE)
  end
  local back = model:encode(images)
  local often, total, entropy = {}, 0, 0
  for _, image in ipairs(back) do
    for _, code in ipairs(image:codes()) do often[code], total = (often[code] or 0) + 1, total + 1 end
  end
  for _, n in pairs(often) do entropy = entropy - n / total * math.log(n / total) end
  model:decode(back)
  for i, prompt in ipairs(prompts) do
    if world.judge(back[i]:pixels(), world.SIZE, world.SIZE, prompt) then kept = kept + 1 end
  end
  return kept, count, entropy
end

return codec
