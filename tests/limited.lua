--- Draws, judges, trains weights and then an adapter, and prints every number: for the test that does so
--- on devices with less and less.

local tain = require "tain"

local opt = tain.options {
  model = { "path" },
  images = { "integer", default = 2, help = "of a step of training" },
}

local model = tain.load(opt.model)
local prompts = { "a red circle", "a blue square left of a green triangle" }
local function say(...) print((("%.9g "):rep(select("#", ...))):format(...)) end

local images = model:generate(prompts, { seed = 3, guidance = 3 })
for i, score in ipairs(model:score(images, prompts)) do
  say(i, score.p_yes, score.mass)
  local codes = images[i]:codes()
  say(unpack(codes, 1, 64))
end

local some, pictures = {}, {}
for i = 1, opt.images do some[i], pictures[i] = prompts[i % 2 + 1], images[i % 2 + 1] end
local function train(params)
  local optimizer = tain.adamw(params, { lr = 1e-3 })
  for _ = 1, 2 do
    say((optimizer:step(function() return -model:logprob(some, pictures, { per = "token" }):mean() end)))
  end
  optimizer:free()
end
train(model:parameters(tain.LANGUAGE))
train(model:adapt { rank = 4 })
