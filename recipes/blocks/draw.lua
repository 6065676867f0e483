--- Draws one image for every prompt, and writes down what is thought of each.
---
---     tain recipes/blocks/draw.lua --model recipes/blocks/model --prompts heldout.jsonl --out DIR
---
--- DIR/00001.png, … and DIR/index.jsonl, in the order of the prompts:
---     {"prompt": …, "image": "00001.png", "own": "accepted", "p_yes": 0.97, "exact": true}
--- own is the model's verdict (accepted, rejected or unclear), p_yes how probable yes is to it, and
--- exact what the exact judge says: true, false, or null where the picture is unclear.

local tain = require "tain"
local files = require "tain.files"

local opt = tain.options(tain.shared("model prompts guidance seed", {
  out = { "path", new = true, help = "the folder to make" },
}))

local model = tain.load(opt.model)
local looks = tain.evaluate(model, tain.jsonl(opt.prompts, { "prompt" }), {
  seed = opt.seed, guidance = opt.guidance, outside = require "blocks.outside", label = "drawing",
})

files.make_folder(opt.out)
local lines = {}
for i, look in ipairs(looks) do
  local name = ("%05d.png"):format(i)
  look.image:save(opt.out .. "/" .. name)
  local exact = look.exact
  if exact == nil then exact = tain.json.null end
  lines[i] = tain.json.encode {
    prompt = look.prompt, image = name, own = look.verdict, p_yes = look.p_yes, exact = exact,
  } .. "\n"
end
files.write(opt.out .. "/index.jsonl", table.concat(lines))

local overall = tain.summary(looks)
tain.log { "images", images = #looks, drawn_right = tain.measure.show(overall.gen),
  rejected_by_itself = tain.measure.show(overall.non) }
