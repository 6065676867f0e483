--- tests/big.lua: as many bytes as published, and what it writes small is read, drawn with and judged; memory.
local t = require "expect"
local recipe = require "recipe"
local tain = require "tain"

-- Bytes of the published bf16 files, to the digits that are known.
for size, gigabytes in pairs { ["1b"] = { 4.17, 4.19 }, ["7b"] = { 14.83, 14.85 } } do
  local said, code = recipe.sh(("$tain tests/big.lua --list --size %s"):format(size))
  local bytes = tonumber(said:match "(%d+) bytes\n$") / 1e9
  t.that(code == 0 and bytes > gigabytes[1] and bytes < gigabytes[2], size .. ": " .. bytes)
end

-- What the process holds is what the device counts: nothing has the weights a second time once they are used.
-- The sanitizers keep what was freed, so with them nothing is measured.
local function held()
  local file = assert(io.open "/proc/self/smaps_rollup")
  local text = file:read "*a"
  file:close()
  return tonumber(text:match "\nAnonymous:%s+(%d+)") * 1024
end

do
  local folder = recipe.folder .. "/wide"
  local said, code = recipe.sh(("$tain tests/big.lua --out %s --layers 1 --width 512 --hidden 640 --vocabulary 98304 "
    .. "--vision_layers 1 --vision_width 64 --channels 32 --image 32"):format(folder))
  t.that(code == 0, said)
  local device = require("tain.device").handle()
  local before = held()
  local model = tain.load(folder, { storage = "bf16" })
  model:generate("a red cross", { seed = 1, guidance = 5 })
  local more, counted = held() - before, tonumber(require("ffi").C.tain_device_memory(device, true))
  local sanitized = io.open("/proc/self/maps"):read("*a"):find("libasan", 1, true)
  t.that(sanitized or more < counted + 100 * 2 ^ 20, ("%d MiB held, %d counted"):format(more / 2 ^ 20, counted / 2 ^ 20))
  model:free()
end

local small = "--layers 2 --width 128 --hidden 160 --vocabulary 1024 --vision_layers 1 --vision_width 64 "
  .. "--channels 32 --image 32"
for size, shard in pairs { ["1b"] = 1, ["7b"] = 1000000 } do
  local folder = recipe.folder .. "/" .. size
  local said, code = recipe.sh(("$tain tests/big.lua --size %s --out %s --shard %d %s"):format(size, folder, shard, small))
  t.that(code == 0, said)
  local found = recipe.sh("ls " .. folder)
  t.equal(found:find("model.safetensors.index.json", 1, true) ~= nil, size == "7b")
  t.equal(found:find("model-00002-of-", 1, true) ~= nil, size == "7b")

  -- Numbers have the spread that was asked for.
  local model = tain.load(folder)
  local squares = model:parameters("^language_model%.lm_head")[1]:square():mean():item()
  t.close(math.sqrt(squares), 0.02, 0.002)
  local picture = model:generate("a red cross", { seed = 1, guidance = 5 })
  local score = model:score(picture, "a red cross")
  t.that(score.p_yes > 0 and score.p_yes < 1)
  -- Numbers that lie in the file as they do on the device are copied; the same comes of it.
  local copied = tain.load(folder, { storage = "bf16" })
  t.close(copied:score(picture, "a red cross").p_yes, score.p_yes, 1e-4)
  t.close(copied:logprob("a red cross", picture):item(), model:logprob("a red cross", picture):item(), 1e-2)
  copied:free()
  model:free()
end
recipe.done()
