--- How well a model draws and judges in the blocks world, by the exact judge.

local tain = require "tain"
local world = require "blocks.world"

local exam = {}

--- Held-out prompts, all categories alike, each with a scene and a wrong prompt.
function exam.questions(count, seed)
  local rng, list = world.rng(seed, 3000000), {}
  while #list < count do
    local category = world.categories[#list % #world.categories + 1]
    local prompt, objects = world.example(rng, category, "heldout")
    local wrong = world.perturb(rng, prompt, objects)
    if wrong then list[#list + 1] = { prompt = prompt, objects = objects, wrong = wrong, category = category } end
  end
  return list
end

--- Judges clean pictures: asked of each with a true and with a wrong prompt.
---
--- @return integer right, integer of
function exam.judging(model, list)
  local images, prompts, truth = {}, {}, {}
  for _, item in ipairs(list) do
    local image = tain.image(world.render(item.objects), world.SIZE, world.SIZE)
    for _, prompt in ipairs { item.prompt, item.wrong } do
      images[#images + 1], prompts[#prompts + 1], truth[#truth + 1] = image, prompt.text, prompt == item.prompt
    end
  end
  local right = 0
  for i, score in ipairs(model:score(images, prompts)) do
    if (score.verdict == "accepted") == truth[i] and score.verdict ~= "unclear" then right = right + 1 end
  end
  return right, #truth
end

--- Draws held-out prompts.
---
--- @return integer right by the exact judge, integer accepted by the model itself, integer agreed, integer of
function exam.drawing(model, list, options)
  local prompts = {}
  for i, item in ipairs(list) do prompts[i] = item.prompt.text end
  local images = model:generate(prompts, options)
  local right, accepted, agreed = 0, 0, 0
  for i, score in ipairs(model:score(images, prompts)) do
    local truth = world.judge(images[i]:pixels(), world.SIZE, world.SIZE, list[i].prompt) == true
    if truth then right = right + 1 end
    if score.verdict == "accepted" then accepted = accepted + 1 end
    if (score.verdict == "accepted") == truth then agreed = agreed + 1 end
  end
  return right, accepted, agreed, #list
end

--- A short exam for curves: drawing without guidance.
function exam.quick(model, seed, count)
  local list = exam.questions(count or 96, seed)
  local judged, of = exam.judging(model, list)
  local right, accepted, agreed, drawn = exam.drawing(model, list, { seed = seed, guidance = 1 })
  return { judging = judged / of, drawing = right / drawn, rejected = 1 - accepted / drawn, agreed = agreed / drawn }
end

return exam
