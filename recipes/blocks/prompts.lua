--- The language of the blocks world: what a prompt is, what it means, and drawing one at random.
---
--- Equal texts give the same parsed prompt, so one is to be read, not changed.

local bit = require "bit"
local shapes = require "blocks.shapes"

--- @class blocks.Phrase
--- @field noun string in the singular
--- @field colour? string
--- @field texture? string

--- @class blocks.Prompt
--- @field text string
--- @field category string
--- @field relation? string "and", "left of", ..; nil for a number
--- @field number? integer 1 to 4, numeracy only
--- @field phrases blocks.Phrase[]
--- @field key string shared by all prompts of one meaning
--- @field split "train"|"heldout"

local prompts = {}

prompts.categories = {
  "color", "shape", "texture", "spatial", "spatial3d", "numeracy", "nonspatial", "complex",
}
prompts.rel2d = { "left of", "right of", "above", "below" }
prompts.rel3d = { "in front of", "behind" }
prompts.point = { "pointing at", "pointing away from" }
prompts.look = { "facing", "with its back to" }
prompts.numbers = { "one", "two", "three", "four" }

local PLURAL = { circle = "circles", square = "squares", triangle = "triangles", cross = "crosses" }

local function set(list, value)
  local found = {}
  for i, word in ipairs(list) do found[word] = value or i end
  return found
end

local COLOUR, TEXTURE, CORE = set(shapes.colours), set(shapes.textures), set(shapes.core)
local NUMBER = set(prompts.numbers)
local NOUN = set { "circle", "square", "triangle", "cross", "arrow", "mirror" }
local SINGULAR = {}
for noun, plural in pairs(PLURAL) do SINGULAR[plural] = noun end

local KIND = { ["and"] = "and" }          -- relation -> its family
local relations = { "and" }
for _, kind in ipairs { "rel2d", "rel3d", "point", "look" } do
  for _, relation in ipairs(prompts[kind]) do
    KIND[relation], relations[#relations + 1] = kind, relation
  end
end
prompts.kind = KIND

--- All words of the language.
---
--- @return string[] # sorted
function prompts.words()
  local seen, list = {}, {}
  local function add(text)
    for word in text:gmatch "%a+" do
      if not seen[word] then seen[word], list[#list + 1] = true, word end
    end
  end
  for _, relation in ipairs(relations) do add(relation) end
  for noun, plural in pairs(PLURAL) do add(noun) add(plural) end
  for _, words in ipairs { shapes.colours, shapes.textures, prompts.numbers } do
    for _, word in ipairs(words) do add(word) end
  end
  add "a an arrow mirror"
  table.sort(list)
  return list
end

-- ---- Writing ----

local AN = { a = "an ", o = "an " }
local ARTICLE = {}
for _, words in ipairs { shapes.colours, shapes.textures, shapes.core, { "arrow", "mirror" } } do
  for _, word in ipairs(words) do ARTICLE[word] = AN[word:sub(1, 1)] or "a " end
end

--- Writes one phrase, with its article.
---
--- @param noun string
--- @param colour? string
--- @param texture? string
--- @return string
function prompts.phrase(noun, colour, texture)
  local text = noun
  if colour then text = colour .. " " .. text end
  if texture then text = texture .. " " .. text end
  return ARTICLE[texture or colour or noun] .. text
end

--- Writes a prompt from { relation, phrases } or { number, phrases }, legal or not.
---
--- @param structure table
--- @return string
function prompts.write(structure)
  local phrases = structure.phrases
  local a, b, c = phrases[1], phrases[2], phrases[3]
  if structure.number then
    local noun = structure.number == 1 and a.noun or PLURAL[a.noun] or a.noun
    local text = prompts.numbers[structure.number]
    if a.colour then text = text .. " " .. a.colour end
    return text .. " " .. noun
  end
  local text = prompts.phrase(a.noun, a.colour, a.texture) .. " " .. structure.relation .. " "
    .. prompts.phrase(b.noun, b.colour, b.texture)
  if c then text = text .. " and " .. prompts.phrase(c.noun, c.colour, c.texture) end
  return text
end

-- ---- Split ----

--- FNV-1a of 32 bits.
---
--- @param text string
--- @return integer # 0 to 2^32 - 1
function prompts.hash(text)
  local h = bit.tobit(0x811C9DC5)
  for i = 1, #text do
    h = bit.bxor(h, text:byte(i))
    h = bit.tobit(bit.lshift(h, 24) + h * 0x193)   -- times 0x01000193
  end
  return h % 4294967296
end

local TURNED = { ["right of"] = "left of", below = "above", behind = "in front of" }

-- The text shared by all prompts of one meaning.
local function key(prompt)
  if prompt.number then return prompt.text end
  local x, y, z = unpack(prompt.phrases)
  local relation = prompt.relation
  x = prompts.phrase(x.noun, x.colour, x.texture)
  y = prompts.phrase(y.noun, y.colour, y.texture)
  if z then
    z = prompts.phrase(z.noun, z.colour, z.texture)
    if z < y then y, z = z, y end
    return x .. " " .. relation .. " " .. y .. " and " .. z
  end
  if TURNED[relation] then
    x, y, relation = y, x, TURNED[relation]
  elseif relation == "and" and y < x then
    x, y = y, x
  end
  return x .. " " .. relation .. " " .. y
end

--- Whether a prompt may be used where `split` is wanted.
---
--- @param prompt blocks.Prompt
--- @param split? "train"|"heldout" nil for either
--- @return boolean
function prompts.within(prompt, split)
  return split == nil or prompt.split == split
end

-- ---- Reading ----

-- Reads a phrase from words[at] on.
local function read_phrase(words, at)
  local article, first = words[at], words[at + 1]
  local texture, colour
  at = at + 1
  if TEXTURE[words[at]] then texture, at = words[at], at + 1 end
  if COLOUR[words[at]] then colour, at = words[at], at + 1 end
  if not NOUN[words[at]] or ARTICLE[first] ~= article .. " " then return nil end
  return { noun = words[at], colour = colour, texture = texture }, at + 1
end

-- Reads a relation of one to four words from words[at] on.
local function read_relation(words, at)
  local text = words[at]
  for last = at, at + 3 do
    if last > at then text = text and words[last] and text .. " " .. words[last] end
    if text and KIND[text] then return text, last + 1 end
  end
end

-- Which category two or three phrases in a relation belong to; nil if they break a rule.
local function category_of(relation, a, b, c)
  local kind = KIND[relation]
  local form = (a.texture and "T" or "") .. (a.colour and "C" or "")
  local other = (b.texture and "T" or "") .. (b.colour and "C" or "")
  if form ~= other or a.noun == b.noun then return nil end

  if kind == "point" or kind == "look" then
    local target = kind == "look" and b.noun == "mirror" or kind == "point" and CORE[b.noun]
    return not c and a.noun == "arrow" and target and not a.texture and "nonspatial" or nil
  end
  if not CORE[a.noun] or not CORE[b.noun] then return nil end

  if c then
    return kind == "rel2d" and form == "C" and CORE[c.noun] and c.colour and not c.texture
      and c.noun ~= a.noun and c.noun ~= b.noun and a.colour ~= b.colour and a.colour ~= c.colour
      and b.colour ~= c.colour and "complex" or nil
  end
  local same_colour, same_texture = a.colour == b.colour, a.texture == b.texture
  if kind == "and" then
    if form == "T" then return not same_texture and "texture" or nil end
    if form == "C" then return same_colour and "shape" or "color" end
    return form == "" and "shape" or nil
  elseif kind == "rel2d" then
    if form == "TC" then return not same_texture and "complex" or nil end
    return form ~= "T" and "spatial" or nil
  end
  return (form == "" or form == "C" and not same_colour) and "spatial3d" or nil
end

local function read_number(words)
  local number = NUMBER[words[1]]
  local at, colour = 2, nil
  if COLOUR[words[at]] then colour, at = words[at], at + 1 end
  local noun = words[at]
  if number > 1 then noun = SINGULAR[noun] end
  if #words ~= at or not CORE[noun] then return nil end
  return { category = "numeracy", number = number, phrases = { { noun = noun, colour = colour } } }
end

local function read_relative(words)
  local a, b, c, relation, at
  a, at = read_phrase(words, 1)
  if not a then return nil end
  relation, at = read_relation(words, at)
  if not relation then return nil end
  b, at = read_phrase(words, at)
  if not b then return nil end
  if words[at] == "and" then
    c, at = read_phrase(words, at + 1)
    if not c then return nil end
  end
  local category = at == #words + 1 and category_of(relation, a, b, c)
  if not category then return nil end
  return { category = category, relation = relation, phrases = { a, b, c } }
end

local known = {}               -- text -> prompt, legal ones only

--- Reads a text.
---
--- @param text string
--- @return blocks.Prompt? # nil if the text is no prompt
function prompts.parse(text)
  local prompt = known[text]
  if prompt then return prompt end

  local words = {}
  for word in (text .. " "):gmatch "([^ ]*) " do words[#words + 1] = word end
  prompt = NUMBER[words[1]] and read_number(words) or read_relative(words)
  if not prompt then return nil end
  prompt.text = text
  prompt.key = key(prompt)
  prompt.split = prompts.hash(prompt.key) % 10 == 0 and "heldout" or "train"
  known[text] = prompt
  return prompt
end

-- ---- Drawing ----

-- Some element of `list` other than `a` and `b`.
local function other(rng, list, a, b)
  local value
  repeat value = rng:pick(list) until value ~= a and value ~= b
  return value
end

local function two_nouns(rng)
  local a = rng:pick(shapes.core)
  local b = other(rng, shapes.core, a)
  return { noun = a }, { noun = b }
end

local draw = {}

function draw.color(rng)
  local a, b = two_nouns(rng)
  a.colour = rng:pick(shapes.colours)
  b.colour = other(rng, shapes.colours, a.colour)
  return { relation = "and", phrases = { a, b } }
end

function draw.shape(rng)
  local a, b = two_nouns(rng)
  if rng:integer(2) == 1 then
    a.colour = rng:pick(shapes.colours)
    b.colour = a.colour
  end
  return { relation = "and", phrases = { a, b } }
end

function draw.texture(rng)
  local a, b = two_nouns(rng)
  a.texture = rng:pick(shapes.textures)
  b.texture = other(rng, shapes.textures, a.texture)
  return { relation = "and", phrases = { a, b } }
end

function draw.spatial(rng)
  local a, b = two_nouns(rng)
  if rng:integer(2) == 1 then
    a.colour, b.colour = rng:pick(shapes.colours), rng:pick(shapes.colours)
  end
  return { relation = rng:pick(prompts.rel2d), phrases = { a, b } }
end

function draw.spatial3d(rng)
  local a, b = two_nouns(rng)
  if rng:integer(2) == 1 then
    a.colour = rng:pick(shapes.colours)
    b.colour = other(rng, shapes.colours, a.colour)
  end
  return { relation = rng:pick(prompts.rel3d), phrases = { a, b } }
end

function draw.numeracy(rng)
  local phrase = { noun = rng:pick(shapes.core) }
  if rng:integer(2) == 1 then phrase.colour = rng:pick(shapes.colours) end
  return { number = rng:integer(4), phrases = { phrase } }
end

function draw.nonspatial(rng)
  local mirror = rng:integer(3) == 1
  local a = { noun = "arrow" }
  local b = { noun = mirror and "mirror" or rng:pick(shapes.core) }
  if rng:integer(2) == 1 then
    a.colour, b.colour = rng:pick(shapes.colours), rng:pick(shapes.colours)
  end
  return { relation = rng:pick(mirror and prompts.look or prompts.point), phrases = { a, b } }
end

function draw.complex(rng)
  local a, b = two_nouns(rng)
  local relation = rng:pick(prompts.rel2d)
  a.colour = rng:pick(shapes.colours)
  if rng:integer(4) == 1 then
    local c = { noun = other(rng, shapes.core, a.noun, b.noun) }
    b.colour = other(rng, shapes.colours, a.colour)
    c.colour = other(rng, shapes.colours, a.colour, b.colour)
    return { relation = relation, phrases = { a, b, c } }
  end
  b.colour = rng:pick(shapes.colours)
  a.texture = rng:pick(shapes.textures)
  b.texture = other(rng, shapes.textures, a.texture)
  return { relation = relation, phrases = { a, b } }
end

--- Draws a prompt.
---
--- @param rng blocks.Rng
--- @param category string
--- @param split? "train"|"heldout" nil for either
--- @return blocks.Prompt
function prompts.sample(rng, category, split)
  local make = draw[category] or error("sample: no category " .. tostring(category), 2)
  while true do
    local prompt = prompts.parse(prompts.write(make(rng)))
    if prompts.within(prompt, split) then return prompt end
  end
end

--- Every prompt there is.
---
--- @return table<string, blocks.Prompt[]> # by category
function prompts.all()
  local found = {}
  for _, category in ipairs(prompts.categories) do found[category] = {} end

  -- All phrases that name exactly these.
  local function phrases(nouns, coloured, textured)
    local list = {}
    for _, noun in ipairs(nouns) do
      for _, colour in ipairs(coloured and shapes.colours or { false }) do
        for _, texture in ipairs(textured and shapes.textures or { false }) do
          list[#list + 1] = { noun = noun, colour = colour or nil, texture = texture or nil }
        end
      end
    end
    return list
  end
  local function add(structure)
    local prompt = prompts.parse(prompts.write(structure))
    if prompt then table.insert(found[prompt.category], prompt) end
  end

  for number = 1, 4 do
    for _, coloured in ipairs { false, true } do
      for _, phrase in ipairs(phrases(shapes.core, coloured)) do
        add { number = number, phrases = { phrase } }
      end
    end
  end
  local nouns = { "circle", "square", "triangle", "cross", "arrow", "mirror" }
  for _, form in ipairs { { false, false }, { true, false }, { false, true }, { true, true } } do
    local list = phrases(nouns, form[1], form[2])
    for _, a in ipairs(list) do
      for _, b in ipairs(list) do
        for _, relation in ipairs(a.noun ~= b.noun and relations or {}) do
          add { relation = relation, phrases = { a, b } }
          local third = KIND[relation] == "rel2d" and a.colour and not a.texture
            and CORE[a.noun] and CORE[b.noun]
          for _, c in ipairs(third and list or {}) do
            if CORE[c.noun] then add { relation = relation, phrases = { a, b, c } } end
          end
        end
      end
    end
  end
  return found
end

return prompts
