--- recipes/sft: end to end, and killed with -9 again and again, to the same bytes. TAIN_KILLS=50 for
--- more kills than the few of every day; TAIN_SEED for other moments.
local t = require "expect"
local recipe = require "recipe"
local tain = require "tain"

recipe.prompts(8, 8)
local arguments = "{m} --prompts {}/train.jsonl --heldout {}/heldout.jsonl --judge blocks --images 3 "
  .. "--epochs 2 --batch 4 --every 2 --lr 1e-3 --out {}/%s"
local whole = os.time()
local said = recipe.run("sft", arguments:format "whole")
whole = os.time() - whole + 1
t.that(said:find("epoch 2", 1, true) and said:find("drawn right", 1, true), said)
local kinds = {}
for _, event in ipairs(tain.jsonl(recipe.folder .. "/whole/events.jsonl")) do
  kinds[event.kind] = (kinds[event.kind] or 0) + 1
end
t.equal({ kinds.candidate, kinds.probe, kinds.pool }, { 24, 24, 1 })
t.that(kinds.step >= 4 and kinds.evaluate == 27 and kinds.checkpoint >= 2)
tain.load(recipe.folder .. "/whole/model")

-- Killed at random moments, as long as it was never killed often enough; then it may end.
local killing = arguments:gsub("{m}", "--model " .. recipe.model):gsub("{}", recipe.folder)
local random = tain.random(tonumber(os.getenv "TAIN_SEED") or 1)
local first, kills, wanted = "", 0, tonumber(os.getenv "TAIN_KILLS") or 5
for _ = 1, 3 * wanted do
  if kills == wanted then break end
  local _, code = recipe.sh(("timeout -s KILL %.2f $tain recipes/sft.lua %s %s"):format(
    (0.03 + 0.5 * random:uniform()) * whole, killing:format "killed", first))
  t.that(code == 137 or code == 0, "it ended with " .. code)
  kills = kills + (code == 137 and 1 or 0)
  if code == 0 then recipe.sh(("rm -rf %s/killed"):format(recipe.folder)) end   -- the end: from the start
  first = recipe.sh(("test -d %s/killed && echo yes"):format(recipe.folder)):find "yes" and "--resume" or ""
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
