--- recipes/dpo and recipes/prefer: end to end; the loss at first is what it must be.
local t = require "expect"
local recipe = require "recipe"
local tain = require "tain"

recipe.prompts(8, 8)
local common = "{m} --prompts {}/train.jsonl --images 4 --epochs 1 --batch 4 --json --out {}/"

-- The first step of each, with the model as it was: chosen and rejected are the reference's.
local function first(said)
  return tain.json.decode(said:match('{[^\n]*"loss"[^\n]*}'))
end
local row = first(recipe.run("dpo", common .. "sigmoid --nll 0 --heldout {}/heldout.jsonl --judge blocks"))
t.close(row.loss, math.log(2), 1e-4)
t.close(row["rewards/margins"], 0, 1e-4)
row = first(recipe.run("dpo", common .. "hinge --loss hinge --nll 0.5"))
t.close(row.loss, 1 + 0.5 * row.nll_loss, 1e-3)
t.close(row.nll_loss, -row["logps/chosen"], 1e-3)
row = first(recipe.run("dpo", common .. "kto --loss kto --nll 0"))
t.close(row.loss, 0.5, 1e-4)
local said = recipe.sh(("$tain recipes/dpo.lua --model %s --prompts %s/train.jsonl --out %s/x --loss sigmod")
  :format(recipe.model, recipe.folder, recipe.folder))
t.that(said:find("did you mean sigmoid", 1, true), said)

row = first(recipe.run("prefer", common .. "prefer"))
t.that(row.loss == row.loss)

local pairs_ = 0
for _, event in ipairs(tain.jsonl(recipe.folder .. "/sigmoid/events.jsonl")) do
  if event.kind == "pair" then
    pairs_ = pairs_ + 1
    t.that(event.p_chosen > 0.5 and event.p_rejected < 0.5)
    -- Images are kept of the first pairs only.
    if event.chosen then tain.image(recipe.folder .. "/sigmoid/" .. event.chosen) end
    t.that(event.chosen or pairs_ > 8)
  end
end
t.that(pairs_ > 0)
recipe.done()
