--- Models by name: found in the cache of Hugging Face as it lies on a disk, and what is said when
--- something is not there. Nothing is downloaded: there is no network in any of this.
local t = require "expect"
local recipe = require "recipe"

local function sh(command)
  local said, code = recipe.sh(command)
  if code ~= 0 then error(said, 2) end
end

local cache = recipe.folder .. "/home/hub"
local commit = ("0123456789"):rep(4)

-- A cache as huggingface_hub makes one: files are links to blobs.
local function make(name, files)
  local folder = cache .. "/models--" .. name:gsub("/", "--")
  local snapshot = folder .. "/snapshots/" .. commit
  sh(("mkdir -p %s/blobs %s/refs %s && printf %%s %s > %s/refs/main"):format(folder, folder, snapshot, commit, folder))
  for _, file in ipairs(files) do
    sh(("cp tests/golden/tiny_model/%s %s/blobs/%s.blob && ln -s ../../blobs/%s.blob %s/%s"):format(file, folder, file,
      file, snapshot, file))
  end
  return snapshot
end

local all = { "config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
  "processor_config.json", "model.safetensors" }
local snapshot = make("maker/tiny", all)

local file = assert(io.open(recipe.folder .. "/who.lua", "w"))
file:write [[
local tain = require "tain"
local opt = tain.options(tain.shared "model")
local model = tain.load(opt.model)
print(opt.model, model.folder, model.name)
]]
file:close()

local function who(model, variables)
  return recipe.sh(("%s $tain %s/who.lua --model %s"):format(variables or "HF_HOME=" .. recipe.folder .. "/home",
    recipe.folder, model))
end

-- Wherever the cache is said to be.
local expected = "maker/tiny\t" .. snapshot .. "\tmaker/tiny\n"
for _, variables in ipairs { "HF_HOME=" .. recipe.folder .. "/home",
                             "HF_HOME=/nonexistent HF_HUB_CACHE=" .. cache } do
  local said, code = who("maker/tiny", variables)
  t.equal({ said, code }, { expected, 0 })
end
sh(("mkdir -p %s/user/.cache/huggingface && ln -s %s/home/hub %s/user/.cache/huggingface/hub"):format(recipe.folder,
  recipe.folder, recipe.folder))
local said, code = who("maker/tiny", "env -u HF_HOME -u HF_HUB_CACHE -u XDG_CACHE_HOME HOME=" .. recipe.folder .. "/user")
t.that(code == 0 and said:find("user/.cache/huggingface/hub/models--maker--tiny/snapshots/" .. commit, 1, true), said)

-- A revision; a commit.
said, code = who("maker/tiny@" .. commit)
t.that(code == 0, said)
said, code = who("maker/tiny@main")
t.that(code == 0, said)

-- A folder of that name wins.
sh(("mkdir -p %s/maker && cp -r tests/golden/tiny_model %s/maker/tiny"):format(recipe.folder, recipe.folder))
said, code = recipe.sh(("tain=$(realpath $tain); cd %s && HF_HOME=%s/home $tain who.lua --model maker/tiny"):format(
  recipe.folder, recipe.folder))
t.equal({ said, code }, { "maker/tiny\tmaker/tiny\tmaker/tiny\n", 0 })

-- What is not there is named, with the command that gets it.
local function lacks(model, ...)
  said, code = who(model)
  t.equal(code, 2)
  for _, text in ipairs { ... } do
    if not said:find(text, 1, true) then error(said, 2) end
  end
  t.that(select(2, said:gsub("\n", "")) == 1, said)
end
lacks("maker/other", "--model: there is no folder maker/other, and no model of that name in the cache of Hugging Face, "
  .. cache, "; to get it: hf download maker/other")
lacks("maker/tiny@v2", "lacks the revision v2; to get it: hf download maker/tiny --revision v2")
lacks("other", "there is no folder other")
lacks("a/b/c", "there is no folder a/b/c")
lacks("../tiny", "there is no folder ../tiny")
lacks("maker/..", "there is no folder maker/..")
sh(("rm %s/blobs/model.safetensors.blob"):format(snapshot:match("^(.*)/snapshots/")))
lacks("maker/tiny", snapshot .. " lacks model.safetensors or pytorch_model.bin; to get it: hf download maker/tiny")
sh(("rm %s/blobs/tokenizer.json.blob"):format(snapshot:match("^(.*)/snapshots/")))
lacks("maker/tiny", "lacks tokenizer.json or tokenizer.model or vocab.json, model.safetensors or")
local shards = make("maker/shards", { "config.json", "tokenizer.json" })
sh(([[echo '{"weight_map":{"a":"pytorch_model-00001-of-00002.bin","b":"pytorch_model-00002-of-00002.bin"}}' ]]
  .. "> %s/pytorch_model.bin.index.json && touch %s/pytorch_model-00001-of-00002.bin"):format(shards, shards))
lacks("maker/shards", shards .. " lacks pytorch_model-00002-of-00002.bin; to get it: hf download maker/shards")
sh(("rm -r %s"):format(shards))
lacks("maker/shards", "lacks the files of revision " .. commit)
sh(("rm %s/models--maker--shards/refs/main"):format(cache))
lacks("maker/shards", "lacks the revision main")

-- tain check takes a name too.
said, code = recipe.sh(("HF_HOME=%s/home $tain check maker/none"):format(recipe.folder))
t.that(code == 1 and said:find("hf download maker/none", 1, true), said)
recipe.done()
