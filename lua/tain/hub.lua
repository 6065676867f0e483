--- Models by name: the folder that Hugging Face's cache keeps one in. Nothing is ever downloaded.
---
--- A name is ORG/NAME, or ORG/NAME@REVISION. The cache has a folder for each, in it refs/REVISION,
--- which holds a commit, and snapshots/COMMIT, whose files are links to what was downloaded.

local check = require "tain.check"
local files = require "tain.files"
local json = require "tain.json"

local hub = {}

-- The first of these that is set, as huggingface_hub has it.
local function root()
  local home = os.getenv "HF_HOME"
  local cache = os.getenv "XDG_CACHE_HOME" or (os.getenv "HOME" or "") .. "/.cache"
  return os.getenv "HF_HUB_CACHE" or os.getenv "HUGGINGFACE_HUB_CACHE"
    or (home or cache .. "/huggingface") .. "/hub"
end

local function read_json(path)
  local value, problem = json.decode(files.read(path, 2 ^ 26))
  if problem then check.raise("%s: %s", path, problem) end
  return type(value) == "table" and value or {}
end

-- The weights that a folder's index lists and that are not there; nil if there is no index.
local function missing_shards(folder, index)
  if not files.exists(folder .. "/" .. index) then return nil end
  local map, there, list = read_json(folder .. "/" .. index).weight_map, {}, {}
  for _, shard in pairs(type(map) == "table" and map or {}) do
    if type(shard) == "string" and not there[shard] then
      there[shard] = true
      if not files.exists(folder .. "/" .. shard) then list[#list + 1] = shard end
    end
  end
  table.sort(list)
  return list
end

--- What a model's folder lacks.
---
--- @param folder string
--- @return string[] # names of files; empty if everything is there
function hub.missing(folder)
  local list = {}
  local function lacks(...)
    for _, name in ipairs { ... } do
      if files.exists(folder .. "/" .. name) then return end
    end
    list[#list + 1] = table.concat({ ... }, " or ")
  end
  lacks "config.json"
  lacks("tokenizer.json", "tokenizer.model", "vocab.json")
  if not files.exists(folder .. "/model.safetensors") then
    local shards = missing_shards(folder, "model.safetensors.index.json")
    if not shards and not files.exists(folder .. "/pytorch_model.bin") then
      shards = missing_shards(folder, "pytorch_model.bin.index.json")
      if not shards then lacks("model.safetensors", "pytorch_model.bin") end
    end
    for _, name in ipairs(shards or {}) do list[#list + 1] = name end
  end
  return list
end

-- The commit that a revision stands for, or nil and what is wrong.
local function commit_of(folder, revision)
  if files.folder_exists(folder .. "/snapshots/" .. revision) then return revision end
  local ref = folder .. "/refs/" .. revision
  local commit = files.exists(ref) and files.read(ref, 4096):match("^%s*(%x+)%s*$")
  if not commit then return nil, "revision " .. revision end
  if not files.folder_exists(folder .. "/snapshots/" .. commit) then
    return nil, "files of revision " .. commit
  end
  return commit
end

--- The folder of a model that is given by its folder or by its name. A folder of that name wins.
---
--- @param model string
--- @return string? folder
--- @return string? problem a sentence, if there is none
function hub.find(model)
  if files.folder_exists(model) then return model end
  local name, revision = model:match("^([%w._-]+/[%w._-]+)@([%w._-]+)$")
  name, revision = name or model:match("^[%w._-]+/[%w._-]+$"), revision or "main"
  if not name or model:find("..", 1, true) or revision:find("..", 1, true) then
    return nil, "there is no folder " .. model
  end
  local cache = root()
  local folder = cache .. "/models--" .. name:gsub("/", "--")
  local get = "; to get it: hf download " .. name
    .. (revision ~= "main" and " --revision " .. revision or "")
  if not files.folder_exists(folder) then
    return nil, ("there is no folder %s, and no model of that name in the cache of Hugging Face, %s%s")
      :format(model, cache, get)
  end
  local commit, lacks = commit_of(folder, revision)
  if not commit then return nil, ("%s lacks the %s%s"):format(folder, lacks, get) end
  local snapshot = folder .. "/snapshots/" .. commit
  local missing = hub.missing(snapshot)
  if #missing > 0 then
    return nil, ("%s lacks %s%s"):format(snapshot, table.concat(missing, ", "), get)
  end
  return snapshot
end

return hub
