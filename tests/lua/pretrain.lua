--- recipes/blocks/pretrain.lua: killed at a checkpoint and between two, and asked to end, it goes on to the
--- same weights as a run that was left alone.
local t = require "expect"
local recipe = require "recipe"

local pretrain = "$tain --quiet recipes/blocks/pretrain.lua --codec_steps 2 --codec_batch 1 --steps 12 --draw 2 "
  .. "--look 1 --every 5 --model tests/golden/tiny_model --out " .. recipe.folder .. "/"

t.equal({ recipe.sh(pretrain .. "whole") }, { "", 0 })

-- Kills it once its file has so many lines or its folder a state.
local function stopped(signal, ready)
  return recipe.sh((pretrain .. "cut --resume & p=$!; until %s; do sleep 0.05; done; kill -%s $p; wait $p"):format(ready,
    signal))
end
local cut = recipe.folder .. "/cut/model"
local _, code = stopped("KILL", "[ -d " .. cut .. ".part ]")
t.equal(code, 137)
_, code = stopped("KILL", ("grep -q 5 %s/state.json 2>/dev/null"):format(cut))
t.equal(code, 137)
local said
-- Asked to end as soon as it listens.
said, code = stopped("TERM", "[ $((0x$(awk '/SigCgt/ { print $2 }' /proc/$p/status) & 0x4000)) != 0 ]")
t.equal(code, 130)
t.that(said:find "interrupted", said)
t.equal({ recipe.sh(pretrain .. "cut --resume") }, { "", 0 })
for _, name in ipairs { "model/model.safetensors", "model/optimizer.safetensors", "model/momentum.f32", "curves.jsonl" } do
  t.that(recipe.read("cut/" .. name) == recipe.read("whole/" .. name), name)
end
said, code = recipe.sh(pretrain .. "cut")
t.equal(code, 2)
t.that(said:find "exists already", said)
recipe.done()
