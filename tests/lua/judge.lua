--- tain.judge, tain.approved, tain.preferences: on a model that is a table of answers.
local t = require "expect"
local tain = require "tain"
local judge = require "tain.judge"

-- A model whose images are their streams, and whose opinion of one is what `opinions` says.
local drawn, asked = 0, 0
local opinions = {}
local fake = {}
function fake:generate(prompts, options)
  local images = {}
  for i, prompt in ipairs(prompts) do
    drawn = drawn + 1
    images[i] = { prompt = prompt, number = options.streams[i] % 4096, stream = options.streams[i],
      seed = options.seed }
  end
  return images
end
function fake:score(images, prompts)
  local scores = {}
  for i, image in ipairs(images) do
    asked = asked + 1
    t.equal(image.prompt, prompts[i])
    local p = opinions[image.prompt][image.number]
    scores[i] = { p_yes = math.abs(p), mass = 1,
      verdict = p < 0 and "unclear" or p > 0.5 and "accepted" or "rejected" }
  end
  return scores
end

opinions = {
  mixed = { 0.6, 0.1, 0.9, 0.3 }, always = { 0.8, 0.7, 0.9, 0.99 }, never = { 0.2, 0.1, 0.4, 0.3 },
  odd = { -0.5, -0.4, 0.55, -0.2 },
}
local items = {}
for i, name in ipairs { "mixed", "always", "never", "odd" } do
  items[i] = { prompt = name, id = "p" .. i, category = "c" .. i }
end
local judged = tain.judge(fake, items, { images = 4, seed = 3, batch = 5 })
t.equal({ drawn, asked, #judged }, { 16, 16, 4 })

local function p_of(list)
  local numbers = {}
  for i, candidate in ipairs(list) do numbers[i] = candidate.p_yes end
  return numbers
end
t.equal(p_of(judged[1].accepted), { 0.9, 0.6 })
t.equal(p_of(judged[1].rejected), { 0.1, 0.3 })
t.equal(p_of(judged[4].unclear), { 0.5, 0.4, 0.2 })
local one = judged[1].accepted[1]
t.equal({ one.prompt, one.id, one.category, one.index, one.seed, one.round },
  { "mixed", "p1", "c1", 3, 3, 0 })
t.equal(one.image.stream, judge.stream(items[1], 0, 3))

-- One prompt, as text or as an item.
t.equal(p_of(tain.judge(fake, "mixed", { images = 2 }).all), { 0.6, 0.1 })
t.equal(tain.judge(fake, items[1]).item, items[1])

-- Streams: other for another prompt, round, number; equal for equal; within what a number holds.
local seen = {}
for _, name in ipairs { "a", "b", { prompt = "a", id = "x" } } do
  for round = 0, 2 do
    for index = 1, 3 do
      local stream = judge.stream(name, round, index)
      t.that(not seen[stream] and stream % 1 == 0 and stream < 2 ^ 53)
      seen[stream] = true
    end
  end
end
t.equal(judge.stream("a", 1, 2), judge.stream({ prompt = "a" }, 1, 2))
t.equal(math.floor(judge.stream("a square and a circle", 0, 1) / 2 ^ 20),
  require("blocks.prompts").hash "a square and a circle")

-- Rules.
local function names(list)
  local text = {}
  for i, item in ipairs(list) do text[i] = item.prompt .. (item.index or "") end
  return table.concat(text, " ")
end
local data, pool = tain.approved(judged)
t.equal(names(data), "mixed3 mixed1 always4 always3 always1 always2 odd3")
t.equal(names(pool), "never")
data, pool = tain.approved(judged, { select = "mixed" })
t.equal(names(data), "mixed3 mixed1")
t.equal(names(pool), "never")
t.equal(names(tain.approved(judged, { top = 1 })), "mixed3 always4 odd3")
data, pool = tain.approved(judged, { above = 0.7 })
t.equal(names(data), "mixed3 always4 always3 always1 always2")
t.equal(names(pool), "never odd")
t.equal(names(tain.approved(judged, { select = "mixed", below = 0.05 })), "")

local pairs_
pairs_, pool = tain.preferences(judged)
t.equal(#pairs_, 1)
t.equal({ pairs_[1].prompt, pairs_[1].p_chosen, pairs_[1].p_rejected, pairs_[1].surer,
  pairs_[1].chosen.number, pairs_[1].rejected.number }, { "mixed", 0.9, 0.1, 0.9 - 0.1, 3, 2 })
t.equal(names(pool), "never")
t.equal(#tain.preferences(judged, { pairs = 9 }), 2)
t.equal(#tain.preferences(judged, { pairs = 9, above = 0.7 }), 1)
t.equal(#tain.preferences(judged, { pairs = 9, below = 0.2 }), 1)

t.fails(tain.judge, "prompts[1] must be a prompt, not 3", fake, { 3 })
t.fails(tain.judge, "unknown option image; did you mean images?", fake, "mixed", { image = 2 })
t.fails(tain.approved, "unknown rule tpo; did you mean top?", judged, { tpo = 1 })
