--- tain quantize: a model's folder with the language model's matrices in 8 or 4 bits.

local files = require "tain.files"
local model = require "tain.model"
local options = require "tain.options"
local settings = require "tain.settings"

local HELP = [[
tain quantize MODEL --type int8|int4 --out FOLDER

Writes a folder that tain loads as it would MODEL, which is a folder or a name in the cache of Hugging
Face: the matrices of the language model's layers in 8.5 (int8) or 4.5 (int4) bits a number, everything
else in 16 bits or as tain computes with it. What they lose: run recipes/blocks/storage.lua.

  tain.load(FOLDER)                       frozen matrices; adapters on top of them are trained (model:adapt)
  tain.load(FOLDER, { storage = "f32" })  the rounded numbers as floats, all of which can be trained

tain.load(MODEL, { storage = "int4" }) computes the same without the folder, and reads more. An adapter
cannot be merged into what is quantised: merge it into MODEL, loaded as f32, and quantise what comes out.
Other programs cannot read the folder. core/model/README.md says what is in it.
]]

local function size(folder)
  local bytes = 0
  for _, name in ipairs(files.list(folder)) do
    if name:find "%.safetensors$" or name:find "%.bin$" then bytes = bytes + files.size(folder .. "/" .. name) end
  end
  return bytes / 1e6
end

return {
  usage = "MODEL --type int8|int4 --out FOLDER",
  about = "a model with its language matrices in 8 or 4 bits, as a folder",
  help = function() return HELP end,
  run = function(arguments)
    for _, one in ipairs(arguments) do
      if one == "--help" or one == "-h" then return io.write(HELP) and 0 end
    end
    settings.recipe, settings.arguments = "tain quantize", arguments
    local opt = options.options {
      model = { "model", positional = 1, help = "folder of a model, or its name" },
      type = { "choice", choices = { "int8", "int4" }, help = "how the matrices are stored" },
      out = { "path", new = true, help = "the folder to make" },
    }
    local made = model.load(opt.model, { storage = opt.type })
    made:save(opt.out, { type = opt.type })
    print(("%s: %d matrices in %s, %d in 16 bits, %d in 32; %.1f MB of weights, which were %.1f"):format(opt.out,
      made:matrices(opt.type), opt.type, made:matrices "f16" + made:matrices "bf16", made:matrices "f32", size(opt.out),
      size(made.folder)))
    made:free()
  end,
}
