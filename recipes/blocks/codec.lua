--- Trains the image codec: a picture becomes 64 codes of 512 and comes back.
---
--- The encoder's vectors and the codebook's rows are compared at unit length. The picture must come
--- back (absolute and squared error), the rows must move to the vectors they stand for, and the
--- vectors must stay near their rows. Codes that nobody uses are put where vectors are.

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

-- A number for each patch of each image, in the order of the codes: equal patches have equal numbers.
local function patches(images)
  local side, row = world.SIZE / 8, world.SIZE * 3
  local ids, number, count = {}, {}, 0
  for _, image in ipairs(images) do
    local pixels = image:pixels()
    for y = 0, world.SIZE - side, side do
      for x = 0, world.SIZE - side, side do
        local parts = {}
        for line = 0, side - 1 do
          local at = (y + line) * row + x * 3
          parts[line + 1] = ffi.string(pixels + at, side * 3)
        end
        local key = table.concat(parts)
        if not number[key] then
          number[key], count = count, count + 1
        end
        ids[#ids + 1] = number[key]
      end
    end
  end
  return ids, count
end

local background = world.background[1] / 127.5 - 1

-- What equal vectors have in common: their mean, and the code of that mean, for each vector.
local function in_common(model, unit, ids, count)
  local members, matrix, indices = {}, {}, tain.tensor(ids, { type = "i32" })
  for _, id in ipairs(ids) do members[id] = (members[id] or 0) + 1 end
  for id = 0, count - 1 do
    local row = {}
    for i, each in ipairs(ids) do row[i] = each == id and 1 / members[id] or 0 end
    matrix[id + 1] = row
  end
  local means = tain.tensor(matrix):matmul(unit)
  local codes, code_of = model:codec_nearest(model:codec_unit(means)):numbers(), {}
  for i, id in ipairs(ids) do code_of[i] = codes[id + 1] end
  return means:rows(indices), tain.tensor(code_of, { type = "i32" })
end

--- The loss of one batch, which code each vector took, and how far from it each was.
local function loss_of(model, images)
  local pixels = model:pixels(images)
  local z = model:codec_encode(pixels)
  local size = z:size(-1)
  local unit = model:codec_unit(z:reshape { -1, size })
  local book = model:codec_book()
  local ids, count = patches(images)
  local means, codes = tain.no_grad(function() return in_common(model, unit, ids, count) end)
  local rows = book:rows(codes)
  -- Forward the row, backward as if it were the vector itself.
  local step = tain.no_grad(function() return rows - unit end)
  local through = unit + step
  local fixed_unit = tain.no_grad(function() return unit + 0 end)
  local back = model:codec_decode(through:reshape { #images, -1, size }) - pixels
  -- What is far from the background is rare, and is all that the judge looks at.
  local weight = tain.no_grad(function() return (pixels - background):abs() * 2 + 1 end)
  local picture = (back:abs() * weight):mean() + (back:square() * weight):mean()
  local commit = (unit - tain.no_grad(function() return rows + 0 end)):square():mean()
  local follow = (rows - fixed_unit):square():mean()
  local equal = (unit - means):square():mean()
  local far = tain.no_grad(function() return step:square():sum_dim(1, false) end)
  return picture + 0.5 * commit + follow + 2 * equal, codes, fixed_unit, far, picture, equal, ids
end

--- Moves codes that were not used to the vectors of the batch that lie farthest from theirs, at most
--- one to each kind of patch.
local function revive(model, used, vectors, far, ids)
  local book = model:parameters("quantize%.embedding")[1]
  local rows, size, order, taken = book:numbers(), book:size(1), {}, {}
  for i = 1, #far do order[i] = i end
  table.sort(order, function(a, b) return far[a] > far[b] or far[a] == far[b] and a < b end)
  local at = 1
  for code = 0, book:size(0) - 1 do
    if not used[code] then
      while at <= #order and taken[ids[order[at]]] do at = at + 1 end
      if at > #order or far[order[at]] < 0.02 then break end
      taken[ids[order[at]]] = true
      for k = 1, size do rows[code * size + k] = vectors[(order[at] - 1) * size + k] end
    end
  end
  book:write(rows)
end

--- One step of training. `state` is a table that the caller keeps: what codes were used lately.
---
--- @param step integer from 1: with the seed it decides everything that is random
--- @return table # loss, and of it picture and equal
function codec.step(model, optimizer, state, step, options)
  local rng = world.rng(options.seed, 1000000 + step)
  local images = pictures(rng, options.batch)
  local loss, codes, unit, far, picture, equal, ids = optimizer:step(function()
    local loss, codes, unit, far, picture, equal, ids = loss_of(model, images)
    return loss, codes:keep(), unit:keep(), far:keep(), picture:keep(), equal:keep(), ids
  end, { lr = options.lr })
  for _, code in ipairs(codes:numbers()) do state.used[code] = true end
  if step % options.revive == 0 and step <= options.revive_until then
    revive(model, state.used, unit:numbers(), far:numbers(), ids)
    state.used = {}
  end
  local row = { loss = loss, picture = picture:item(), equal = equal:item() }
  for _, each in ipairs { codes, unit, far, picture, equal } do each:free() end
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
