--- Wrong prompts: one change to a prompt that makes it false of a scene, yet no easier to tell.
---
--- The result stays in the prompt's category, so that a judge trained on such pairs must look.

local prompts = require "blocks.prompts"
local scene = require "blocks.scene"
local shapes = require "blocks.shapes"

local perturb = {}

local TRIES = 60

local FLIPPED = {
  ["left of"] = "right of", ["right of"] = "left of", above = "below", below = "above",
  ["in front of"] = "behind", behind = "in front of",
  ["pointing at"] = "pointing away from", ["pointing away from"] = "pointing at",
  facing = "with its back to", ["with its back to"] = "facing",
}
local ACROSS, UPRIGHT = { "left of", "right of" }, { "above", "below" }

-- An element of `list` that no phrase has as `field`.
local function unused(rng, list, phrases, field)
  local value, taken
  repeat
    value, taken = rng:pick(list), false
    for i = 1, #phrases do taken = taken or phrases[i][field] == value end
  until not taken
  return value
end

-- The numbers of two different phrases.
local function two(rng, phrases)
  local i = rng:integer(#phrases)
  local j = rng:integer(#phrases - 1)
  return i, j >= i and j + 1 or j
end

local function swap(rng, phrases, field)
  local i, j = two(rng, phrases)
  phrases[i][field], phrases[j][field] = phrases[j][field], phrases[i][field]
end

-- Each changes a private copy { relation, number, phrases } in place.
local change = {}

function change.shape(rng, copy)
  local phrases, i = copy.phrases, rng:integer(#copy.phrases)
  if phrases[1].noun == "arrow" then i = 2 end   -- only a core noun can change
  phrases[i].noun = unused(rng, shapes.core, phrases, "noun")
end

function change.colour(rng, copy)
  local phrases = copy.phrases
  phrases[rng:integer(#phrases)].colour = unused(rng, shapes.colours, phrases, "colour")
end

function change.texture(rng, copy)
  local phrases = copy.phrases
  phrases[rng:integer(#phrases)].texture = unused(rng, shapes.textures, phrases, "texture")
end

function change.swapc(rng, copy) swap(rng, copy.phrases, "colour") end
function change.swapt(rng, copy) swap(rng, copy.phrases, "texture") end

function change.swapo(_, copy)
  local phrases = copy.phrases
  phrases[1], phrases[2] = phrases[2], phrases[1]
end

function change.both(rng, copy)
  local phrases = copy.phrases
  local colour = unused(rng, shapes.colours, phrases, "colour")
  phrases[1].colour, phrases[2].colour = colour, colour
end

function change.number(rng, copy)
  local number = rng:integer(3)
  copy.number = number >= copy.number and number + 1 or number
end

function change.flip(_, copy) copy.relation = FLIPPED[copy.relation] end

function change.turn(rng, copy)
  local across = copy.relation == "left of" or copy.relation == "right of"
  copy.relation = rng:pick(across and UPRIGHT or ACROSS)
end

-- The changes of each category, and which join them if colours are named.
local CHANGES = {
  color = { "shape", "colour", "swapc" },
  shape = { "shape", coloured = { "both" } },
  texture = { "shape", "texture", "swapt" },
  spatial = { "flip", "turn", "shape", "swapo", coloured = { "colour", "swapc" } },
  spatial3d = { "flip", "shape", "swapo", coloured = { "colour", "swapc" } },
  numeracy = { "number", "shape", coloured = { "colour" } },
  nonspatial = { "flip", "shape", coloured = { "colour", "swapc" } },
  mirror = { "flip", coloured = { "colour", "swapc" } },
  complex = { "flip", "turn", "shape", "colour", "swapc" },
  complex2 = { "flip", "turn", "shape", "colour", "swapc", "texture", "swapt", "swapo" },
}
local COLOURED = {}
for name, list in pairs(CHANGES) do
  local all = {}
  for _, word in ipairs(list) do all[#all + 1] = word end
  for _, word in ipairs(list.coloured or {}) do all[#all + 1] = word end
  COLOURED[name] = all
end

local function changes_of(prompt)
  local name, phrases = prompt.category, prompt.phrases
  if name == "nonspatial" and phrases[2].noun == "mirror" then name = "mirror" end
  if name == "complex" and #phrases == 2 then name = "complex2" end
  return (phrases[1].colour and COLOURED or CHANGES)[name]
end

--- Draws a wrong prompt.
---
--- @param rng blocks.Rng
--- @param prompt blocks.Prompt|string
--- @param objects blocks.Object[] the true scene
--- @param split? "train"|"heldout" nil for either
--- @return blocks.Prompt? # legal, of the same category, false of the scene; nil if none was found
function perturb.draw(rng, prompt, objects, split)
  if type(prompt) == "string" then
    prompt = prompts.parse(prompt) or error("perturb: not a prompt: " .. prompt, 2)
  end
  local list = changes_of(prompt)
  for _ = 1, TRIES do
    local copy = { relation = prompt.relation, number = prompt.number, phrases = {} }
    for i = 1, #prompt.phrases do
      local phrase = prompt.phrases[i]
      copy.phrases[i] = { noun = phrase.noun, colour = phrase.colour, texture = phrase.texture }
    end
    change[rng:pick(list)](rng, copy)

    local wrong = prompts.parse(prompts.write(copy))
    if wrong and wrong.category == prompt.category and prompts.within(wrong, split)
      and not scene.truth(wrong, objects) then
      return wrong
    end
  end
  return nil
end

return perturb
