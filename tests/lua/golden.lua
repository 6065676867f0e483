--- tain check: the operations and what is inside the program; folders of every kind; what is refused.
local t = require "expect"
local host = require "tain.host"
local json = require "tain.json"

local function sh(arguments, environment)
  local pipe = io.popen(("%s '%s/tain' check %s 2>&1; echo \"=$?\""):format(environment or "", host.folder, arguments))
  local text = pipe:read("*a")
  pipe:close()
  local said, code = text:match("^(.*)=(%d+)\n$")
  return said, tonumber(code)
end

local function passes(folder, ...)
  local said, code = sh(folder)
  local worst = tonumber(said:match("\nworst (%S+)\n$"))
  if code ~= 0 or not worst or worst > 1e-4 then error(said, 2) end
  for _, text in ipairs { ... } do
    if not said:find(text, 1, true) then error(folder .. ": nothing about " .. text, 2) end
  end
end

passes("", "attention, gradients", "conv2d", "gqa\n", "gen.codes", "group_norm")
-- In every form that kernels have, whichever is this device's own.
for _, form in ipairs {
  "TAIN_READ=alike", "TAIN_READ=texel TAIN_MATMUL=no", "TAIN_READ=texel TAIN_MATMUL=tiled", "TAIN_READ=buffer",
  "TAIN_READ=buffer TAIN_MATMUL=tiled",
} do
  local said, code = sh("", form)
  local worst = tonumber(said:match("\nworst (%S+)\n$"))
  t.that(code == 0 and worst and worst <= 1e-4, form .. ": " .. said)
end
passes("tests/golden/janus/head64", "head64\n", "vq.recon")
passes("tests/golden/janus_hf", "und.greedy", "gen1.greedy", "vq.codes_original", "pre.s45.orig_u8")
passes("tests/golden/losses", "sigmoid", "one pair")
passes("tests/golden/tokenizers", "janus_7b: ids, 283 cases", "phi: bytes", "llama_sp: text without")
passes("tests/golden/tensorboard", "records, 12 cases")
passes("tests/golden/blocks", "scenes, 400 cases")
passes("tests/golden/chat", "prompts of vilau.json", "prompts: unconditional ids, 13 cases")

-- A copy whose numbers are wrong is found out; a model of another kind is named.
local folder = os.tmpname()
os.remove(folder)
os.execute("mkdir " .. folder)
local function write(name, text)
  local file = assert(io.open(folder .. "/" .. name, "wb"))
  file:write(text)
  file:close()
end
local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

for _, part in ipairs { ".json", ".weights.safetensors", ".io.safetensors" } do
  write("a" .. part, read("tests/golden/janus/gqa" .. part))
end
local config = json.decode(read "tests/golden/janus/gqa.json")
config.language.rope_theta = 4000
write("a.json", json.encode(config))
local said, code = sh(folder)
t.equal(code, 1)
t.that(tonumber(said:match("\nworst (%S+)\n$")) > 1e-4, said)

local function refused(change, text)
  local copy = json.decode(read "tests/golden/janus/gqa.json")
  change(copy)
  write("a.json", json.encode(copy))
  said, code = sh(folder)
  t.equal(code, 1)
  if not said:find(text, 1, true) then error(said, 2) end
end
refused(function(c) c.model = "show-o tiny" end, 'a recorded run of "show-o tiny", which is not a '
  .. "model that tain can run; it can run: janus")
refused(function(c) c.language.hidden_act = "gelu" end, 'language.hidden_act is "gelu"; tain knows '
  .. '"silu"')
refused(function(c) c.language.rope_scaling = { rope_type = "yarn" } end, 'rope_type is "yarn"')
refused(function(c) c.language.attention_bias = true end, "attention_bias must be false")
refused(function(c) c.language.num_attention_heads = 5 end, "do not fit together")
refused(function(c) c.vision.select_layer = -3 end, "select_layer leaves no layer of 2")
refused(function(c) c.vision.select_feature = "patch" end, 'select_feature is "patch"')
refused(function(c) c.vq.codes = 31 end, "a.weights.safetensors: ")

os.execute("rm " .. folder .. "/*")
said, code = sh(folder)
t.equal(code, 1)
t.that(said:find("neither a model's folder", 1, true), said)
os.execute("rmdir " .. folder)
