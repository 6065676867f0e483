--- Lists of random prompts, and the files that hold them.

local tain = require "tain"
local world = require "blocks.world"

local file = {}

-- How many different prompts of a split each category has.
local sizes = {
  train = { color = 316, shape = 76, texture = 66, spatial = 1596, spatial3d = 674,
    numeracy = 104, nonspatial = 340, complex = 19568 },
  heldout = { color = 44, shape = 8, texture = 6, spatial = 180, spatial3d = 70, numeracy = 8,
    nonspatial = 30, complex = 2320 },
}

--- Draws prompts, the categories in turn; one comes again only when all others have come.
---
--- @param count integer
--- @param split "train"|"heldout"
--- @param seed integer
--- @return table[] # { id =, prompt =, category = }
function file.sample(count, split, seed)
  local items, seen, drawn = {}, {}, {}
  local streams = {}
  for i, category in ipairs(world.categories) do
    streams[category], drawn[category] = world.rng(seed, i), 0
  end
  for i = 1, count do
    local category = world.categories[(i - 1) % #world.categories + 1]
    local turn = math.floor(drawn[category] / sizes[split][category])
    local text
    repeat
      text = world.sample(streams[category], category, split).text
    until (seen[text] or 0) <= turn
    seen[text], drawn[category] = (seen[text] or 0) + 1, drawn[category] + 1
    items[i] = { id = ("%s-%s-%d-%d"):format(split, category, seed, drawn[category]),
      prompt = text, category = category }
  end
  return items
end

--- Writes prompts as JSON lines.
---
--- @param path string
--- @param items table[]
function file.save(path, items)
  local out = assert(io.open(path, "wb"))
  for _, item in ipairs(items) do assert(out:write(tain.json.encode(item), "\n")) end
  assert(out:close())
end

return file
