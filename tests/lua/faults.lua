--- What goes wrong ends in a sentence, and the run goes on to the same bytes as one where nothing did.
local t = require "expect"
local recipe = require "recipe"
local tain = require "tain"

recipe.prompts(6, 4)
local loops = {
  looper = "$tain --quiet tests/looper.lua --out " .. recipe.folder .. "/%s",
  sft = ("$tain --quiet recipes/sft.lua --model %s --prompts {}/train.jsonl --heldout {}/heldout.jsonl "
    .. "--judge blocks --images 3 --epochs 2 --batch 4 --every 2 --lr 1e-3 --out {}/%%s"):format(recipe.model)
    :gsub("{}", recipe.folder),
}
for name, command in pairs(loops) do
  local said, code = recipe.sh(command:format(name .. "-whole"))
  t.equal({ said, code }, { "", 0 })
end

-- Where each fault begins is another place every day; the seed says which.
local seed = tonumber(os.getenv "TAIN_SEED") or math.floor(os.time() / 86400)
local random = tain.random(seed)
local cases = {
  { "looper", "disk", 60, "No space left on device" },
  { "looper", "disk", 60, "No space left on device" },
  { "looper", "sync", 30, "cannot be flushed to disk: Input/output error" },
  { "looper", "open", 40, "Read%-only file system" },
  { "sft", "disk", 40, "No space left on device" },
  { "sft", "device", 10, "the device was lost in vkQueueSubmit; nothing on it can be used again" },
  { "sft", "device", 40, "the device was lost in vkQueueSubmit; nothing on it can be used again" },
  -- Without a pool every tensor asks the driver, so that it can refuse one in the middle.
  { "sft", "memory", 100, "the driver refused %d+ [KM]iB more; %d+ MiB are taken already" },
}
for number, case in ipairs(cases) do
  local loop, kind, most, sentence = unpack(case)
  local name = ("%s-%d"):format(loop, number)
  local fault = ("%s:%d"):format(kind, random:integer(most)) .. (kind == "memory" and " TAIN_UNPOOLED=1" or "")
  local said, code = recipe.sh(("TAIN_FAULT=%s %s"):format(fault, loops[loop]:format(name)))
  t.that(code == 1, ("%s (seed %d) ends with %d and says %s"):format(fault, seed, code, said))
  t.that(said:find(sentence), ("%s says %s"):format(fault, said))
  t.equal(select(2, said:gsub("\n", "")), 1)   -- one line
  local left = recipe.sh(("test -d %s/%s && echo yes"):format(recipe.folder, name)):find "yes"
  said, code = recipe.sh(loops[loop]:format(name) .. (left and " --resume" or ""))
  t.equal({ said, code }, { "", 0 })
  t.equal(recipe.sums(name), recipe.sums(loop .. "-whole"))
end

-- A device that is lost anywhere in the training, which is where most of the calls are made.
for at = 30, 42 do
  local said, code = recipe.sh(("TAIN_FAULT=device:%d %s"):format(at, loops.sft:format("lost-" .. at)))
  local fine = code == 0 and said == ""   -- it ended before
    or code == 1 and said:find "^recipes/sft.lua:%d+: the device was lost in vkQueueSubmit; [^\n]+\n$"
  t.that(fine, ("device:%d ends with %d and says %s"):format(at, code, said))
end

-- ---- A folder that may not be written, and a file that goes away or changes while it is read ----

local said, code = recipe.sh(("mkdir -p %s/locked && chmod 555 %s/locked; TAIN_FAULT=open:1 %s"):format(
  recipe.folder, recipe.folder, loops.looper:format "locked/run"))
t.that(code == 1 and said:find "Read%-only file system", said)
t.equal({ recipe.sh "TAIN_FAULT=disk $tain version" }, { "tain: TAIN_FAULT is disk:N, sync:N, open:N, memory:N, "
  .. "device:N, clock:N or kernel:NAME, with commas between; it is disk\n", 2 })

recipe.sh(("cp -r %s %s/model && truncate -s -64 %s/model/model.safetensors"):format(recipe.model, recipe.folder, recipe.folder))
said, code = recipe.sh(("$tain recipes/gap.lua --model %s/model --prompts %s/heldout.jsonl"):format(recipe.folder, recipe.folder))
t.that(code == 1 and said:find "model.safetensors", said)

recipe.done()
