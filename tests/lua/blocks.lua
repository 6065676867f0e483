--- Tests the blocks world: the language, the scenes, the wrong prompts and the pixel judge.
---
---     luajit tests/lua/blocks.lua

package.path = "recipes/?.lua;" .. package.path

local ffi = require "ffi"
local eye = require "blocks.eye"
local json = require "blocks.json"
local prompts = require "blocks.prompts"
local rng = require "blocks.rng"
local scene = require "blocks.scene"
local shapes = require "blocks.shapes"
local vectors = require "blocks.vectors"
local world = require "blocks.world"

local failures = 0

local function check(ok, ...)
  if ok then return end
  failures = failures + 1
  if failures > 20 then return end
  local parts = {}
  for i = 1, select("#", ...) do parts[i] = tostring((select(i, ...))) end
  io.stderr:write("blocks: ", table.concat(parts, " "), "\n")
end

local function equal(what, found, wanted)
  check(found == wanted, what .. ": found", found, "wanted", wanted)
end

-- ---- Random numbers ----

local function random_numbers()
  -- The known answers of Random123.
  local all = 0xffffffff
  local answers = {
    { { 0, 0, 0, 0 }, { 0, 0 }, "6627e8d5 e169c58d bc57ac4c 9b00dbd8" },
    { { all, all, all, all }, { all, all }, "408f276d 41c83b0e a20bc7c6 6d5451fd" },
    { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 }, { 0xa4093822, 0x299f31d0 },
      "d16cfe09 94fdcceb 5001e420 24126ea1" },
  }
  for i, answer in ipairs(answers) do
    local words = { rng.block(answer[1], answer[2]) }
    for n = 1, 4 do words[n] = bit.tohex(words[n]) end
    equal("philox answer " .. i, table.concat(words, " "), answer[3])
  end
  equal("first word of seed 0", rng.new(0):word(), 0x6627e8d5)

  -- Restoring goes back to the same numbers, within a buffer and across buffers.
  local r = rng.new(7, 3)
  for _ = 1, 250 do r:word() end
  local stream, position = r:state()
  local seen = {}
  for i = 1, 600 do seen[i] = r:word() end
  local other = rng.new(7, 9)
  other:restore(stream, position)
  for i = 1, 600 do equal("restored word " .. i, other:word(), seen[i]) end
  local _, after = other:state()
  equal("position", after, 850)

  -- A position far out, and streams and seeds that differ only above 32 bits.
  r:restore(0, 4 * 2 ^ 40)
  local first = rng.block({ 0, 256, 0, 0 }, { 7, 0 })
  equal("far word", r:word(), first)
  equal("wide seed", rng.new(2 ^ 32 + 1):word(), (rng.block({ 0, 0, 0, 0 }, { 1, 1 })))
  equal("wide stream", rng.new(1, 2 ^ 32 + 5):word(), (rng.block({ 0, 0, 5, 1 }, { 1, 0 })))

  local n, sum, square, low, high = 200000, 0, 0, 1, 0
  local counts = { 0, 0, 0, 0, 0, 0 }
  for _ = 1, n do
    local u = r:uniform()
    low, high = math.min(low, u), math.max(high, u)
    local face = r:integer(6)
    counts[face] = counts[face] + 1
    local v = r:normal()
    sum, square = sum + v, square + v * v
  end
  check(low >= 0 and low < 1e-4 and high < 1 and high > 1 - 1e-4, "uniform range", low, high)
  for face = 1, 6 do
    check(math.abs(counts[face] * 6 / n - 1) < 0.02, "face", face, counts[face])
  end
  check(math.abs(sum / n) < 0.01 and math.abs(square / n - 1) < 0.02, "normal", sum / n, square / n)
end

-- ---- Language ----

local function language()
  local counts = {
    color = { 360, 44 }, shape = { 84, 8 }, texture = { 72, 6 }, spatial = { 1776, 180 },
    spatial3d = { 744, 70 }, numeracy = { 112, 8 }, nonspatial = { 370, 30 },
    complex = { 21888, 2320 },
  }
  local known, side = {}, {}
  for _, word in ipairs(prompts.words()) do known[word] = true end
  equal("words", #prompts.words(), 43)

  local seen = {}
  for category, list in pairs(prompts.all()) do
    local heldout, longest, unknown = 0, 0, 0
    for _, prompt in ipairs(list) do
      check(not seen[prompt.text], "twice", prompt.text)
      seen[prompt.text] = true
      if prompt.split == "heldout" then heldout = heldout + 1 end
      local words = 0
      for word in prompt.text:gmatch "%S+" do
        words = words + 1
        if not known[word] then unknown = unknown + 1 end
      end
      longest = math.max(longest, words)
      equal("written " .. prompt.text, prompts.write(prompt), prompt.text)
      check(not side[prompt.key] or side[prompt.key] == prompt.split, "split of", prompt.key)
      side[prompt.key] = prompt.split
    end
    equal(category .. " prompts", #list, counts[category][1])
    equal(category .. " held out", heldout, counts[category][2])
    equal(category .. " unknown words", unknown, 0)
    check(longest <= 12, category, "has a prompt of", longest, "words")
  end

  local splits = {
    { "a square and a circle", "4fc07751", "train", "a circle and a square" },
    { "an orange circle right of a blue square", "7e02f3ce", "train" },
    { "a dotted triangle and a plain circle", "2be2b46a", "heldout" },
    { "a red circle above a purple square and a blue cross", "73400502", "train" },
    { "a red circle behind a blue square", "c19f3222", "train" },
    { "four triangles", "83dd9a90", "heldout" },
  }
  for _, item in ipairs(splits) do
    local prompt = prompts.parse(item[1])
    equal("hash of " .. item[1], bit.tohex(prompts.hash(prompt.key)), item[2])
    equal("split of " .. item[1], prompt.split, item[3])
    if item[4] then equal("key of " .. item[1], prompt.key, item[4]) end
  end

  local illegal = {
    "", " ", "a", "and", "one", "two circle", "one circles", "a circle", " a circle and a square",
    "a circle and a square ", "a circle and a square and a cross", "a circle and an square",
    "an red circle and a blue square", "a circle and a circle", "a red circle and a square",
    "a striped circle and a striped square", "a red circle in front of a red square",
    "a striped circle left of a plain square", "a striped red circle and a plain blue square",
    "a red striped circle above a plain blue square", "an arrow facing a circle",
    "an arrow pointing at a mirror", "a circle pointing at a square", "an arrow and a mirror",
    "a red circle above a blue square and a red cross", "two striped circles", "a\ncircle",
    "a circle left of a square and a cross", "a red circle behind a blue square and a green cross",
    "a red circle left a blue square", "a red circle left of a blue", "two two circles",
  }
  for _, text in ipairs(illegal) do equal("parsed '" .. text .. "'", prompts.parse(text), nil) end
end

-- ---- Scenes ----

local function reading_is_unclear()
  equal("a wrong size", eye.read(ffi.new("uint8_t[?]", 48 * 48 * 3), 48, 48), nil)
  equal("an oblong", eye.read(ffi.new("uint8_t[?]", 64 * 32 * 3), 64, 32), nil)
  check(not pcall(eye.read, "too short", 32, 32), "a short string was read")
  local empty = eye.read(scene.render {})
  equal("objects of an empty picture", empty and #empty, 0)
  equal("empty caption", scene.describe {}, "nothing")
  equal("empty truth", scene.truth("one circle", {}), false)
  check(not pcall(scene.truth, "no prompt", {}), "truth of no prompt")
end

-- A picture k times as large.
local function enlarge(image, k)
  local size = 32 * k
  local large = ffi.new("uint8_t[?]", 3 * size * size)
  for y = 0, size - 1 do
    for x = 0, size - 1 do
      for c = 0, 2 do
        large[3 * (y * size + x) + c] = image[3 * (math.floor(y / k) * 32 + math.floor(x / k)) + c]
      end
    end
  end
  return large
end

-- Objects that do not overlap are found in the order of the picture's rows: compare as sets.
local function same_objects(a, b)
  if not a or #a ~= #b then return false end
  local used = {}
  for _, object in ipairs(b) do
    local found
    for i, other in ipairs(a) do
      if not used[i] and vectors.same({ object }, { other }) then found = i end
    end
    if not found then return false end
    used[found] = true
  end
  return true
end

local function scenes()
  for n, category in ipairs(prompts.categories) do
    local r = rng.new(11, n)
    local relations, sizes, misses, tries, wrong_none = {}, {}, 0, 400, 0
    for i = 1, tries do
      local split = i % 2 == 0 and "train" or "heldout"
      local prompt = prompts.sample(r, category, split)
      equal("category", prompt.category, category)
      equal("split of " .. prompt.text, prompt.split, split)
      relations[prompt.relation or prompt.number] = true

      local objects = scene.realise(r, prompt)
      check(scene.truth(prompt, objects), "not true of its scene:", prompt.text)
      for _, object in ipairs(objects) do
        sizes[object.r] = true
        local left, top = object.cx - object.r, object.cy - object.r
        check(left % 4 == 0 and top % 4 == 0 and left >= 0 and left <= 20 and top >= 0
          and top <= 20, "corner", left, top, prompt.text)
      end

      local caption = prompts.parse(scene.describe(objects))
      check(caption, "caption is no prompt:", scene.describe(objects), "of", prompt.text)
      check(caption and scene.truth(caption, objects), "not true:", scene.describe(objects))

      local wrong = world.perturb(r, prompt, objects, split)
      if wrong then
        equal("category of " .. wrong.text, wrong.category, category)
        equal("split of " .. wrong.text, wrong.split, split)
        check(not scene.truth(wrong, objects), "wrong prompt is true:", wrong.text)
      else
        if split == "train" then wrong_none = wrong_none + 1 end   -- few texts are held out
      end

      local image = scene.render(objects)
      local found = eye.read(image, 32, 32)
      check(same_objects(found, objects), "read otherwise:", prompt.text)
      if category == "spatial3d" then check(vectors.same(found, objects), "order:", prompt.text) end
      equal("verdict on " .. prompt.text, eye.judge(image, 32, 32, prompt.text), true)
      if wrong then equal("verdict on " .. wrong.text, eye.judge(image, 32, 32, wrong), false) end

      if i <= 20 then
        equal("as a string", eye.judge(ffi.string(image, 3072), 32, 32, prompt), true)
        check(vectors.same(eye.read(enlarge(image, 3), 96, 96), found), "read large:", prompt.text)
      end
      local noisy = scene.render(objects, { noise = 8, rng = r })
      if eye.judge(noisy, 32, 32, prompt) ~= true then misses = misses + 1 end
    end
    check(misses <= 2, category, "noise spoils", misses, "of", tries)
    check(wrong_none < 3, category, "has no wrong prompt for", wrong_none, "of", tries)
    check(sizes[5] and (sizes[4] or category == "texture"), category, "sizes")
    for _, relation in ipairs(category == "numeracy" and { 1, 2, 3, 4 } or {}) do
      check(relations[relation], category, "never drew", relation)
    end
  end

  local r = rng.new(12)
  for i = 1, 200 do
    local prompt, objects, caption = world.example(r, prompts.categories[i % 8 + 1], "train")
    equal("split of an example", prompt.split .. caption.split, "traintrain")
    check(scene.truth(prompt, objects) and scene.truth(caption, objects), "example", prompt.text)
  end
end

-- What the rules of truth say at their edges.
local function truths()
  local function object(shape, dir, colour, cx, cy)
    return { shape = shape, dir = dir, colour = colour, texture = "plain", r = 5, cx = cx, cy = cy }
  end
  local circle = object("circle", nil, "red", 9, 9)
  local cases = {
    { "a circle left of a square", { circle, object("square", nil, "red", 19, 18) }, true },
    { "a circle left of a square", { circle, object("square", nil, "red", 19, 19) }, false },
    { "a circle left of a square", { circle, object("square", nil, "red", 18, 9) }, false },
    { "a square below a circle", { circle, object("square", nil, "red", 9, 19) }, true },
    { "a circle and a square", { circle }, false },
    { "a circle and a square", { circle, circle, object("square", nil, "red", 9, 19) }, false },
    { "a circle and a square", { circle, circle }, false },
    { "a square in front of a circle", { circle, object("square", nil, "blue", 13, 9) }, true },
    { "a circle in front of a square", { circle, object("square", nil, "blue", 13, 9) }, false },
    { "a circle behind a square", { circle, object("square", nil, "blue", 13, 9) }, true },
    { "a square in front of a circle", { circle, object("square", nil, "blue", 19, 9) }, false },
    { "an arrow facing a mirror",
      { object("arrow", "left", "red", 25, 9), object("mirror", nil, "red", 5, 15) }, true },
    { "an arrow facing a mirror",
      { object("arrow", "left", "red", 25, 9), object("mirror", nil, "red", 5, 16) }, false },
    { "an arrow facing a mirror",
      { object("arrow", "up", "red", 9, 25), object("mirror", nil, "red", 9, 5) }, false },
    { "an arrow pointing at a circle", { circle, object("arrow", "up", "red", 9, 25) }, true },
    { "an arrow pointing away from a circle", { circle, object("arrow", "down", "red", 9, 25) },
      true },
    { "an arrow pointing away from a circle", { circle, object("arrow", "up", "red", 9, 25) },
      false },
    { "two circles", { circle, object("circle", nil, "blue", 25, 25) }, true },
    { "two red circles", { circle, object("circle", nil, "blue", 25, 25) }, false },
  }
  for i, case in ipairs(cases) do
    equal("truth " .. i .. ", " .. case[1], scene.truth(case[1], case[2]), case[3])
  end
  local one, two = object("square", nil, "red", 5, 5), object("square", nil, "red", 9, 11)
  equal("shared", shapes.shared(one, two), 7 * 5)
  equal("shared the other way", shapes.shared(two, one), 7 * 5)
  equal("shared with itself", shapes.shared(circle, circle), 97)
end

local function noise()
  local r = rng.new(13)
  local objects = scene.realise(r, "a purple circle and a green square")
  local clean, n, sum, square = scene.render(objects), 0, 0, 0
  for _ = 1, 20 do
    local noisy = scene.render(objects, { noise = 4, rng = r })
    for i = 0, 3071 do
      if clean[i] > 30 and clean[i] < 225 then     -- away from clipping
        local d = noisy[i] - clean[i]
        n, sum, square = n + 1, sum + d, square + d * d
      end
    end
  end
  local mean, deviation = sum / n, math.sqrt(square / n)
  check(n > 1000 and math.abs(mean) < 0.2, "noise mean", mean, "of", n)
  check(math.abs(deviation - 4) < 0.2, "noise deviation", deviation, "of", n)
  local loud = scene.render(objects, { noise = 200, rng = r })
  local black, white = 0, 0
  for i = 0, 3071 do
    if loud[i] == 0 then black = black + 1 elseif loud[i] == 255 then white = white + 1 end
  end
  check(black > 100 and white > 1000, "loud noise clips", black, white)
end

-- ---- Files ----

local function files()
  local counts = vectors.compare("tests/golden/blocks", function(line) check(false, line) end)
  local wanted = { scenes = 400, captions = 400, verdicts = 1600, splits = 80, illegal = 15 }
  for name, of in pairs(wanted) do
    equal(name .. " that agree", counts[name][1], of)
    equal(name, counts[name][2], of)
  end

  local value = json.decode [=[ {"a": [1, -2.5e1, true, null, "\u00e9\ud83e\udd81\n\"", {}, []]} ]=]
  local list = value.a
  check(list[1] == 1 and list[2] == -25 and list[3] == true and list[4] == json.null, "json values")
  equal("json string", list[5], "\195\169\240\159\166\129\n\"")
  for _, text in ipairs { "", "{", "[1,", "[1 2]", '"a', '{"a" 1}', "{1:2}", "nul", "01", "1 2",
                          "-", '"\\q"', '"\\u12"', ("["):rep(1000), "{}}", '"\n"' } do
    check(not pcall(json.decode, text), "json took", text)
  end
end

random_numbers()
language()
truths()
reading_is_unclear()
scenes()
noise()
files()

if failures > 0 then
  io.stderr:write("blocks: ", failures, " checks failed\n")
  os.exit(1)
end
