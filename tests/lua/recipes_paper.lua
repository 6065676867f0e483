--- recipes/paper and recipes/demo: end to end; the rows say what the pictures say; going on changes nothing.
local t = require "expect"
local recipe = require "recipe"
local tain = require "tain"

local said = recipe.run("paper", "{m} --out {}/paper --quick")
for _, title in ipairs { "Gen:", "Und:", "Non:", "Replay", "Learning dynamics", "correlation_of" } do
  t.that(said:find(title, 1, true), "no " .. title .. " in\n" .. said)
end
t.equal({ recipe.sh "$tain recipes/paper.lua --quick --resume" },
  { "recipes/paper.lua:34: --resume needs --out, the folder to go on with\n", 1 })
local text = recipe.read "paper/paper.json"
local paper = tain.json.decode(text)
local methods = { "pretrained", "sft", "csft", "dpo", "cdpo" }
t.equal({ #paper.overall, #paper.rows }, { 5, 40 })
for i, method in ipairs(methods) do
  local row = paper.overall[i]
  t.equal({ row.method, row.seed, row.category, row.n }, { method, 1, "overall", 8 })
  local gen, right = 0, 0
  for _, each in ipairs(paper.rows) do
    if each.method == method then gen, right = gen + each.gen_k, right + each.und_k end
  end
  t.equal({ gen, right }, { row.gen_k, row.und_k })
  t.close(row.und, row.und_k / row.n, 1e-9)
  t.that(row.win >= 0 and row.win <= 1 and row.clean_n == 16)
end
t.equal(paper.overall[1].win_n, 0)                        -- nothing differs from itself
t.that(paper.recovery[1].neither.recovered_n == paper.recovery[1].discarded)
local dynamics = paper.dynamics[1]
t.equal(dynamics.corrected.n + dynamics.others.n, 8)
for _, name in ipairs { "same", "other", "across" } do
  for _, value in ipairs(dynamics.others.kernel[name].values) do t.that(math.abs(value) <= 1.0001) end
end
recipe.run("paper", "{m} --out {}/paper --quick --resume")
t.equal(recipe.read "paper/paper.json", text)

said = recipe.run("demo", "{m} --out {}/demo --count 8 --heldout 8 --images 2 --epochs 3")
t.that(said:find("demo/report.html", 1, true), said)
t.that(recipe.read("demo/report.html"):find("</html>", 1, true))
recipe.done()
