--- The pixel judge's own error rates, on scenes that it did not make.

local eye = require "blocks.eye"
local perturb = require "blocks.perturb"
local prompts = require "blocks.prompts"
local rng = require "blocks.rng"
local scene = require "blocks.scene"

local WRONG = 3                -- wrong prompts for every true one

--- Measures on random scenes, both splits: one true prompt and three wrong ones each.
---
--- @param options { scenes: integer, noise?: number, seed?: integer } scenes per category
--- @return table<string, { tp: number, unclear: number, fp: number }> # shares, by category
return function(options)
  local rates = {}
  for i, category in ipairs(prompts.categories) do
    local rand = rng.new(options.seed or 1, i)
    local right, unclear, wrong, asked = 0, 0, 0, 0
    local image
    for _ = 1, options.scenes do
      local prompt = prompts.sample(rand, category)
      local objects = scene.realise(rand, prompt)
      image = scene.render(objects, { noise = options.noise, rng = rand, into = image })
      local found = eye.read(image)
      if not found then unclear = unclear + 1 end
      if found and scene.truth(prompt, found) then right = right + 1 end
      for _ = 1, WRONG do
        local false_prompt = perturb.draw(rand, prompt, objects)
        if false_prompt then
          asked = asked + 1
          if found and scene.truth(false_prompt, found) then wrong = wrong + 1 end
        end
      end
    end
    local n = options.scenes
    rates[category] = { tp = right / n, unclear = unclear / n, fp = wrong / math.max(asked, 1) }
  end
  return rates
end
