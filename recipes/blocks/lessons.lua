--- The lessons of pre-training: pictures to draw, questions to answer.
---
--- The gap between drawing and judging has a natural reason here, as on the web: captions of the
--- drawing data are wrong some of the time (one thing in them is changed), and some are missing; what
--- judging is taught from is right. Everything comes from the training split.

local tain = require "tain"
local world = require "blocks.world"

local lessons = {}

local function picture(objects) return tain.image(world.render(objects), world.SIZE, world.SIZE) end

--- Pictures with captions to draw by.
---
--- @param options table wrong, empty: the share of captions that are
--- @return string[] prompts, Image[] images, boolean[] dropped
function lessons.drawing(rng, count, options)
  local prompts, images, dropped = {}, {}, {}
  for i = 1, count do
    local category = rng:pick(world.categories)
    local prompt, objects, caption = world.example(rng, category, "train")
    -- A picture has two right texts: the prompt that it was made for, and its canonical caption.
    local text = rng:uniform() < 0.5 and caption or prompt
    if rng:uniform() < options.wrong then text = world.perturb(rng, text, objects, "train") or text end
    prompts[i], images[i] = text.text, picture(objects)
    dropped[i] = rng:uniform() < options.empty
  end
  return prompts, images, dropped
end

--- Pictures with questions: is it what a true text says (two of them), is it what a wrong one says,
--- and what is it. One wrong text has a single thing changed, which is all that judging is about;
--- the other is of another picture, which is easier, and without which judging begins to be learned late.
---
--- @return Image[] images, table asked { question, answer, image_of, kind = "judge"|"caption" }
function lessons.judging(model, rng, count)
  local images, asked = {}, { question = {}, answer = {}, image_of = {}, judge = {}, caption = {} }
  local function ask(i, question, answer, kind)
    local n = #asked.question + 1
    asked.question[n], asked.answer[n], asked.image_of[n] = question, answer, i
    table.insert(asked[kind], n - 1)
  end
  local before
  for i = 1, count do
    local category = rng:pick(world.categories)
    local prompt, objects, caption = world.example(rng, category, "train")
    images[i] = picture(objects)
    local wrong = world.perturb(rng, rng:uniform() < 0.5 and caption or prompt, objects, "train")
    ask(i, model:ask_about(prompt.text), "yes", "judge")
    if caption.text ~= prompt.text then ask(i, model:ask_about(caption.text), "yes", "judge") end
    if wrong then ask(i, model:ask_about(wrong.text), "no", "judge") end
    if before and world.truth(before, objects) == false then ask(i, model:ask_about(before.text), "no", "judge") end
    ask(i, "describe this image", caption.text, "caption")
    before = prompt
  end
  return images, asked
end

return lessons
