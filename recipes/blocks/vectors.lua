--- Compares this world with a folder of test vectors: images.safetensors, scenes.jsonl, texts.json.

local ffi = require "ffi"
local eye = require "blocks.eye"
local json = require "blocks.json"
local prompts = require "blocks.prompts"
local scene = require "blocks.scene"

local vectors = {}

local function read_file(path)
  local file, why = io.open(path, "rb")
  if not file then error("cannot read " .. why, 0) end
  local text = file:read "*a"
  file:close()
  return text
end

-- The tensor `images` of a safetensors file: its bytes, and how many, how high and how wide.
local function read_images(path)
  local text = read_file(path)
  local length = 0
  for i = 8, 1, -1 do length = length * 256 + (text:byte(i) or 255) end
  if length > #text - 8 then error(path .. ": the header is cut off", 0) end
  local entry = json.decode(text:sub(9, 8 + length)).images
  if not entry then error(path .. ": no tensor named images", 0) end
  local shape, from, to = entry.shape, entry.data_offsets[1], entry.data_offsets[2]
  local n, height, width = shape[1], shape[2], shape[3]
  if entry.dtype ~= "U8" or #shape ~= 4 or shape[4] ~= 3 then
    error(path .. ": images is not U8 of [n, height, width, 3]", 0)
  end
  if to - from ~= n * height * width * 3 or 8 + length + to > #text then
    error(path .. ": images is cut off", 0)
  end
  return text:sub(9 + length + from, 8 + length + to), n, height, width
end

local FIELDS = { "shape", "dir", "colour", "texture", "r", "cx", "cy" }

--- Whether two scenes are the same, order included; nil stands for unclear.
---
--- @param a? blocks.Object[]
--- @param b? blocks.Object[]
--- @return boolean
function vectors.same(a, b)
  if not a or not b then return a == b end
  if #a ~= #b then return false end
  for i = 1, #a do
    for _, field in ipairs(FIELDS) do
      local left, right = a[i][field], b[i][field]
      if left == json.null then left = nil end
      if right == json.null then right = nil end
      if left ~= right then return false end
    end
  end
  return true
end

local function wanted(value)
  if value == json.null then return nil end
  return value
end

--- Compares with a folder.
---
--- @param folder string
--- @param report? fun(line: string) gets a line for everything that differs
--- @return table # { scenes, captions, verdicts, splits, illegal }, each { agree, of }
function vectors.compare(folder, report)
  local counts = {}
  local function count(name, agrees, ...)
    local entry = counts[name] or { 0, 0 }
    counts[name] = { entry[1] + (agrees and 1 or 0), entry[2] + 1 }
    if not agrees and report then
      local parts = { name .. ":" }
      for i = 1, select("#", ...) do parts[i + 1] = tostring((select(i, ...))) end
      report(table.concat(parts, "  "))
    end
  end

  local bytes, n, height, width = read_images(folder .. "/images.safetensors")
  local base = ffi.cast("const uint8_t *", bytes)
  for line in read_file(folder .. "/scenes.jsonl"):gmatch "[^\n]+" do
    local item = json.decode(line)
    if item.image >= n then error("scenes.jsonl: no image " .. item.image, 0) end
    local image = base + item.image * height * width * 3
    local found = eye.read(image, width, height)
    count("scenes", vectors.same(found, wanted(item.scene)), item.image, item.kind)

    local caption = found and scene.describe(found)
    count("captions", caption == wanted(item.caption), item.image, caption, item.caption)
    for _, pair in ipairs(item.prompts) do
      local verdict
      if found then verdict = scene.truth(pair[1], found) end
      count("verdicts", verdict == wanted(pair[2]), item.image, pair[1], verdict, pair[2])
    end
  end

  local texts = json.decode(read_file(folder .. "/texts.json"))
  for _, item in ipairs(texts.split) do
    local prompt = prompts.parse(item[1])
    count("splits", prompt and prompt.category == item[2] and prompt.split == item[3], item[1])
  end
  for _, text in ipairs(texts.illegal) do count("illegal", not prompts.parse(text), text) end
  return counts
end

return vectors
