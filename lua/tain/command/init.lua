--- tain init: a folder to work in: a recipe to change, prompts, and what editors want to know.

local fail = require "tain.fail"
local files = require "tain.files"
local host = require "tain.host"
local json = require "tain.json"

local function recipes_folder()
  for _, folder in ipairs { host.folder .. "/../recipes", host.folder .. "/recipes", "recipes" } do
    if files.folder_exists(folder) then return folder end
  end
end

local function quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

-- The path without what goes up and down again.
local function tidy(path) return (path:gsub("/[^/.]+/%.%./", "/")) end

local luacheckrc = [[
std = "luajit"
max_line_length = 100
-- tain comes by require; recipes make no globals.
]]

local readme = [[
# %s

`recipe.lua` is a copy of tain's recipe %s: change its loss, its rule, its loop. `train.jsonl` and
`heldout.jsonl` are prompts of the blocks world, one a line.

    tain recipe.lua --help
    tain recipe.lua --model %s \
      --prompts train.jsonl --heldout heldout.jsonl --judge blocks --images 4 \
      --epochs 2 --out runs/first
    tain show runs/first
    tain report runs/first
    tain report runs/first runs/second --out runs.html

A run that was stopped goes on with --resume. `tain` alone is a prompt; `tain help NAME` explains.
]]

local function make(folder, name, recipe)
  local from = tidy(recipes_folder())
  files.make_folder(folder)
  files.write(folder .. "/recipe.lua", (recipe:gsub("recipes/" .. name .. "%.lua", "recipe.lua")))
  files.write(folder .. "/.luarc.json", json.encode {
    ["runtime.version"] = "LuaJIT", ["workspace.checkThirdParty"] = false,
    ["workspace.library"] = json.array { tidy(from .. "/../lua"), from },
  } .. "\n")
  files.write(folder .. "/.luacheckrc", luacheckrc)
  local model = from .. "/blocks/model"
  files.write(folder .. "/README.md", readme:format(folder:match "[^/]+$", name,
    files.exists(model .. "/model.safetensors") and model or "MODEL"))
  for _, split in ipairs { "train", "heldout" } do
    local command = ("%s %s --out %s --split %s --count %d --quiet"):format(quoted(host.folder .. "/tain"),
      quoted(from .. "/blocks/write_prompts.lua"), quoted(folder .. "/" .. split .. ".jsonl"), split,
      split == "train" and 400 or 96)
    if os.execute(command) ~= 0 then return fail("%s could not be written", split .. ".jsonl") end
  end
  print(folder)
end

return {
  usage = "FOLDER [RECIPE]",
  about = "a folder to work in: a copy of a recipe (prefer), prompts, editor settings",
  run = function(arguments)
    local folder, name = arguments[1] and arguments[1]:gsub("(.)/+$", "%1"), arguments[2] or "prefer"
    if not folder or #arguments > 2 or folder:find "^%-" then
      return fail "init takes a new folder and the name of a recipe"
    end
    if files.exists(folder) or files.folder_exists(folder) then return fail("%s exists already", folder) end
    local from = recipes_folder()
    if not from then return fail "tain's recipes are not beside the program" end
    local path = from .. "/" .. name .. ".lua"
    if not name:find "^[%w_-]+$" or not files.exists(path) then
      return fail("there is no recipe %s", name)
    end
    return make(folder, name, files.read(path))
  end,
}
