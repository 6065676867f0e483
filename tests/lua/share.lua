--- Candidates of one prompt share its run, and are those that are drawn alone; prompts of other lengths among them,
--- and keys and values in 16 bits as well.
local t = require "expect"
local tain = require "tain"

local texts = { "a red circle", "a blue square left of a green triangle", "a red circle", "a yellow cross",
  "a blue square left of a green triangle", "a red circle" }
for _, case in ipairs { { 1, "f32" }, { 3, "f32" }, { 3, "bf16" } } do
  local guidance, cache = case[1], case[2]
  local model = tain.load("recipes/blocks/model", { cache = cache })
  local streams = { 5, 6, 7, 8, 9, 5 }
  local together = model:generate(texts, { seed = 2, streams = streams, guidance = guidance })
  local function codes(image) return table.concat(image:codes(), " ") end
  for i, text in ipairs(texts) do
    local alone = model:generate({ text }, { seed = 2, streams = { streams[i] }, guidance = guidance })
    t.equal(codes(together[i]), codes(alone[1]))
  end
  -- The same prompt with the same numbers is the same image; with others it is another.
  t.equal(codes(together[1]), codes(together[6]))
  t.that(codes(together[1]) ~= codes(together[3]))
  model:free()
end
