--- Makes the weights in this folder: random, but taught to answer yes or no about pictures, evenly,
--- so that its verdicts on what it draws are of both kinds.
---
---     tain tests/golden/tiny_model/make.lua

local tain = require "tain"

local folder = "tests/golden/tiny_model"
local model = tain.create(folder, { seed = 7 })
local colours, prompts = { "red", "green", "blue", "purple" }, {}
for i = 1, 32 do
  prompts[i] = ("a %s circle and a %s square"):format(colours[i % 4 + 1], colours[(i * 7 + 1) % 4 + 1])
end
local images = model:generate(prompts, { seed = 7 })
local questions, answers, r = {}, {}, tain.random(7)
for i, prompt in ipairs(prompts) do
  questions[i], answers[i] = model:ask_about(prompt), r:integer(2) == 1 and "yes" or "no"
end

local optimizer = tain.adamw(model:parameters { "^language_model", "^vision_model", "^aligner" },
  { lr = 1e-2 })
for step = 1, 60 do
  local loss = optimizer:step(function() return -model:answer(images, questions, answers):mean() end)
  if step % 10 == 0 then tain.log { step = step, loss = loss } end
end

local counts = { accepted = 0, rejected = 0, unclear = 0 }
for _, score in ipairs(model:score(model:generate(prompts, { seed = 8 }), prompts)) do
  counts[score.verdict] = counts[score.verdict] + 1
end
tain.log(counts)
model:save(folder, { type = "f16" })
