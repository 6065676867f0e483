--- Trains the image codec: a picture becomes 64 codes of 512 and comes back.
---
--- The encoder's vectors and the codebook's rows are compared at unit length. The picture must come
--- back (absolute and squared error), the rows must move to the vectors they stand for, and the
--- vectors must stay near their rows. Codes that nobody uses are put where vectors are.

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
    for layer = 1, i % 4 == 0 and 1 or 1 + i % 4 do
      local _, objects = world.example(rng, rng:pick(shown), "train")
      for _, object in ipairs(objects) do crowd[#crowd + 1] = object end
    end
    list[i] = tain.image(world.render(crowd), world.SIZE, world.SIZE)
  end
  return list
end

local background = world.background[1] / 127.5 - 1

--- The loss of one batch, and which code each vector took.
local function loss_of(model, images)
  local pixels = model:pixels(images)
  local z = model:codec_encode(pixels)
  local size = z:size(-1)
  local unit = model:codec_unit(z:reshape { -1, size })
  local book = model:codec_book()
  local codes = tain.no_grad(function() return model:codec_nearest(unit) end)
  local rows = book:rows(codes)
  -- Forward the row, backward as if it were the vector itself.
  local step = tain.no_grad(function() return rows - unit end)
  local through = unit + step
  local fixed_unit = tain.no_grad(function() return unit + 0 end)
  local back = model:codec_decode(through:reshape { #images, -1, size }) - pixels
  -- What is far from the background is rare, and is all that the judge looks at.
  local weight = tain.no_grad(function() return (pixels - background):abs() * 2 + 1 end)
  local picture = (back:abs() * weight):mean() + (back:square() * weight):mean()
  local stay = step:square():mean()                       -- a number: the distance itself
  local commit = (unit - tain.no_grad(function() return rows + 0 end)):square():mean()
  local follow = (rows - fixed_unit):square():mean()
  return picture + 0.5 * commit + follow, codes, fixed_unit, stay
end

--- Moves codes that were not used to vectors of the batch.
local function revive(model, used, vectors, rng)
  local book = model:parameters("quantize%.embedding")[1]
  local rows, size, moved = book:numbers(), book:size(1), 0
  local count = #vectors / size
  for code = 0, book:size(0) - 1 do
    if not used[code] then
      local from = rng:integer(count) - 1
      for k = 1, size do rows[code * size + k] = vectors[from * size + k] + 0.02 * rng:normal() end
      moved = moved + 1
    end
  end
  book:write(rows)
  return moved
end

--- One step of training. `state` is a table that the caller keeps: what codes were used lately.
---
--- @param step integer from 1: with the seed it decides everything that is random
--- @return number loss
function codec.step(model, optimizer, state, step, options)
  local rng = world.rng(options.seed, 1000000 + step)
  local images = pictures(rng, options.batch)
  local loss, codes, unit = optimizer:step(function()
    local loss, codes, unit = loss_of(model, images)
    return loss, codes:keep(), unit:keep()
  end, { lr = options.lr })
  for _, code in ipairs(codes:numbers()) do state.used[code] = true end
  if step % options.revive == 0 and step <= options.revive_until then
    state.moved = revive(model, state.used, unit:numbers(), rng)
    state.used = {}
  end
  codes:free()
  unit:free()
  return loss
end

--- How many true prompts stay true after encoding and decoding.
---
--- @return integer kept, integer of
function codec.measure(model, count, seed)
  local rng, kept = world.rng(seed, 77), 0
  local prompts, images = {}, {}
  for i = 1, count do
    local prompt, objects = world.example(rng, world.categories[(i - 1) % #world.categories + 1], "heldout")
    prompts[i] = prompt
    images[i] = tain.image(world.render(objects), world.SIZE, world.SIZE)
  end
  local back = model:encode(images)
  model:decode(back)
  for i, prompt in ipairs(prompts) do
    if world.judge(back[i]:pixels(), world.SIZE, world.SIZE, prompt) then kept = kept + 1 end
  end
  return kept, count
end

return codec
