--- How much device memory a model's work takes, before any of it is taken.
---
--- The work is done on a device that only counts (tain_device_plan): every tensor is made by the code
--- that makes it otherwise, so a plan differs from what is measured later by nothing but chance in what
--- is asked for. The same functions, called on a device that computes, measure.

local ffi = require "ffi"
local check = require "tain.check"
local data = require "tain.data"
local device = require "tain.device"
local image = require "tain.image"
local loader = require "tain.model"
local optim = require "tain.optim"
local own = require "tain.own"
local tensor = require "tain.tensor"

local C = ffi.C
local plan = {}

local options_of = {
  storage = { "choice", choices = { "f32", "f16", "bf16", "int8", "int4" }, default = "f32", help = "how matrices are kept" },
  cache = { "choice", choices = { "f32", "f16", "bf16" }, optional = true,
    help = "how keys and values of earlier tokens are kept; if not given, f32 for f32 and 16-bit for the rest" },
  images = { "integer", default = 16, min = 1, help = "images drawn, or judged, together" },
  guidance = { "number", optional = true, min = 0, help = "guidance of drawing; 1: none; if not given, the model's own" },
  batch = { "integer", default = 8, min = 1, help = "images a step of training" },
  lora = { "integer", optional = true, min = 1, help = "rank of an adapter, which alone is trained" },
  recompute = { "boolean", default = false, help = "layers are run again backward: less memory, more time" },
  prompt = { "string", default = "a red circle left of a blue square", help = "as long as yours are" },
}

--- The options of a plan, for tain.options.
plan.options = options_of

--- Makes the device count from now on. Only before anything was made on it.
function plan.count()
  check.status(C.tain_device_plan(device.handle()))
end

-- The most that fn has on the device at once, besides what was there before.
local function most(before, fn)
  local handle = device.handle()
  C.tain_device_reset_peak(handle)
  tensor.scope(fn)
  return tonumber(C.tain_device_memory(handle, true)) - before
end

--- The phases of a loop, each with the most device memory it has at once.
---
--- @param folder string a model; on a device that counts, its weights need not be there
--- @param options? table storage, cache, images, guidance, batch, lora, recompute, prompt
--- @return table[] # { phase =, about =, bytes = }
function plan.phases(folder, options)
  options = check.options("plan", options, options_of)
  local rows, model = {}, nil
  collectgarbage()
  collectgarbage()   -- the first runs finalizers, the second frees what they held
  local before = tonumber(C.tain_device_memory(device.handle(), false))
  local function row(phase, about, fn)
    rows[#rows + 1] = { phase = phase, about = about, bytes = most(before, fn) }
  end

  row("load", "the model's weights, " .. options.storage, function()
    model = loader.load(folder, { storage = options.storage, cache = options.cache })
  end)
  local prompts = {}   -- different ones: what the same have in common is computed once
  for i = 1, options.images do prompts[i] = ("%s %d"):format(options.prompt, i) end
  local guidance = options.guidance or model.guidance
  row("draw", ("%d images together, guidance %g"):format(options.images, guidance), function()
    model:generate(prompts, { guidance = guidance, batch = options.images })
  end)
  row("decode", "the codes of an image to its pixels", function()
    local picture = image.arbitrary(model, 0)
    picture:pixels()
    picture:free()
  end)
  row("score", ("%d images judged together"):format(options.images), function()
    local size = C.tain_model_image_size((own.handle(model)))
    local picture = image.image(size, size)
    model:score(data.same(picture, options.images), prompts, { batch = options.images })
    picture:free()
  end)
  -- A step: the second has the optimizer's moments from the first.
  local what = options.lora and ("adapter of rank %d"):format(options.lora) or "all weights"
  if not options.lora and options.storage ~= "f32" then
    rows[#rows + 1] = { phase = "train", about = "weights in " .. options.storage .. " are frozen: give --lora" }
  else
    row("train", ("%d images a step, %s%s"):format(options.batch, what, options.recompute and ", layers run again" or ""),
      function()
        local params = options.lora and model:adapt { rank = options.lora } or model:parameters()
        model:recompute(options.recompute or false)
        local optimizer = optim.adamw(params, { lr = 1e-4 })
        local some, pictures = data.same(options.prompt, options.batch), data.same(image.arbitrary(model, 0), options.batch)
        for _ = 1, 2 do
          optimizer:step(function() return -model:logprob(some, pictures, { per = "token" }):mean() end)
        end
        optimizer:free()
      end)
  end
  model:free()
  return rows
end

return plan
