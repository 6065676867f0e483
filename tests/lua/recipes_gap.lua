--- recipes/gap, blocks/write_prompts, blocks/draw: end to end.
local t = require "expect"
local recipe = require "recipe"
local tain = require "tain"

recipe.prompts(16, 16)
local items = tain.jsonl(recipe.folder .. "/heldout.jsonl", { "id", "prompt", "category" })
t.equal(#items, 16)
local world = require "blocks.world"
local seen = {}
for _, item in ipairs(items) do
  local prompt = world.parse(item.prompt)
  t.equal({ prompt.split, prompt.category }, { "heldout", item.category })
  t.that(not seen[item.prompt], "a prompt twice")
  seen[item.prompt] = true
end

local said = recipe.run("gap", "{m} --prompts {}/heldout.jsonl --judge blocks")
t.that(said:find("rejected by itself", 1, true) and said:find("overall +16 "), said)
said = recipe.run("gap", "{m} --prompts {}/heldout.jsonl --json")
local row = tain.json.decode(said:match('({[^\n]*"category":"overall"[^\n]*})'))
t.equal({ row.n, row.non_n + row.unclear, row.gen }, { 16, 16 })

recipe.run("blocks/draw", "{m} --prompts {}/heldout.jsonl --out {}/drawn --seed 1")
local index = tain.jsonl(recipe.folder .. "/drawn/index.jsonl")
t.equal(#index, 16)
local rejected = 0
for i, line in ipairs(index) do
  t.equal({ line.prompt, line.image }, { items[i].prompt, ("%05d.png"):format(i) })
  t.that(line.p_yes >= 0 and line.p_yes <= 1)
  rejected = rejected + (line.own == "rejected" and 1 or 0)
  local image = tain.image(recipe.folder .. "/drawn/" .. line.image)
  t.equal({ image:size() }, { 32, 32 })
  t.equal(line.exact, world.judge(image:pixels(), 32, 32, line.prompt))
end
t.equal(rejected, row.non_k)   -- the same images as of gap.lua, for the seeds are
recipe.done()
