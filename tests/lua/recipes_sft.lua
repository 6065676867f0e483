--- recipes/sft: end to end, and killed with -9 again and again, to the same bytes.
local t = require "expect"
local recipe = require "recipe"
local tain = require "tain"

recipe.prompts(8, 8)
local arguments = "{m} --prompts {}/train.jsonl --heldout {}/heldout.jsonl --judge blocks --images 3 "
  .. "--epochs 2 --batch 4 --every 2 --lr 1e-3 --out {}/%s"
local said = recipe.run("sft", arguments:format "whole")
t.that(said:find("epoch 2", 1, true) and said:find("drawn right", 1, true), said)
local kinds = {}
for _, event in ipairs(tain.jsonl(recipe.folder .. "/whole/events.jsonl")) do
  kinds[event.kind] = (kinds[event.kind] or 0) + 1
end
t.equal({ kinds.candidate, kinds.probe, kinds.pool }, { 24, 24, 1 })
t.that(kinds.step >= 4 and kinds.evaluate == 27 and kinds.checkpoint >= 2)
tain.load(recipe.folder .. "/whole/model")

-- Killed at places that the clock chooses.
local killing = arguments:gsub("{m}", "--model " .. recipe.model):gsub("{}", recipe.folder)
local first, kills = "", 0
for i, seconds in ipairs { 0.5, 2, 3, 1.2, 2.5, 4 } do
  local _, code = recipe.sh(("timeout -s KILL %s $tain recipes/sft.lua %s %s"):format(seconds,
    killing:format "killed", first))
  kills = kills + (code == 137 and 1 or 0)
  if code == 0 then break end
  if recipe.sh(("test -d %s/killed && echo yes"):format(recipe.folder)):find "yes" then
    first = "--resume"
  end
end
t.that(kills > 0, "it was never killed")
recipe.sh(("$tain recipes/sft.lua %s %s"):format(killing:format "killed", first))
t.equal(recipe.sums "killed", recipe.sums "whole")

-- Going on with what is finished changes nothing; other options are refused.
recipe.run("sft", arguments:format "killed" .. " --resume")
t.equal(recipe.sums "killed", recipe.sums "whole")
said = recipe.sh(("$tain recipes/sft.lua %s --resume --seed 2"):format(killing:format "killed"))
t.that(said:find("was begun with --seed 1", 1, true), said)
recipe.done()
