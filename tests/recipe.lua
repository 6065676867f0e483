--- Runs recipes end to end on the tiny model, in a folder that goes away.

local host = require "tain.host"

local recipe = { model = "tests/golden/tiny_model" }

recipe.folder = os.tmpname()
os.remove(recipe.folder)
os.execute("mkdir -p " .. recipe.folder)

--- Runs a shell command; gives what it printed, and its exit code.
function recipe.sh(command)
  local pipe = io.popen(("tain='%s'; { %s; } 2>&1; echo \"=$?\""):format(host.folder .. "/tain", command))
  local text = pipe:read("*a")
  pipe:close()
  local said, code = text:match("^(.*)=(%d+)\n$")
  return said, tonumber(code)
end

--- Runs a recipe that must succeed. {} in the arguments is the folder, {m} the model's options.
function recipe.run(name, arguments)
  arguments = arguments:gsub("{m}", "--model " .. recipe.model):gsub("{}", recipe.folder)
  local said, code = recipe.sh(("$tain recipes/%s.lua %s"):format(name, arguments))
  if code ~= 0 then error(("%s %s ends with %d and says\n%s"):format(name, arguments, code, said), 2) end
  return said
end

--- Makes train.jsonl and heldout.jsonl.
function recipe.prompts(train, heldout)
  recipe.run("blocks/write_prompts", ("--out {}/train.jsonl --count %d"):format(train))
  recipe.run("blocks/write_prompts", ("--out {}/heldout.jsonl --split heldout --count %d"):format(heldout))
end

function recipe.read(name)
  local file = assert(io.open(recipe.folder .. "/" .. name, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

--- What a run's folder holds, but for times, which no two runs share.
function recipe.sums(name)
  return (recipe.sh(("cd %s/%s && find . -type f ! -name times.jsonl ! -name metrics.jsonl "
    .. "! -path './tb/*' ! -name '*.html' | sort | xargs sha256sum"):format(recipe.folder, name)))
end

--- Removes the folder.
function recipe.done()
  os.execute("rm -rf " .. recipe.folder)
end

return recipe
