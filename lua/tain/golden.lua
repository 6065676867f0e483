--- Recorded runs of reference implementations: what a folder holds, and how to compare it.
---
--- A kind is recognised by the files it consists of. Each comparison gives lines and the worst
--- error; see core/check for what an error is.

local ffi = require "ffi"
local check = require "tain.check"
local device = require "tain.device"
local files = require "tain.files"
local host = require "tain.host"
local json = require "tain.json"

local C = ffi.C
local golden = {}

--- The greatest error that counts as agreement, in f32.
golden.LIMIT = 1e-4

-- Calls one of C's checks. Gives the worst error, and the lines; a sentence if it could not end.
local function run(name, ...)
  local lines = ffi.new("const char *[1]")
  local arguments = { ... }
  arguments[#arguments + 1] = lines
  local worst = C[name](unpack(arguments))
  local text = lines[0] ~= nil and ffi.string(lines[0]) or ""
  return tonumber(worst), text, worst < 0 and ffi.string(C.tain_error()) or nil
end

--- Every operation on this device.
--- @return number worst, string lines, string? problem
function golden.ops()
  return run("tain_check_ops", device.handle())
end

--- The recorded runs inside the program.
--- @return number worst, string lines, string? problem
function golden.builtin()
  return run("tain_check_builtin", device.handle())
end

-- ---- What there is ----

local function read_json(path)
  local value, problem = json.decode_table(files.read(path, 2 ^ 24))
  return value, problem and path .. ": " .. problem
end

-- Kinds that a recorded run of a model may be of, by the first letters of its "model".
local models = {
  janus = function(path) return run("tain_check_golden", device.handle(), path) end,
}

local function known(list)
  local names = {}
  for name in pairs(list) do names[#names + 1] = name end
  table.sort(names)
  return table.concat(names, ", ")
end

local function model(folder, name)
  local path = folder .. "/" .. name
  local root, problem = read_json(path .. ".json")
  if not root then return { name = name, problem = problem } end
  local kind = type(root.model) == "string" and root.model:lower():match("^%a+")
    or type(root.vq) == "table" and type(root.language) == "table" and "janus" or "nameless"
  if models[kind] then return { name = name, run = function() return models[kind](path) end } end
  return { name = name, problem = ("%s: a recorded run of \"%s\", which is not a model that tain "
    .. "can run; it can run: %s"):format(path, check.show(root.model):gsub('"', ""),
    known(models)) }
end

-- Each takes the folder and a set of the names in it, and adds what it recognises to the list.
local recognise = {}

-- NAME.json, NAME.weights.safetensors, NAME.io.safetensors: any number of them.
function recognise.models(folder, names, list)
  for name in pairs(names) do
    local base = name:match("^(.+)%.io%.safetensors$")
    if base and names[base .. ".json"] then list[#list + 1] = model(folder, base) end
  end
end

-- A model's folder in the layout of transformers' port, with a run beside it.
function recognise.port(folder, names, list)
  if not (names["info.json"] and names["io.safetensors"]) then return end
  local config = names["config.json"] and read_json(folder .. "/config.json") or {}
  if config.model_type == "janus" then
    list[#list + 1] = { name = folder, run = function()
      return run("tain_check_port", device.handle(), folder)
    end }
    return
  end
  local info = read_json(folder .. "/info.json") or {}
  list[#list + 1] = { name = folder, problem = ("%s: a recorded run of \"%s\", whose config.json is "
    .. "not one of a model that tain can run; it can compare: %s"):format(folder,
    tostring(info.model), golden.kinds) }
end

function recognise.adapters(folder, names, list)
  if names["info.json"] and names["base.weights.safetensors"] and names["forward.safetensors"] then
    list[#list + 1] = { name = folder, run = function()
      return run("tain_check_adapters", device.handle(), folder)
    end }
  end
end

function recognise.losses(folder, names, list)
  if names["losses.json"] then
    list[#list + 1] = { name = "losses", run = function()
      return require("tain.golden.losses")(read_json(folder .. "/losses.json"))
    end }
  end
end

function recognise.tokenizer(folder, names, list)
  if names["cases.json"] and names["decode_cases.json"] then
    list[#list + 1] = { name = folder, run = function()
      return run("tain_check_tokenizer", folder)
    end }
  end
end

-- Prompts name a tokenizer, which lies in a folder beside theirs.
function recognise.prompts(folder, names, list)
  local tokenizers = folder .. "/../tokenizers"
  for name in pairs(names) do
    if name:find("%.json$") and files.folder_exists(tokenizers) then
      local root = read_json(folder .. "/" .. name)
      if type(root) == "table" and root.cases and root.tokenizer then
        list[#list + 1] = { name = "prompts of " .. name, run = function()
          return run("tain_check_prompts", folder .. "/" .. name, tokenizers)
        end }
      end
    end
  end
end

function recognise.pictures(folder, names, list)
  if names["preproc.safetensors"] then
    list[#list + 1] = { name = "preproc", run = function()
      return run("tain_check_pictures", folder .. "/preproc.safetensors")
    end }
  end
end

-- One line, and the worst error, of a comparison that must be exact.
local function share(what, wrong, count)
  local worst = wrong == 0 and 0 or math.max(wrong / count, 1e-3)
  return worst, ("%-72s %.2e\n"):format(("%s, %d cases"):format(what, count), worst)
end

-- Event files beside their records in hexadecimal: framing and checksums.
function recognise.tensorboard(folder, names, list)
  for name in pairs(names) do
    if names[name .. ".records.json"] then
      list[#list + 1] = { name = name, run = function()
        local record = require("tain.tensorboard").record
        local records, wrong, at = read_json(folder .. "/" .. name .. ".records.json"), 0, 1
        local whole = files.read(folder .. "/" .. name)
        for _, one in ipairs(records) do
          local made = record((one.payload_hex:gsub("%x%x", function(pair)
            return string.char(tonumber(pair, 16))
          end)))
          if whole:sub(at, at + #made - 1) ~= made then wrong = wrong + 1 end
          at = at + #made
        end
        if at ~= #whole + 1 then wrong = #records end
        return share("records", wrong, #records)
      end }
    end
  end
end

-- The blocks world is a recipe: it lies beside the program or is not there.
function recognise.blocks(folder, names, list)
  if not (names["scenes.jsonl"] and names["images.safetensors"] and names["texts.json"]) then
    return
  end
  local path = ("recipes/?.lua;%s/recipes/?.lua;%s/../recipes/?.lua"):format(host.folder,
    host.folder)
  if not package.searchpath("blocks.vectors", path) then
    list[#list + 1] = { name = folder, problem = folder .. ": pictures of the blocks world, which "
      .. "recipes/blocks judges; there is no recipes/ here or beside the program" }
    return
  end
  list[#list + 1] = { name = folder, run = function()
    local before, first = package.path, nil
    package.path = path .. ";" .. before
    local counts = require("blocks.vectors").compare(folder, function(line)
      first = first or "    first: " .. line .. "\n"
    end)
    package.path = before
    local worst, lines = 0, {}
    for name, count in require("tain.data").sorted(counts) do   -- how many agree, of how many
      local one, line = share(name, count[2] - count[1], count[2])
      worst, lines[#lines + 1] = math.max(worst, one), line
    end
    return worst, table.concat(lines) .. (first or "")
  end }
end

golden.kinds = "runs of janus and of its port in transformers, adapters and training, tokenizers, prompts, "
  .. "preprocessing, losses, TensorBoard's files, the blocks world"

--- What can be compared in a folder, and in those below it; or one recorded run of a model, by the
--- name that its files begin with.
---
--- @param folder string
--- @return table[] # { name =, run = function() → worst, lines, problem }, or with `problem` alone
function golden.find(folder)
  local above, name = folder:match("^(.*)/([^/]+)$")
  name = (name or folder):gsub("%.json$", "")
  if not files.folder_exists(folder) then
    local base = (above and above .. "/" or "") .. name
    return files.exists(base .. ".io.safetensors") and files.exists(base .. ".json")
      and { model(above or ".", name) } or {}
  end
  local names, below, list = {}, {}, {}
  for _, inside in ipairs(files.list(folder)) do
    names[inside] = true
    if C.tain_folder_exists(folder .. "/" .. inside) then below[#below + 1] = inside end
  end
  for _, fn in pairs(recognise) do fn(folder, names, list) end
  table.sort(list, function(a, b) return a.name < b.name end)
  if #list == 0 or not names["info.json"] then   -- a folder with an info.json is one thing
    for _, inside in ipairs(below) do
      for _, one in ipairs(golden.find(folder .. "/" .. inside)) do
        list[#list + 1] = one
      end
    end
  end
  return list
end

return golden
