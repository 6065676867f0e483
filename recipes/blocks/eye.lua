--- The exact pixel judge: what objects a picture shows, and whether a prompt is true of it.
---
--- The picture is read in steps: a palette label for every pixel; connected components; for each,
--- the template that covers it best, or, if it has two colours, the best two templates, one before
--- the other. A picture that cannot be read with confidence is unclear, and gives nil.
---
--- A set of canvas pixels is 32 rows of 32 bits (int32_t, bit x is column x), so that a template is
--- compared with a component a row at a time.

local bit = require "bit"
local ffi = require "ffi"
local prompts = require "blocks.prompts"
local scene = require "blocks.scene"
local shapes = require "blocks.shapes"

local band, bor, bnot, lshift, rshift = bit.band, bit.bor, bit.bnot, bit.lshift, bit.rshift
local floor, max, min = math.floor, math.max, math.min

local SIZE = shapes.SIZE
local PIXELS = SIZE * SIZE
local STRIDE, TEMPLATES = shapes.STRIDE, shapes.TEMPLATES
local ROWS, ONES, TEMPLATE = shapes.rows, shapes.ones, shapes.templates
local INK = 7
local MARGIN = 1e-9            -- by how much a later candidate must be better

local eye = {}

-- Everything below works in these, one picture at a time.
local pixels = ffi.new("double[3072]")
local labels = ffi.new("uint8_t[1024]")      -- 0 background, 1 to 6 the colours, 7 ink
local owner = ffi.new("int32_t[1024]")       -- which component a pixel belongs to, 0 for none
local members = ffi.new("int32_t[1024]")     -- the pixels of the component at hand
local whole = ffi.new("int32_t[32]")         -- the component as a set
local sets = { ffi.new("int32_t[32]"), ffi.new("int32_t[32]") }   -- M1, M2: its colours, with ink
local covers = { ffi.new("int32_t[32]"), ffi.new("int32_t[32]") } -- two templates at their places

local radius = ffi.new("int32_t[?]", TEMPLATES)
local area = ffi.new("int32_t[?]", TEMPLATES)
local CORE = {}
for t = 0, TEMPLATES - 1 do
  local template = TEMPLATE[t]
  radius[t], area[t] = template.r, template.area
  CORE[t] = template.shape ~= "mirror" and template.shape ~= "arrow"
end

local function ones(row)
  return ONES[band(row, 0xffff)] + ONES[rshift(row, 16)]
end

-- ---- Labels ----

local BACK = shapes.background[1]
local axis = ffi.new("double[32]")           -- per label: v = colour - background, and v.v
local nearest = math.huge
for i = 1, INK do
  local colour = i == INK and shapes.ink or shapes.palette[shapes.colours[i]]
  for c = 0, 2 do
    local v = colour[c + 1] - BACK
    axis[4 * i + c], axis[4 * i + 3] = v, axis[4 * i + 3] + v * v
  end
  nearest = min(nearest, axis[4 * i + 3])
end

-- A pixel nearer to the background than this is less than half way to every colour.
local HALF_WAY = 0.24 * nearest

-- Copies the picture to `pixels`, k x k blocks averaged.
local function take(image, k)
  if k == 1 then
    for i = 0, 3 * PIXELS - 1 do pixels[i] = image[i] end
    return
  end
  local width = 3 * SIZE * k
  for y = 0, SIZE - 1 do
    for x = 0, 3 * SIZE - 1 do
      local column, channel = floor(x / 3), x % 3
      local sum = 0
      for j = 0, k - 1 do
        local at = (y * k + j) * width + 3 * k * column + channel
        for i = 0, k - 1 do sum = sum + image[at + 3 * i] end
      end
      pixels[3 * SIZE * y + x] = sum / (k * k)
    end
  end
end

-- The label of q - background = (r, g, b).
local function nearest_label(r, g, b)
  local best, found = math.huge, 0
  for entry = 1, INK do
    local v0, v1, v2 = axis[4 * entry], axis[4 * entry + 1], axis[4 * entry + 2]
    local a = (r * v0 + g * v1 + b * v2) / axis[4 * entry + 3]
    local clipped = min(max(a, 0.5), 1)
    local dr, dg, db = r - clipped * v0, g - clipped * v1, b - clipped * v2
    local residual = dr * dr + dg * dg + db * db
    if residual < best then
      best = residual
      found = a >= 0.5 and entry or 0
    end
  end
  return found
end

local function label()
  for i = 0, PIXELS - 1 do
    local r, g, b = pixels[3 * i] - BACK, pixels[3 * i + 1] - BACK, pixels[3 * i + 2] - BACK
    if r * r + g * g + b * b < HALF_WAY then
      labels[i] = 0
    else
      labels[i] = nearest_label(r, g, b)
    end
  end
end

-- ---- Components ----

-- Collects the component that pixel `first` belongs to into `members`; gives how many it has.
local function collect(first, number)
  members[0], owner[first] = first, number
  local count, done = 1, 0
  while done < count do
    local at = members[done]
    local x = band(at, 31)
    done = done + 1
    for side = 1, 4 do
      local next = -1
      if side == 1 then if x > 0 then next = at - 1 end
      elseif side == 2 then if x < SIZE - 1 then next = at + 1 end
      elseif side == 3 then next = at - SIZE
      elseif at < PIXELS - SIZE then next = at + SIZE end
      if next >= 0 and labels[next] ~= 0 and owner[next] == 0 then
        owner[next] = number
        members[count] = next
        count = count + 1
      end
    end
  end
  return count
end

-- Counts the labels of the component, fills `whole` and M1, M2, and finds its box.
local function survey(count)
  local counts = { 0, 0, 0, 0, 0, 0, 0 }
  local x0, y0, x1, y1 = SIZE, SIZE, -1, -1
  for i = 0, count - 1 do
    local at = members[i]
    local x, y, l = band(at, 31), rshift(at, 5), labels[at]
    counts[l] = counts[l] + 1
    x0, y0, x1, y1 = min(x0, x), min(y0, y), max(x1, x), max(y1, y)
  end

  local c1, c2 = 1, 0
  for colour = 2, 6 do
    if counts[colour] > counts[c1] then c1 = colour end
  end
  for colour = 1, 6 do
    if colour ~= c1 and (c2 == 0 or counts[colour] > counts[c2]) then c2 = colour end
  end

  ffi.fill(whole, 128)
  ffi.fill(sets[1], 128)
  ffi.fill(sets[2], 128)
  for i = 0, count - 1 do
    local at = members[i]
    local x, y, l = lshift(1, band(at, 31)), rshift(at, 5), labels[at]
    whole[y] = bor(whole[y], x)
    if l == c1 or l == INK then sets[1][y] = bor(sets[1][y], x) end
    if l == c2 or l == INK then sets[2][y] = bor(sets[2][y], x) end
  end
  local coloured = count - counts[INK]
  return {
    count = count, coloured = coloured, ink = counts[INK], c1 = c1, c2 = c2,
    n1 = counts[c1], n2 = counts[c2], x0 = x0, y0 = y0, x1 = x1, y1 = y1,
  }
end

-- ---- One object ----

-- How many pixels of `set` the template covers with its box's corner at (left, top).
local function covered(t, left, top, set)
  local size, sum = 2 * radius[t], 0
  for y = max(0, -top), min(size, SIZE - 1 - top) do
    local row = set[top + y]
    if left >= 0 then row = rshift(row, left) else row = lshift(row, -left) end
    sum = sum + ONES[band(row, ROWS[t * STRIDE + y])]
  end
  return sum
end

-- The template that covers the component best: { t, cx, cy, iou, single }.
local function fit_one(part)
  local fit = { t = 0, cx = 0, cy = 0, iou = 0, single = 0 }
  if part.x1 - part.x0 >= 15 or part.y1 - part.y0 >= 15 then return fit end

  local x, y = floor((part.x0 + part.x1) / 2), floor((part.y0 + part.y1) / 2)
  local enough = 0                                         -- some place reaches this
  for t = 0, TEMPLATES - 1 do
    local both = covered(t, x - radius[t], y - radius[t], whole)
    enough = max(enough, both / (area[t] + part.count - both))
  end
  local best, bt, bx, by = -1, 0, 0, 0
  for t = 0, TEMPLATES - 1 do
    local r, all = radius[t], area[t] + part.count
    local bound = min(area[t], part.count) / max(area[t], part.count)
    for cy = y - 2, bound >= enough and y + 2 or -math.huge do
      for cx = x - 2, x + 2 do
        local both = covered(t, cx - r, cy - r, whole)
        local iou = both / (all - both)
        if iou > best + MARGIN then best, bt, bx, by = iou, t, cx, cy end
      end
    end
  end

  local left, top = bx - radius[bt], by - radius[bt]
  ffi.fill(covers[1], 128, 0xff)
  local visible = covered(bt, left, top, covers[1])        -- of the template, on the canvas
  local union = visible + part.count - covered(bt, left, top, whole)
  fit.t, fit.cx, fit.cy, fit.iou = bt, bx, by, best
  fit.single = covered(bt, left, top, sets[1]) / union
  return fit
end

-- ---- Two objects, one before the other ----

local KEEP = 12

local hidden = ffi.new("int32_t[32]")
local sums = ffi.new("int32_t[1089]")        -- 33 x 33: pixels of M1 above and left of a corner

local function sum_up(set)
  for y = 0, SIZE - 1 do
    local line = 0
    for x = 0, SIZE - 1 do
      line = line + band(rshift(set[y], x), 1)
      sums[33 * (y + 1) + x + 1] = sums[33 * y + x + 1] + line
    end
  end
end

-- Puts a candidate into the list, best first; earlier ones stay before equal ones.
local function insert(list, t, cx, cy, score)
  local at = min(#list + 1, KEEP)
  while at > 1 and score > list[at - 1].score do
    list[at] = list[at - 1]
    at = at - 1
  end
  list[at] = { t = t, cx = cx, cy = cy, score = score }
  return #list == KEEP and list[KEEP].score or 0.45
end

-- The best places of single templates on the set M1 of `size` pixels, where M2 may hide the rest.
--
-- With i and h at most |T| together, a score is at most i / size, and i at most what M1 has in the
-- template's box; so most places are passed over without looking at the template.
local function candidates(m1, m2, size)
  local list, least = {}, 0.45
  for y = 0, SIZE - 1 do hidden[y] = band(m2[y], bnot(m1[y])) end
  sum_up(m1)
  for t = 0, TEMPLATES - 1 do
    local r, side = radius[t], 2 * radius[t] + 1
    for top = 0, CORE[t] and SIZE - side or -1 do
      for left = 0, SIZE - side do
        local at = 33 * top + left
        local box = sums[at + 34 * side] - sums[at + side] - sums[at + 33 * side] + sums[at]
        if box >= 0.4 * area[t] and box / size > least then
          local i = covered(t, left, top, m1)
          if i >= 0.4 * area[t] and i / size > least then
            local h = covered(t, left, top, hidden)
            local score = i / (area[t] + size - i - h)
            if score > least then least = insert(list, t, left + r, top + r, score) end
          end
        end
      end
    end
  end
  return list
end

-- Lays a template into an empty set.
local function lay(set, candidate)
  local t = candidate.t
  local r = radius[t]
  ffi.fill(set, 128)
  for y = 0, 2 * r do set[candidate.cy - r + y] = lshift(ROWS[t * STRIDE + y], candidate.cx - r) end
end

-- How well A and B explain the component if A, then if B, is in front.
local function agreement(a, b)
  local m1, m2 = sets[1], sets[2]
  local front_a, front_b, union = 0, 0, 0
  for y = 0, SIZE - 1 do
    local ra, rb = a[y], b[y]
    local any = bor(ra, rb)
    local all = bor(any, whole[y])
    if all ~= 0 then
      union = union + ones(all)
      if any ~= 0 then
        local good_a, good_b = band(ra, m1[y]), band(rb, m2[y])
        front_a = front_a + ones(bor(good_a, band(good_b, bnot(ra))))
        front_b = front_b + ones(bor(good_b, band(good_a, bnot(rb))))
      end
    end
  end
  return front_a / union, front_b / union
end

-- The best pair: { a, b, a_in_front, agreement }; nil if there are no candidates.
local function fit_two(part)
  local first = candidates(sets[1], sets[2], part.n1 + part.ink)
  if #first == 0 then return nil end
  local second = candidates(sets[2], sets[1], part.n2 + part.ink)
  local best, found = -1, nil
  for i = 1, #first do
    lay(covers[1], first[i])
    for j = 1, #second do
      lay(covers[2], second[j])
      local front_a, front_b = agreement(covers[1], covers[2])
      if front_a > best + MARGIN then best, found = front_a, { first[i], second[j], true } end
      if front_b > best + MARGIN then best, found = front_b, { first[i], second[j], false } end
    end
  end
  return found and { a = found[1], b = found[2], a_in_front = found[3], agreement = best }
end

-- ---- Objects ----

local function object(fit, colour, texture)
  local template = TEMPLATE[fit.t]
  return {
    shape = template.shape, dir = template.dir, colour = shapes.colours[colour],
    texture = texture, r = template.r, cx = fit.cx, cy = fit.cy,
  }
end

-- How much darker a texture's ink pixels are than the others, in the component's best template.
local function contrast(texture, fit, colour)
  local base = shapes.palette[shapes.colours[colour]]
  local b0, b1, b2 = base[1], base[2], base[3]
  local square = b0 * b0 + b1 * b1 + b2 * b2               -- ink is black: ink - colour = -base
  local dark, n_dark, light, n_light = 0, 0, 0, 0
  local r = radius[fit.t]
  local left, top = fit.cx - r, fit.cy - r
  for y = max(0, top), min(SIZE - 1, top + 2 * r) do
    local row = ROWS[fit.t * STRIDE + y - top]
    for x = max(0, left), min(SIZE - 1, left + 2 * r) do
      if band(row, lshift(1, x - left)) ~= 0 and band(whole[y], lshift(1, x)) ~= 0 then
        local at = 3 * (SIZE * y + x)
        local value = ((b0 - pixels[at]) * b0 + (b1 - pixels[at + 1]) * b1
          + (b2 - pixels[at + 2]) * b2) / square
        value = min(max(value, 0), 1)
        if scene.inked(texture, x, y) then
          dark, n_dark = dark + value, n_dark + 1
        else
          light, n_light = light + value, n_light + 1
        end
      end
    end
  end
  if n_dark == 0 or n_light == 0 then return nil end
  return dark / n_dark - light / n_light
end

local function texture_of(fit, colour)
  local best, found = 0.3, "plain"
  for _, texture in ipairs { "striped", "dotted" } do
    local value = contrast(texture, fit, colour)
    if value and value > best + (found == "plain" and 0 or MARGIN) then
      best, found = value, texture
    end
  end
  return found
end

-- Adds the object or the two objects of a component to the list; false if it is unclear.
local function recognise(part, list)
  if part.coloured < 6 then return false end
  local fit = fit_one(part)
  if part.n2 >= 10 and part.ink < 0.08 * part.count and fit.single < 0.95 then
    local pair = fit_two(part)
    if pair and pair.agreement > fit.single and pair.agreement >= 0.6
      and (fit.iou < 0.88 or pair.agreement >= 0.9) then
      local a, b = object(pair.a, part.c1, "plain"), object(pair.b, part.c2, "plain")
      list[#list + 1] = pair.a_in_front and b or a
      list[#list + 1] = pair.a_in_front and a or b
      return true
    end
  end
  if fit.iou < 0.65 or part.n1 < 0.5 * part.coloured then return false end
  list[#list + 1] = object(fit, part.c1, texture_of(fit, part.c1))
  return true
end

--- Finds the objects of a picture.
---
--- @param image ffi.cdata*|string height x width x 3 bytes
--- @param width? integer default 32
--- @param height? integer default 32; equal to the width, a multiple of 32
--- @return blocks.Object[]? # back to front; nil if the picture is unclear
function eye.read(image, width, height)
  width, height = width or SIZE, height or width or SIZE
  if width ~= height or width < SIZE or width % SIZE ~= 0 then return nil end
  if type(image) == "string" then
    if #image ~= 3 * width * height then
      error("read: a picture of " .. width .. " x " .. height .. " has " .. 3 * width * height
        .. " bytes, not " .. #image, 2)
    end
    image = ffi.cast("const uint8_t *", image)
  end
  take(image, width / SIZE)
  label()

  local list, dirt, number = {}, 0, 0
  ffi.fill(owner, 4 * PIXELS)
  for first = 0, PIXELS - 1 do
    if labels[first] ~= 0 and owner[first] == 0 then
      number = number + 1
      local count = collect(first, number)
      if count < 12 then
        dirt = dirt + count
      elseif not recognise(survey(count), list) then
        return nil
      end
    end
  end
  if dirt > 40 then return nil end
  return list
end

--- Judges whether a prompt is true of a picture.
---
--- @param image ffi.cdata*|string height x width x 3 bytes
--- @param width integer
--- @param height integer
--- @param prompt blocks.Prompt|string
--- @return boolean? # nil if the picture is unclear
function eye.judge(image, width, height, prompt)
  if type(prompt) == "string" then
    prompt = prompts.parse(prompt) or error("judge: not a prompt: " .. prompt, 2)
  end
  local found = eye.read(image, width, height)
  if not found then return nil end
  return scene.truth(prompt, found)
end

return eye
