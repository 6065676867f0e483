--- The program itself: its command line, exit codes, what a signal does, what a sandbox keeps.
local t = require "expect"
local host = require "tain.host"
local tain = host.folder .. "/tain"

-- Runs a shell command with $tain; gives what it printed, and its exit code.
local function sh(command)
  local pipe = io.popen(("tain='%s'; { %s; } 2>&1; echo \"=$?\""):format(tain, command))
  local text = pipe:read("*a")
  pipe:close()
  local said, code = text:match("^(.*)=(%d+)\n$")
  return said, tonumber(code)
end

local function expect(command, code, text)
  local said, got = sh(command)
  if got ~= code or not said:find(text, 1, true) then
    error(("%s ends with %d and says %s"):format(command, got, said), 2)
  end
end

-- A recipe in a folder of its own, with a module beside it.
local folder = os.tmpname()
os.remove(folder)
os.execute("mkdir -p " .. folder .. "/inner")
local function write(name, text)
  local file = assert(io.open(folder .. "/" .. name, "w"))
  file:write(text)
  file:close()
  return folder .. "/" .. name
end

-- Exit codes.
expect("$tain -e 'print(1 + 1)'", 0, "2\n")
expect("$tain -e 'print(...)' a b", 0, "a\tb\n")
expect("$tain -e 'error \"x\"'", 1, "-e:1: x\n")
expect("$tain -e", 2, "-e needs a line of Lua")
expect("$tain nosuch.lua", 2, "tain: cannot read nosuch.lua: No such file")
expect("$tain /", 2, "tain: cannot read /")
expect("$tain hepl", 2, "there is no command or recipe hepl; did you mean help?")
expect("$tain --devise 0", 2, "unknown option --devise; did you mean --device?")
expect("$tain --device", 2, "--device needs a value")
expect("$tain --json=1 help", 2, "--json takes no value")
expect("$tain -e 'os.exit(7)'", 7, "")
expect("$tain --device nosuch -e 'require(\"tain\").device()'", 1, "-e:1: ")

-- Commands.
expect("$tain help", 0, "runs a recipe")
expect("$tain --help", 0, "tain version")
expect("echo '6 * 7' | $tain", 0, "42\n")
expect("$tain version", 0, "tain " .. host.version)
expect("$tain help tain_error", 0, "Describes the latest failure")
expect("$tain help exp", 0, "Tensor.exp(x)")
expect("$tain help expp", 2, "did you mean exp?")
expect("$tain devices", 0, "0  ")
expect("$tain devices --json", 0, '"name":')

-- A recipe's own help, options, environment.
local recipe = write("r.lua", [[
#!/usr/bin/env tain
--- Does nothing much.
---
---     tain r.lua --count 3

local tain = require "tain"
local opt = tain.options {
  zebra = { "string", optional = true, help = "stripes" },
  count = { "integer", default = 2, min = 1, help = "how many" },
}
local helper = require "helper"
local inner = require "inner.part"
print(opt.count, helper.name, inner, select("#", ...))
]])
write("helper.lua", 'local t = { name = "helper" }\nfunction t.fail() error "deep" end\nreturn t\n')
write("inner/part.lua", "return ...\n")
expect("$tain " .. recipe .. " --count 5 --quiet", 0, "5\thelper\tinner.part\t2\n")
expect("$tain " .. recipe .. " --sandbox", 0, "2\thelper\tinner.part\t0\n")
expect("$tain " .. recipe .. " --count", 2, recipe
  .. ": --count needs a value; --help shows the options")
local said, code = sh("$tain " .. recipe .. " --help")
t.equal(code, 0)
t.equal(said, [[
Does nothing much.

    tain r.lua --count 3

  --zebra STRING           stripes; optional
  --count INTEGER          how many; default 2; at least 1
]])

-- Errors: one clean line; with --debug, the recipe's lines of the stack and no others.
local failing = write("f.lua",
  'local h = require "helper"\nlocal tain = require "tain"\ntain.scope(function()\n  h.fail()\nend)\n')
t.equal(sh("$tain " .. failing), folder .. "/helper.lua:2: deep\n")
said = sh("$tain --debug " .. failing)
t.that(said:find("f.lua:4: in ", 1, true) and said:find("f.lua:3: in the recipe", 1, true), said)
t.that(not said:find("tain/own", 1, true), said)
expect("$tain " .. write("c.lua", 'require "c2"\n') .. "; rm " .. folder .. "/c.lua", 0,
  "there is no module c2")
write("a1.lua", 'require "a2"\n')
write("a2.lua", 'require "a1"\n')
expect("$tain -e 1", 1, "-e:1:")
expect("cd " .. folder .. "; $tain a1.lua", 1, "require: a2 requires itself")
write("s.lua", "local x = = 1\n")
expect("cd " .. folder .. "; $tain s.lua", 1, "s.lua:1: unexpected symbol near '='")
write("m.lua", 'local s = require "s"\n')
expect("cd " .. folder .. "; $tain m.lua", 1, "s.lua:1: unexpected symbol")
write("b.lua", string.dump(function() end))
expect("$tain " .. folder .. "/b.lua", 1, "wrong mode")

-- tain check: a folder that is whole, and one that is not. (golden.lua: the rest)
expect("$tain check a b", 2, "one folder")
expect("$tain check /nonexistent", 1, "WRONG   /nonexistent/config.json: No such file")
write("inner/config.json", '{"model_type":"toy"}')
write("inner/tokenizer.json", "{}")
local head = '{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
local weights = string.char(#head, 0, 0, 0, 0, 0, 0, 0) .. head .. ("x"):rep(8)
write("inner/model.safetensors", weights)
expect("$tain check " .. folder .. "/inner", 0, "model.safetensors: 1 tensors")
write("inner/model.safetensors", weights:sub(1, -2))
expect("$tain check " .. folder .. "/inner", 1, "the download did not end")
write("inner/model.safetensors", weights:sub(1, 20))
expect("$tain check " .. folder .. "/inner", 1, "a header of 54 bytes in a file of 20")
os.remove(folder .. "/inner/model.safetensors")
local archive = io.open("tests/golden/pickle/torch.bin", "rb")
weights = archive:read "*a"
archive:close()
write("inner/pytorch_model.bin", weights)
expect("$tain check " .. folder .. "/inner", 0, "pytorch_model.bin: 319 tensors")
write("inner/pytorch_model.bin", weights:sub(1, -2))
expect("$tain check " .. folder .. "/inner", 1, "is no archive, or the end of it is missing")

-- Signals: the first ends at the next safe point, or after two seconds anywhere in interpreted code;
-- the second ends at once. The exit code is 130.
local function signalled(code_, script)
  write("loop.lua", code_)
  return sh(("$tain %s/loop.lua & p=$!; sleep 0.5; %s; wait $p"):format(folder, script))
end
local batches = [[
local tain = require "tain"
local list = {}
for i = 1, 10 do list[i] = { x = i } end
for _ in tain.batches(list, { epochs = 1e9 }) do end
]]
for _, signal in ipairs { "INT", "TERM" } do
  said, code = signalled(batches, "kill -" .. signal .. " $p")
  t.equal(code, 130)
  t.that(said:find("ending at the next safe point", 1, true)
    and said:find("tain: interrupted\n", 1, true), said)
  said, code = signalled("while true do end",
    ("kill -%s $p; sleep 0.1; kill -%s $p"):format(signal, signal))
  t.equal(code, 130)
end
said, code = signalled('jit.off()\nwhile true do local s = ("x"):rep(9) end', "kill -INT $p")
t.equal(code, 130)
said, code = signalled([[
local tain = require "tain"
while not tain.interrupted() do end
print "saved"
]], "kill -INT $p")
t.equal(code, 130)
t.that(said:find("saved\n", 1, true), said)

os.execute("rm -r " .. folder)
