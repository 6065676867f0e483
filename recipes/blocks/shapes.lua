--- What a blocks picture is made of: the canvas, the colours, the textures and the shape templates.
---
--- A template is a shape in one size (and, for arrows, one direction). Templates are numbered from
--- 0 in the judge's order: small then large, each circle, square, triangle, cross, mirror, arrow
--- up, down, left, right. Bit x of `rows[template * 11 + y]` is the pixel (x, y) of its box.

local bit = require "bit"
local ffi = require "ffi"

local shapes = {
  SIZE = 32,
  CORNERS = 6,                 -- box corners lie at 0, 4, .. 20
  STEP = 4,
  STRIDE = 11,                 -- rows kept for a template
  TEMPLATES = 18,
  background = { 240, 240, 240 },
  ink = { 0, 0, 0 },
  colours = { "red", "green", "blue", "yellow", "purple", "orange" },
  textures = { "plain", "striped", "dotted" },
  core = { "circle", "square", "triangle", "cross" },
  palette = {
    red = { 185, 0, 55 },
    green = { 0, 195, 80 },
    blue = { 0, 80, 250 },
    yellow = { 255, 250, 40 },
    purple = { 140, 0, 200 },
    orange = { 255, 110, 0 },
  },
}

local pictures = {
  [4] = [[
...###... ######### ....#.... ...###... ...###... ....#.... ....#....
.#######. ######### ....#.... ...###... ...###... ...###... ....##...
.#######. ######### ...###... ...###... ...###... ..#####.. ....###..
######### ######### ...###... ######### ...###... .#######. ########.
######### ######### ..#####.. ######### ...###... ######### #########
######### ######### ..#####.. ######### ...###... ...###... ########.
.#######. ######### .#######. ...###... ...###... ...###... ....###..
.#######. ######### .#######. ...###... ...###... ...###... ....##...
...###... ######### ######### ...###... ...###... ...###... ....#....]],
  [5] = [[
...#####... ########### .....#..... ....###.... ....###.... .....#..... .....#.....
..#######.. ########### .....#..... ....###.... ....###.... ....###.... .....##....
.#########. ########### ....###.... ....###.... ....###.... ...#####... .....###...
########### ########### ....###.... ....###.... ....###.... ..#######.. .....####..
########### ########### ...#####... ########### ....###.... .#########. ##########.
########### ########### ...#####... ########### ....###.... ########### ###########
########### ########### ..#######.. ########### ....###.... ....###.... ##########.
########### ########### ..#######.. ....###.... ....###.... ....###.... .....####..
.#########. ########### .#########. ....###.... ....###.... ....###.... .....###...
..#######.. ########### .#########. ....###.... ....###.... ....###.... .....##....
...#####... ########### ########### ....###.... ....###.... ....###.... .....#.....]],
}

-- Which drawn column a template comes from, and what is done to it.
local ORDER = {
  { "circle", nil, 1 }, { "square", nil, 2 }, { "triangle", nil, 3 }, { "cross", nil, 4 },
  { "mirror", nil, 5 }, { "arrow", "up", 6 }, { "arrow", "down", 6, "rows" },
  { "arrow", "left", 7, "columns" }, { "arrow", "right", 7 },
}

local rows = ffi.new("int32_t[?]", shapes.TEMPLATES * shapes.STRIDE)
local index = {}               -- shape or direction -> r -> number
local templates = {}           -- number -> { shape, dir, r, area }

-- The rows of the drawn column `column`, top first, as strings.
local function drawn(r, column)
  local found, n = {}, 0
  for word in pictures[r]:gmatch "%S+" do
    n = n + 1
    if (n - 1) % 7 + 1 == column then found[#found + 1] = word end
  end
  assert(#found == 2 * r + 1)
  return found
end

for size, r in ipairs { 4, 5 } do
  for n, entry in ipairs(ORDER) do
    local shape, dir, column, mirrored = entry[1], entry[2], entry[3], entry[4]
    local lines = drawn(r, column)
    local t = (size - 1) * #ORDER + n - 1
    local area = 0
    for y = 0, 2 * r do
      local line = lines[mirrored == "rows" and #lines - y or y + 1]
      if mirrored == "columns" then line = line:reverse() end
      local bits = 0
      for x = 0, 2 * r do
        if line:byte(x + 1) == 35 then bits, area = bits + 2 ^ x, area + 1 end
      end
      rows[t * shapes.STRIDE + y] = bits
    end
    templates[t] = { shape = shape, dir = dir, r = r, area = area }
    local name = dir or shape
    index[name] = index[name] or {}
    index[name][r] = t
  end
end

shapes.rows = rows
shapes.templates = templates

-- How many bits a row of a box (11 bits) or half a canvas row (16 bits) holds.
local ones = ffi.new("uint8_t[65536]")
for i = 1, 65535 do ones[i] = ones[bit.rshift(i, 1)] + bit.band(i, 1) end
shapes.ones = ones

--- The number of an object's template.
---
--- @param object blocks.Object
--- @return integer
function shapes.template(object)
  return index[object.dir or object.shape][object.r]
end

--- How many pixels the full masks of two objects share, hidden parts included.
---
--- @param a blocks.Object
--- @param b blocks.Object
--- @return integer
function shapes.shared(a, b)
  local dx, dy = (b.cx - b.r) - (a.cx - a.r), (b.cy - b.r) - (a.cy - a.r)
  if dx > 10 or dx < -10 or dy > 10 or dy < -10 then return 0 end
  local ta, tb = shapes.template(a) * shapes.STRIDE, shapes.template(b) * shapes.STRIDE
  local count = 0
  for y = math.max(0, dy), math.min(2 * a.r, dy + 2 * b.r) do
    local other = rows[tb + y - dy]
    if dx >= 0 then other = bit.lshift(other, dx) else other = bit.rshift(other, -dx) end
    count = count + ones[bit.band(rows[ta + y], other, 0x7ff)]
  end
  return count
end

return shapes
