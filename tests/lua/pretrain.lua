--- recipes/blocks/pretrain.lua: killed at a checkpoint and between two, and asked to end, it goes on to the
--- same weights as a run that was left alone.
local t = require "expect"
local recipe = require "recipe"

local pretrain = "$tain --quiet recipes/blocks/pretrain.lua --codec_steps 2 --codec_batch 1 --steps 12 --draw 2 "
  .. "--look 1 --every 5 --model tests/golden/tiny_model --out " .. recipe.folder .. "/"

t.equal({ recipe.sh(pretrain .. "whole") }, { "", 0 })

local cut = recipe.folder .. "/cut/model"

-- Ends it by a signal once the shell's test READY holds, and gives what it said. How long that holds is the machine's
-- to say: a run that was through before anyone looked is made again from its start.
local function stopped(signal, ready, code)
  for _ = 1, 20 do
    local said, ended = recipe.sh((pretrain .. "cut --resume & p=$!; "
      .. "until %s || ! kill -0 $p 2>/dev/null; do sleep 0.01; done; kill -%s $p 2>/dev/null; wait $p"):format(ready, signal))
    if ended == code then return said end
    t.equal(ended, 0)
    recipe.sh("rm -r " .. recipe.folder .. "/cut")
  end
  error(("20 runs had ended before %s held"):format(ready))
end

stopped("KILL", "[ -d " .. cut .. ".part ]", 137)
stopped("KILL", ("grep -q 5 %s/state.json 2>/dev/null"):format(cut), 137)
-- Asked to end as soon as it listens: bit 14 of the signals that it catches.
local listens = "grep -q 'SigCgt:.*[4-7c-f]...$' /proc/$p/status 2>/dev/null"
local said = stopped("TERM", listens, 130)
t.that(said:find "interrupted", said)
t.equal({ recipe.sh(pretrain .. "cut --resume") }, { "", 0 })
for _, name in ipairs { "model/model.safetensors", "model/optimizer.safetensors", "model/momentum.f32", "curves.jsonl" } do
  t.that(recipe.read("cut/" .. name) == recipe.read("whole/" .. name), name)
end
local code
said, code = recipe.sh(pretrain .. "cut")
t.equal(code, 2)
t.that(said:find "exists already", said)
recipe.done()
