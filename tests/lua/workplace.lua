--- tain doctor and tain init: what a newcomer types first.
local t = require "expect"
local recipe = require "recipe"
local tain = require "tain"

-- One block: a name at the left, what there is to say at the right.
local said, code = recipe.sh "$tain doctor --quick"
t.equal(code, 0)
for _, name in ipairs { "tain", "system", "processor", "disk", "device 0", "chosen", "watchdog", "environment" } do
  t.that(("\n" .. said):find("\n" .. name .. " +%S"), name .. ":\n" .. said)
end
t.that(not said:find "unknown" or said:find "model name", said)
said, code = recipe.sh "$tain doctor --deep"
t.equal(code, 2)
said, code = recipe.sh "VK_ICD_FILENAMES=/nonexistent VK_DRIVER_FILES=/nonexistent $tain doctor --quick"
t.equal(code, 1)
t.that(said:find "mesa%-vulkan%-drivers", said)

-- A folder that works as it is: its recipe runs, from inside it, on the tiny model.
local lab = recipe.folder .. "/my lab"
said, code = recipe.sh(("$tain init '%s'"):format(lab))
t.equal({ said, code }, { lab .. "\n", 0 })
for _, name in ipairs { "recipe.lua", "README.md", ".luarc.json", ".luacheckrc", "train.jsonl", "heldout.jsonl" } do
  t.that(io.open(lab .. "/" .. name), name .. " is missing")
end
local settings = tain.json.decode(io.open(lab .. "/.luarc.json"):read "*a")
t.equal(settings["runtime.version"], "LuaJIT")
t.that(#tain.jsonl(lab .. "/train.jsonl", { "prompt" }) == 400)
said, code = recipe.sh(("here=$(pwd); cd '%s' && head -6 train.jsonl > few.jsonl && $tain recipe.lua "
  .. "--model \"$here\"/tests/golden/tiny_model --prompts few.jsonl --images 2 --epochs 1 --batch 2 --out runs/a && "
  .. "$tain show runs/a; test -f runs/a/report.html"):format(lab))
t.equal({ code }, { 0 })
said, code = recipe.sh(("$tain init '%s'"):format(lab))
t.that(code == 2 and said:find "exists already", said)
said, code = recipe.sh(("$tain init '%s/x' nosuch"):format(recipe.folder))
t.that(code == 2 and said:find "there is no recipe nosuch", said)
recipe.done()
