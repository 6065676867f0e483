--- Measures the internal gap: the share of a model's own images that its own understanding rejects
--- (non-unification). One image a prompt, as in the paper; lower is better, but not by itself good:
--- a judge that says yes to everything has no gap.
---
---     tain recipes/gap.lua --model recipes/blocks/model --prompts heldout.jsonl --judge blocks
---
--- With an outside judge also who is to blame: an image that both reject is weak generation, one
--- that only the model rejects is misunderstanding ("weak generation" is the share of the former).

local tain = require("tain").api "1"

local opt = tain.options(tain.shared("model prompts judge guidance seed", {
  images = { "integer", default = 1, min = 1, help = "images a prompt" },
}))

local model = tain.load(opt.model)
local outside = opt.judge and require(opt.judge .. ".outside")

local looks = tain.evaluate(model, tain.jsonl(opt.prompts, { "prompt" }), {
  images = opt.images, seed = opt.seed, guidance = opt.guidance, outside = outside,
  label = "drawing",
})

local overall, rows = tain.summary(looks)
overall.category = "overall"
rows[#rows + 1] = overall

local columns = { { "category" }, { "n", "images" }, { "unclear" }, { "non", "rejected by itself" } }
if outside then
  for _, column in ipairs { { "gen", "drawn right" }, { "agree", "own verdict right" },
    { "weak", "weak generation" } } do
    columns[#columns + 1] = column
  end
end
tain.sheet.show(columns, rows)
