--- The blocks world: a 32 x 32 picture world with eight prompt categories, in one table.
---
--- Pictures are made from scenes (`render`), scenes from prompts (`realise`), and an exact judge
--- reads them back (`judge`), so that everything learned here is measured against the truth.

local eye = require "blocks.eye"
local perturb = require "blocks.perturb"
local prompts = require "blocks.prompts"
local rng = require "blocks.rng"
local scene = require "blocks.scene"
local shapes = require "blocks.shapes"

local world = {
  SIZE = shapes.SIZE,
  background = shapes.background,
  categories = prompts.categories,
  rng = rng.new,
  parse = prompts.parse,
  words = prompts.words,
  all_prompts = prompts.all,
  sample = prompts.sample,
  realise = scene.realise,
  render = scene.render,
  truth = scene.truth,
  describe = scene.describe,
  perturb = perturb.draw,
  read = eye.read,
  judge = eye.judge,
}

--- Draws a prompt, a scene of which it is true, and the scene's caption. With a split wanted, both
--- texts are in it: a scene whose caption is not is drawn again.
---
--- @param rand blocks.Rng
--- @param category string
--- @param split? "train"|"heldout" nil for either
--- @return blocks.Prompt prompt, blocks.Object[] objects, blocks.Prompt caption
function world.example(rand, category, split)
  while true do
    local prompt = prompts.sample(rand, category, split)
    local objects = scene.realise(rand, prompt)
    local caption = prompts.parse(scene.describe(objects))
    if prompts.within(caption, split) then return prompt, objects, caption end
  end
end

return world
