--- Understanding by category: verdicts on clean pictures of held-out prompts, each asked about with
--- a true prompt and with a wrong one.

local tain = require "tain"
local exam = require "blocks.exam"
local measure = require "tain.measure"
local world = require "blocks.world"

local clean = {}

--- Sets the questions; the same for equal seeds.
---
--- @param pictures integer
--- @param seed integer
--- @return table[] # { image =, prompt =, category =, truth = }, two for each picture
function clean.questions(pictures, seed)
  local list = {}
  for _, item in ipairs(exam.questions(pictures, seed)) do
    local image = tain.image(world.render(item.objects), world.SIZE, world.SIZE)
    for _, truth in ipairs { true, false } do
      list[#list + 1] = { image = image, prompt = (truth and item.prompt or item.wrong).text,
        category = item.category, truth = truth }
    end
  end
  return list
end

--- Asks a model.
---
--- @param model Model
--- @param questions table[]
--- @return table<string, table> # share of right verdicts by category, and `overall`
function clean.ask(model, questions)
  local scores = model:score(tain.column(questions, "image"), tain.column(questions, "prompt"))
  local said, truth = { overall = {} }, { overall = {} }
  for i, question in ipairs(questions) do
    for _, name in ipairs { "overall", question.category } do
      said[name], truth[name] = said[name] or {}, truth[name] or {}
      table.insert(said[name], scores[i].verdict)
      table.insert(truth[name], question.truth)
    end
  end
  for name in pairs(said) do said[name] = measure.agreement(said[name], truth[name]) end
  return said
end

return clean
