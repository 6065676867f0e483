--- recipes/curriculum: the pool is tried again, by both policies and with both methods.
local t = require "expect"
local recipe = require "recipe"
local tain = require "tain"

recipe.prompts(16, 8)
local common = "{m} --prompts {}/train.jsonl --images 1 --epochs 2 --batch 8 --out {}/"
local function events(name, kind)
  local list = {}
  for _, event in ipairs(tain.jsonl(recipe.folder .. "/" .. name .. "/events.jsonl")) do
    if event.kind == kind then list[#list + 1] = event end
  end
  return list
end

recipe.run("curriculum", common .. "sft --replay 1,2")
local pools = events("sft", "pool")
t.equal({ #pools, pools[1].tried }, { 3, 16 })
t.that(pools[1].waiting > 0, "nothing waits: the test says nothing")
for i = 2, 3 do
  t.equal(pools[i].tried, pools[i - 1].waiting)
  t.equal(pools[i].recovered + pools[i].waiting, pools[i].tried)
  t.equal(pools[i].round, i - 1)
end
t.equal(recipe.sums "sft", (function()
  recipe.run("curriculum", common .. "sft --replay 1,2 --resume")
  return recipe.sums "sft"
end)())

recipe.run("curriculum", common .. "when --when 0")       -- from the second epoch on, always
t.equal(#events("when", "pool"), 2)
recipe.run("curriculum", common .. "never --when 1")
t.equal(#events("never", "pool"), 1)

recipe.run("curriculum", "{m} --prompts {}/train.jsonl --images 2 --epochs 2 --replay 2 --method dpo --out {}/dpo")
pools = events("dpo", "pool")
t.equal(#pools, 2)
recipe.done()
