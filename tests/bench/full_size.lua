--- How long a model of full size takes, and how much memory: loading, one guided image, one verdict, one
--- step of LoRA. `tests/big.lua` makes a folder of random weights in the published sizes.
---
---     tain tests/big.lua --size 1b --out FOLDER
---     tain tests/bench/full_size.lua --model FOLDER --storage int4
---
--- One line of JSON each, as soon as it is known: seconds, the same of processor time, the most memory of the
--- process so far and of it what the device holds (on CPU drivers that is in the process too).

local ffi = require "ffi"
local check = require "tain.check"
local device = require "tain.device"
local host = require "tain.host"
local image = require "tain.image"
local tain = require "tain"

local opt = tain.options {
  model   = { "model", help = "model directory" },
  storage = { "choice", choices = { "f32", "f16", "bf16", "int8", "int4" }, default = "bf16" },
  only    = { "strings", default = { "image", "pixels", "score", "step" }, help = "what to do after loading" },
  tokens  = { "integer", default = 64, min = 1, help = "of the prompt, in the step" },
  rank    = { "integer", default = 8, min = 1, help = "of the adapter" },
  guidance = { "number", default = 5, min = 0 },
}

-- The most memory that this process has had, bytes; 0 where the system does not tell.
local function most()
  local file = io.open "/proc/self/status"
  local text = file and file:read "*a" or ""
  if file then file:close() end
  return 1024 * (tonumber(text:match "VmHWM:%s+(%d+)") or 0)
end

local function gib(bytes) return math.floor(bytes / 2 ^ 30 * 100 + 0.5) / 100 end

local function measure(work, fn)
  local start, used = host.seconds(), os.clock()
  local result = fn()
  ffi.C.tain_device_wait(device.handle())
  io.write(tain.json.encode { work = work, storage = opt.storage, device_gib = gib(tonumber(
    ffi.C.tain_device_memory(device.handle(), true))), process_gib = gib(most()),
    processor_s = math.floor((os.clock() - used) * 10) / 10,
    s = math.floor((host.seconds() - start) * 10) / 10 }, "\n")
  io.flush()
  return result
end

local model = measure("load", function() return tain.load(opt.model, { storage = opt.storage }) end)
local PROMPT = "a red cube on a blue sphere"

local does = {
  image = function(state)
    state.image = model:generate(PROMPT, { seed = 1, guidance = opt.guidance })
  end,
  pixels = function(state)
    state.image = state.image or image.arbitrary(model, 1)
    state.image:pixels()
  end,
  score = function(state)
    state.image = state.image or image.arbitrary(model, 1)
    model:score(state.image, PROMPT)
  end,
  step = function(state)
    state.image = state.image or image.arbitrary(model, 1)
    local function count(text)
      return ffi.C.tain_model_tokens(check.object("step", "model", model, "model"), text, false)
    end
    local prompt = PROMPT
    while count(prompt) < opt.tokens do prompt = prompt .. " a" end
    local optimizer = tain.adamw(model:adapt { rank = opt.rank }, { lr = 1e-4, clip = 1 })
    model:recompute()
    state.tokens = count(prompt)
    optimizer:step(function()
      return -model:logprob({ prompt }, { state.image }, { per = "token" }):mean()
    end)
    optimizer:free()
  end,
}

local state = {}
for _, work in ipairs(opt.only) do
  if not does[work] then error(("--only takes image, pixels, score and step, not %s"):format(work), 0) end
  measure(work, function() does[work](state) end)
end
