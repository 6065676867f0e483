--- Every block of code in the manual does what it says: Lua runs, and commands have the options they are
--- given. The names that examples take for granted are made here.
local t = require "expect"
local host = require "tain.host"
local recipe = require "recipe"
local settings = require "tain.settings"
local tain = require "tain"

local file = assert(io.open(host.folder .. "/manual.md", "rb"))
local manual = file:read "*a"
file:close()

-- ---- The blocks: fenced as lua, or indented ----

local blocks, fence, kind, first = {}, nil, nil, nil
local number, last = 0, ""
for line in manual:gmatch "([^\n]*)\n" do
  number = number + 1
  if line:find "^```" then
    if fence then
      if kind == "lua" then blocks[#blocks + 1] = { at = first, text = table.concat(fence, "\n") } end
      fence = nil
    else
      fence, kind, first = {}, line:match "^```(%w*)", number + 1
    end
  elseif fence then
    fence[#fence + 1] = line
  elseif line:find "^    " then
    -- An empty line within a block does not end it.
    local block = blocks[#blocks]
    if block and block.ends and number - block.ends <= 2 and (last:find "^    " or last == "") then
      block.text, block.ends = block.text .. "\n" .. line:sub(5), number
    else
      blocks[#blocks + 1] = { at = number, ends = number, text = line:sub(5) }
    end
  end
  last = line
end
t.that(#blocks > 30, #blocks .. " blocks")

-- ---- What the examples take for granted ----

local folder, here = recipe.folder, getfenv()
local model = tain.load(recipe.model)
local prompts = require("blocks.prompt_file").sample(6, "train", 1)
local texts = tain.column(prompts, "prompt")
local images = model:generate(texts, { seed = 1 })
local judged = tain.judge(model, prompts, { images = 4, seed = 1 })
local ranked = tain.preferences(judged)
tain.method.reference(model, ranked)
t.that(#ranked > 1, "pairs to show examples with")
local heldout = require("blocks.prompt_file").sample(4, "heldout", 1)
local runs = 0

local function columns(list, names)
  local batch = {}
  for name in names:gmatch "%S+" do batch[name] = tain.column(list, name) end
  return batch
end

local function prelude(block)
  runs = runs + 1
  local data = tain.approved(judged)
  local own = tain.load(recipe.model)   -- parameters have one optimizer
  local optimizer = block:find "optimizer:step" and not block:find "tain.adamw" and tain.adamw(own:parameters())
  return {
    tain = tain, model = own, start = own, prompts = texts, images = images, list = data, data = data,
    judged = judged, optimizer = optimizer, overall = tain.summary(tain.evaluate(own, prompts, { seed = 1 })),
    step = 3,
    batch = block:find "batch.chosen" and columns(ranked, "prompt chosen rejected ref_chosen ref_rejected")
      or columns(data, "prompt image"),
    picture = images[1], a = images[1], b = images[2], c = images[3],
    opt = setmetatable({ out = ("%s/run%d"):format(folder, runs), heldout = heldout, resume = false }, nil),
    run = tain.run { out = ("%s/given%d"):format(folder, runs), device = false, tensorboard = false },
    save = function(to) own:save(to) end, load = function(from) own:restore(from) end,
    fn = function() return -own:logprob(texts, images):mean() end,
    loss = function() return -own:logprob(texts, images):mean() end,
    deal = function(from) return tain.batches(data, { size = 8, from = from }) end,
  }
end

local arguments = { "--model", recipe.model, "--prompts", "README.md", "--out", folder .. "/new" }
local declared = { "--model", recipe.model, "--out", folder .. "/new", "README.md" }

local function run_lua(block)
  local env = prelude(block.text)
  env.run:keeps(env.save, env.load)
  settings.arguments = block.text:find "tain.shared" and { "--model", recipe.model, "--prompts", "README.md" }
    or block.text:find "positional" and declared or arguments
  local chunk, why = loadstring(block.text, "=manual")
  if not chunk then error(("manual.md:%d: %s"):format(block.at, why), 0) end
  local quiet = settings.quiet
  settings.quiet = true
  local ok, problem = xpcall(setfenv(chunk, setmetatable(env, { __index = here })), debug.traceback)
  settings.quiet = quiet
  if not ok then error(("manual.md:%d: %s\n%s"):format(block.at, problem, block.text), 0) end
  if not env.run.closed then env.run:close { report = false } end
  env.model:free()
end

-- ---- Commands: the recipe is there, and has every option ----

local help = {}
local function check_command(line, at)
  local path = line:match "^tain (%S+%.lua)"
  if path and path ~= "recipe.lua" and not path:find "^RECIPE" then
    help[path] = help[path] or recipe.sh(("$tain %s --help"):format(path))
    for option in line:gmatch " (%-%-[%a_]+)" do
      t.that(help[path]:find(option, 1, true) or option == "--json", ("manual.md:%d: %s has no %s"):format(at, path, option))
    end
    return
  end
  local word = line:match "^tain (%l+)[ ,]" or line:match "^tain (%l+)$"
  if word then
    t.that(recipe.sh("$tain help"):find("\ntain " .. word .. " ", 1, true),
      ("manual.md:%d: there is no tain %s"):format(at, word))
  end
  local target = line:match "^make ([%w-]+)"
  if target then
    local makefile = assert(io.open "Makefile"):read "*a"
    t.that(makefile:find("\n" .. target:gsub("%-", "%%-") .. ":"), "there is no make " .. target)
  end
end

local ran, commands = 0, 0
for _, block in ipairs(blocks) do
  local start = block.text:match "^%s*(%S+)"
  if start == "tain" or start == "make" or start == "git" or start == "ls" then
    for line in block.text:gmatch "[^\n]+" do check_command(line, block.at) end
    commands = commands + 1
  elseif block.text:find "^%-%-%- Supervised" then
    -- The recipe that README shows in full: tests/lua/tree says that it is the file, and
    -- tests/lua/recipes_sft runs it.
    t.that(loadstring(block.text))
  elseif start == "local" or start == "for" or start:find "^tain[.]" or start:find "^[%a]+[:.(]" then
    run_lua(block)
    ran = ran + 1
  else
    error(("manual.md:%d: neither Lua nor a command: %s"):format(block.at, block.text:match "[^\n]*"), 0)
  end
end
t.that(ran >= 15, ran .. " blocks ran")
t.that(commands >= 10, commands .. " blocks of commands")

-- ---- tain.api ----

t.that(tain.api "1" == tain)
t.fails(tain.api, 'api: this tain knows version 1 and the recipe asks for "2": a newer tain is needed', "2")
t.fails(tain.api, 'asks for "zero": there is no such version', "zero")
require("tain.api").renamed.assess = "judge"
t.that(rawequal(tain.assess, tain.judge))
require("tain.api").renamed.assess = nil
t.fails(function() return tain.assess end, "tain has no assess")
require("tain.run").finish()   -- closes what examples left open
recipe.done()
