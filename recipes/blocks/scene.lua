--- Scenes: lists of objects, back to front. Drawing them, the truth of a prompt on one, making one
--- for a prompt, and the one canonical caption.
---
--- Coordinates are pixels from the top left one, x to the right and y down; its box is
--- [cx - r, cx + r] x [cy - r, cy + r].

local bit = require "bit"
local ffi = require "ffi"
local prompts = require "blocks.prompts"
local shapes = require "blocks.shapes"

local abs, floor, max = math.abs, math.floor, math.max
local band = bit.band

--- @class blocks.Object
--- @field shape string
--- @field dir? "up"|"down"|"left"|"right" arrows only
--- @field colour string
--- @field texture string
--- @field r integer 4 or 5
--- @field cx integer
--- @field cy integer

local scene = {}

local SIZE = shapes.SIZE
local PIXELS = SIZE * SIZE
local PALETTE = shapes.palette
local KIND = prompts.kind

-- ---- Drawing ----

-- Whether a texture puts ink on the pixel (x, y) of the canvas.
local function inked(texture, x, y)
  if texture == "striped" then return band(y, 3) == 2 end
  if texture == "dotted" then return band(x + 1, 2) ~= 0 and band(y + 1, 2) ~= 0 end
  return false
end
scene.inked = inked

local function draw(image, object)
  local colour, texture = PALETTE[object.colour], object.texture
  local red, green, blue = colour[1], colour[2], colour[3]
  local row = shapes.template(object) * shapes.STRIDE
  local left, top = object.cx - object.r, object.cy - object.r
  for y = 0, 2 * object.r do
    local bits = shapes.rows[row + y]
    for x = 0, 2 * object.r do
      if band(bits, bit.lshift(1, x)) ~= 0 then
        local at = 3 * ((top + y) * SIZE + left + x)
        if inked(texture, left + x, top + y) then
          image[at], image[at + 1], image[at + 2] = 0, 0, 0
        else
          image[at], image[at + 1], image[at + 2] = red, green, blue
        end
      end
    end
  end
end

--- Adds normal noise to a picture, in place.
---
--- @param image ffi.cdata* uint8_t[3072]
--- @param sigma number standard deviation in grey levels
--- @param rng blocks.Rng
function scene.add_noise(image, sigma, rng)
  for i = 0, 3 * PIXELS - 1, 2 do
    local a, b = rng:normals()
    a, b = floor(image[i] + sigma * a + 0.5), floor(image[i + 1] + sigma * b + 0.5)
    image[i] = a < 0 and 0 or a > 255 and 255 or a
    image[i + 1] = b < 0 and 0 or b > 255 and 255 or b
  end
end

--- Draws a scene whose boxes lie on the canvas.
---
--- @param objects blocks.Object[]
--- @param options? { noise?: number, rng?: blocks.Rng, into?: ffi.cdata* } noise needs an rng
--- @return ffi.cdata* # uint8_t[3072]: 32 rows of 32 pixels of red, green, blue; `into` if given
function scene.render(objects, options)
  local image = options and options.into or ffi.new("uint8_t[3072]")
  ffi.fill(image, 3 * PIXELS, shapes.background[1])
  for i = 1, #objects do draw(image, objects[i]) end
  if options and options.noise and options.noise > 0 then
    scene.add_noise(image, options.noise, options.rng or error("render: noise needs an rng", 2))
  end
  return image
end

-- ---- Truth ----

local UNIT_X = { left = -1, right = 1, up = 0, down = 0 }
local UNIT_Y = { left = 0, right = 0, up = -1, down = 1 }

-- (dx, dy) as distance along a relation's direction and offset across it.
local function along_relation(relation, dx, dy)
  if relation == "left of" then return dx, dy end
  if relation == "right of" then return -dx, dy end
  if relation == "above" then return dy, dx end
  return -dy, dx
end

-- The same for an arrow's direction.
local function along_arrow(dir, dx, dy)
  local ux, uy = UNIT_X[dir], UNIT_Y[dir]
  return dx * ux + dy * uy, abs(dx * uy - dy * ux)
end

-- Whether "a relation b" holds for two objects, whatever they are.
local function holds(relation, a, b)
  local kind = KIND[relation]
  local dx, dy = b.cx - a.cx, b.cy - a.cy
  if kind == "and" then return true end
  if kind == "rel2d" then
    local d, p = along_relation(relation, dx, dy)
    return d >= 10 and d > abs(p)
  end
  if not a.dir or kind == "look" and UNIT_X[a.dir] == 0 then return false end
  local along, across = along_arrow(a.dir, dx, dy)
  if abs(along) < 10 or across > 6 then return false end
  return (along > 0) == (relation == "pointing at" or relation == "facing")
end

local function matches(object, phrase)
  return object.shape == phrase.noun and (not phrase.colour or object.colour == phrase.colour)
    and (not phrase.texture or object.texture == phrase.texture)
end

-- The place in the list of the one object that matches; nil if none or several do.
local function match(objects, phrase)
  local found
  for i = 1, #objects do
    if matches(objects[i], phrase) then
      if found then return nil end
      found = i
    end
  end
  return found
end

--- Whether a prompt is true of a scene.
---
--- @param prompt blocks.Prompt|string
--- @param objects blocks.Object[]
--- @return boolean
function scene.truth(prompt, objects)
  if type(prompt) == "string" then
    prompt = prompts.parse(prompt) or error("truth: not a prompt: " .. prompt, 2)
  end
  local phrases, relation = prompt.phrases, prompt.relation
  if #objects ~= (prompt.number or #phrases) then return false end

  if prompt.number then
    for i = 1, #objects do
      if not matches(objects[i], phrases[1]) then return false end
    end
    return true
  end

  local a, b = match(objects, phrases[1]), match(objects, phrases[2])
  if not a or not b then return false end
  if KIND[relation] == "rel3d" then
    return shapes.shared(objects[a], objects[b]) >= 8 and (a > b) == (relation == "in front of")
  end
  if not holds(relation, objects[a], objects[b]) then return false end
  if phrases[3] then
    local c = match(objects, phrases[3])
    return c ~= nil and holds(relation, objects[a], objects[c])
  end
  return true
end

-- ---- Making ----

-- Whether at least two empty columns or rows lie between two boxes.
local function clear(a, b)
  return max(abs(b.cx - a.cx), abs(b.cy - a.cy)) - (a.r + b.r + 1) >= 2
end

-- Whether (sx, sy), the step between box corners, suits the relation with room to spare.
local function step_suits(relation, dir, sx, sy)
  local kind = KIND[relation]
  if kind == "and" then return abs(sx) ~= abs(sy) end
  if kind == "rel2d" then
    local d, p = along_relation(relation, sx, sy)
    return d >= 12 and abs(p) <= d - 4
  end
  local along, across = along_arrow(dir, sx, sy)
  if relation == "pointing away from" or relation == "with its back to" then along = -along end
  return along >= 12 and across <= 4
end

-- Whether the front object hides enough of the back one, and not too much.
local function overlap_suits(front, back)
  if front.cx - front.r == back.cx - back.r and front.cy - front.r == back.cy - back.r then
    return false
  end
  local k = shapes.shared(front, back)
  local share = k / shapes.templates[shapes.template(back)].area
  return k >= 12 and share >= 0.15 and share <= 0.45
end

local DIRECTIONS = { "left", "right", "up", "down" }     -- a mirror takes the first two

-- Draws what is free of an object's form and place. Colours wait until the places suit: no rule
-- about places depends on them.
local function place(rng, object, phrase, prompt, front)
  local noun = phrase.noun
  if noun == "arrow" then
    object.dir = DIRECTIONS[rng:integer(KIND[prompt.relation] == "look" and 2 or 4)]
  end
  if front ~= nil then
    object.r = front and 4 or 5
  elseif phrase.texture or noun == "arrow" or noun == "mirror" then
    object.r = 5
  else
    object.r = 3 + rng:integer(2)
  end
  object.cx = shapes.STEP * (rng:integer(shapes.CORNERS) - 1) + object.r
  object.cy = shapes.STEP * (rng:integer(shapes.CORNERS) - 1) + object.r
end

-- Places objects[1..n] anew; false as soon as a rule is broken.
local function attempt(rng, prompt, objects, n)
  local phrases, relation = prompt.phrases, prompt.relation
  if KIND[relation] == "rel3d" then
    local a, b = objects[1], objects[2]
    local first = relation == "in front of"
    place(rng, a, phrases[1], prompt, first)
    place(rng, b, phrases[2], prompt, not first)
    if first then return overlap_suits(a, b) end
    return overlap_suits(b, a)
  end
  for i = 1, n do
    local object = objects[i]
    place(rng, object, phrases[i] or phrases[1], prompt)
    for j = 1, i - 1 do
      if not clear(objects[j], object) then return false end
    end
    if relation and i > 1 then
      local a = objects[1]
      local sx, sy = (object.cx - object.r) - (a.cx - a.r), (object.cy - object.r) - (a.cy - a.r)
      if not step_suits(relation, a.dir, sx, sy) then return false end
    end
  end
  return true
end

--- Makes a scene of which a prompt is true, with room to spare.
---
--- @param rng blocks.Rng
--- @param prompt blocks.Prompt|string
--- @return blocks.Object[]
function scene.realise(rng, prompt)
  if type(prompt) == "string" then
    prompt = prompts.parse(prompt) or error("realise: not a prompt: " .. prompt, 2)
  end
  local phrases = prompt.phrases
  local n = prompt.number or #phrases
  local objects = {}
  for i = 1, n do
    local phrase = phrases[i] or phrases[1]
    objects[i] = { shape = phrase.noun, dir = nil, colour = phrase.colour,
                   texture = phrase.texture or "plain", r = 0, cx = 0, cy = 0 }
  end
  repeat until attempt(rng, prompt, objects, n)

  if not phrases[1].colour then
    local apart = KIND[prompt.relation] == "rel3d"
    for i = 1, n do
      local colour = prompt.number and i > 1 and objects[1].colour or rng:pick(shapes.colours)
      while apart and i > 1 and colour == objects[1].colour do colour = rng:pick(shapes.colours) end
      objects[i].colour = colour
    end
  end
  if prompt.relation == "in front of" then objects[1], objects[2] = objects[2], objects[1] end
  return objects
end

-- ---- Captions ----

local function rank(list)
  local found = {}
  for i, word in ipairs(list) do found[word] = i end
  return found
end

local NOUN_RANK = rank { "circle", "square", "triangle", "cross", "arrow", "mirror" }
local COLOUR_RANK, TEXTURE_RANK = rank(shapes.colours), rank(shapes.textures)
local CORE = rank(shapes.core)

local function order(object)
  local form = (NOUN_RANK[object.shape] * 8 + COLOUR_RANK[object.colour]) * 4
  return ((form + TEXTURE_RANK[object.texture]) * 64 + object.cy) * 64 + object.cx
end

-- The objects in the caption's order, and the place of each in the scene.
local function sorted(objects)
  local list, places = {}, {}
  for i = 1, #objects do
    local at = i
    while at > 1 and order(list[at - 1]) > order(objects[i]) do
      list[at], places[at] = list[at - 1], places[at - 1]
      at = at - 1
    end
    list[at], places[at] = objects[i], i
  end
  return list, places
end

-- Rule 2: several of one shape.
local function caption_number(list)
  local first = list[1]
  if #list > 4 or not CORE[first.shape] then return nil end
  local colour = first.colour
  for i = 2, #list do
    if list[i].shape ~= first.shape then return nil end
    if list[i].colour ~= colour then colour = nil end
  end
  return prompts.write { number = #list, phrases = { { noun = first.shape, colour = colour } } }
end

-- Rules 3 to 5: two objects in a relation.
local function caption_pair(list, places, text)
  for i = 1, 2 do
    local a, b = list[i], list[3 - i]
    for n = 1, 2 do
      local relation = (b.shape == "mirror" and prompts.look or prompts.point)[n]
      if holds(relation, a, b) then return text[i] .. " " .. relation .. " " .. text[3 - i] end
    end
  end
  if shapes.shared(list[1], list[2]) >= 8 then
    local relation = places[1] > places[2] and " in front of " or " behind "
    return text[1] .. relation .. text[2]
  end
  for _, relation in ipairs(prompts.rel2d) do
    if holds(relation, list[1], list[2]) then
      return text[1] .. " " .. relation .. " " .. text[2]
    end
  end
end

-- Rule 6: one object in a relation to two others.
local function caption_three(list, text)
  for x = 1, 3 do
    local y, z = x == 1 and 2 or 1, x == 3 and 2 or 3
    for _, relation in ipairs(prompts.rel2d) do
      if holds(relation, list[x], list[y]) and holds(relation, list[x], list[z]) then
        return text[x] .. " " .. relation .. " " .. text[y] .. " and " .. text[z]
      end
    end
  end
end

--- The one canonical caption of a scene. For every scene that `realise` makes, a prompt true of it.
---
--- @param objects blocks.Object[]
--- @return string
function scene.describe(objects)
  if #objects == 0 then return "nothing" end
  local list, places = sorted(objects)
  local textured = false
  for i = 1, #list do textured = textured or list[i].texture ~= "plain" end
  local text = {}
  for i = 1, #list do
    local object = list[i]
    text[i] = prompts.phrase(object.shape, object.colour, textured and object.texture or nil)
  end
  return caption_number(list)
    or #list == 2 and caption_pair(list, places, text)
    or #list == 3 and caption_three(list, text)
    or table.concat(text, " and ")
end

return scene
