--- recipes/steps and recipes/lesson: every stage is shown, q leaves, right answers are right.
local t = require "expect"
local recipe = require "recipe"

local said = recipe.run("steps", "{m} --count 3 --images 4 --steps 3 --auto 0 --out {}/steps")
for i, title in ipairs { "The prompts", "Drawing", "Judging", "The gap", "Choosing", "The truth", "Training",
  "Drawing again", "The pool" } do
  t.that(said:find(("== %d. %s =="):format(i, title), 1, true), "no stage " .. title)
end
-- The log-ratio of a pair is higher after training on it than before.
local pairs_seen = 0
for before, after in said:gmatch "(%-?[%d.]+) before, +(%-?[%d.]+) after" do
  pairs_seen = pairs_seen + 1
  t.that(tonumber(after) > tonumber(before), before .. " became " .. after)
end
t.that(pairs_seen > 0, said)
t.that(recipe.read "steps/report.html":find("</html>", 1, true))

-- What the run showed is what the exercises ask for.
local accepted, of = said:match "It accepts (%d+) of (%d+)"
local gap = ("%.1f"):format(100 * (of - accepted) / of)
local first = said:match "== 3.-\n(    1  p.-)\n\""
local best, best_p, sure = 0, -1, 0
for index, p, verdict in first:gmatch " (%d+)  p%(yes%) ([%d.]+)[ #]+(%a+)" do
  p = tonumber(p)
  if p > best_p then best, best_p = index, p end
  if verdict == "yes" and p >= 0.9 then sure = sure + 1 end
end
local right = ("%s,%s,%d"):format(gap, best, sure)
local function lesson(answers)
  return recipe.sh(("$tain recipes/lesson.lua --run %s/steps --answers '%s'"):format(recipe.folder, answers))
end
local text, code = lesson(right .. ",,,0.693,0.554,0.1,,")
local correct = select(2, text:gsub("   Right%.", ""))
t.equal({ correct, code }, { 6, 1 })
local all = {}
for answer in lesson(",,,,,,,,,"):gmatch "The answer is ([^:]+):" do all[#all + 1] = answer end
t.equal(#all, 10)
text, code = lesson(table.concat(all, ","))
t.that(text:find("10 of 10 right at the first try", 1, true), text)
t.equal(code, 0)
t.that(recipe.sh(("printf 'nonsense\\n%s\\n' | $tain recipes/lesson.lua --run %s/steps"):format(gap, recipe.folder))
  :find("Not yet. A hint: rejected pictures for each hundred pictures.\n   >    Right.", 1, true))

-- explain tells the same of a pair as the recipe did.
local was, is = said:match "\n +1 +(%-?[%d.]+) before, +(%-?[%d.]+) after"
text = recipe.sh("$tain explain " .. recipe.folder .. "/steps 1")
t.that(text:find(": a log-ratio of " .. was, 1, true), text)
t.that(text:find(", a log-ratio of " .. is, 1, true), text)
local part, gradient, moved = text:match "(drawing head) +gradient +([%d.e+-]+) +#* +moved ([%d.]+) %%"
t.that(part and tonumber(gradient) > 0 and tonumber(moved) > 0, text)

-- audit: a person's verdicts, counted.
text = recipe.sh(("printf ynynynyn | $tain audit %s/steps --count 8"):format(recipe.folder))
t.that(text:find "You and the model agree on [%d.]+ %% %(%d/8", text)
t.equal(select(2, recipe.read("steps/audit.jsonl"):gsub("\n", "")), 8)
text = recipe.sh(("printf 'ysq' | $tain audit %s/steps --json --count 4"):format(recipe.folder))
t.equal(require("tain").json.decode(text).judged, 1)
text, code = recipe.sh("$tain audit --count 0")
t.equal({ text, code }, { "tain: audit: --count takes a whole number from 1, not 0\n", 2 })

-- q leaves, and the run is whole.
said, code = recipe.sh(("printf '\\nq\\n' | $tain recipes/steps.lua --model %s --count 1 --images 2 --out %s/left")
  :format(recipe.model, recipe.folder))
t.equal(code, 0)
t.that(said:find("== 2. Drawing", 1, true) and not said:find("== 3.", 1, true), said)
recipe.done()
