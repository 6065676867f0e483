-- luajit
--- SPIR-V that the repository carries is of the shaders as they are, and is not given out if they differ.
package.path = "tests/?.lua;" .. package.path
local t = require "expect"

local folder = os.tmpname()
os.remove(folder)

local function sh(command)
  local pipe = io.popen("{ " .. command .. "; } 2>&1; echo \"=$?\"")
  local text = pipe:read("*a")
  pipe:close()
  local said, code = text:match("^(.*)=(%d+)\n$")
  return said, tonumber(code)
end

local function take(source, variant)
  return sh(("luajit lua/gen/carried.lua take %s %s %s/out.inc"):format(source, variant, folder))
end

local function out()
  local file = io.open(folder .. "/out.inc")
  if not file then return nil end
  local text = file:read("*a")
  file:close()
  os.remove(folder .. "/out.inc")
  return text
end

os.execute(("mkdir -p %s && cp -r shaders %s/shaders"):format(folder, folder))
local copy = folder .. "/shaders/matmul_coop.comp"
local sentence = folder .. "/shaders/matmul_coop.words is not what " .. copy .. " and its includes are now: "
  .. "`make carried`, with a glslc that knows its extensions, makes it again\n"

-- As they are: SPIR-V, in whichever folder, of every carried shader.
local carried = 0
for path in io.popen("grep -l '^//! carried' shaders/*.comp"):lines() do
  carried = carried + 1
  for variant in io.open((path:gsub("comp$", "words"))):read("*a"):gmatch "\n\n(%S+)\n" do
    t.equal({ take(path, variant) }, { "", 0 })
    t.that(out():find "^{0x7230203,")
  end
end
t.equal(carried, 1)
t.equal({ take(copy, "matmul_coop.v4.b_f16") }, { "", 0 })
out()

-- No such variant; another shader; another file that an included one includes; no words.
local said, code = take(copy, "matmul_coop.v4.b_f32")
t.that(code == 1 and said:find("there is no matmul_coop.v4.b_f32", 1, true), said)
for _, change in ipairs {
  { "echo >> %s/shaders/matmul_coop.comp", "cp shaders/matmul_coop.comp %s/shaders" },
  { "echo >> %s/shaders/lib/halves.glsl", "cp shaders/lib/halves.glsl %s/shaders/lib" },
  { "rm %s/shaders/matmul_coop.words", "cp shaders/matmul_coop.words %s/shaders" },
} do
  os.execute(change[1]:format(folder))
  t.equal({ take(copy, "matmul_coop.v4.b_f16") }, { sentence, 1 })
  t.equal(out(), nil)
  os.execute(change[2]:format(folder))
  t.equal({ take(copy, "matmul_coop.v4.b_f16") }, { "", 0 })
  out()
end
-- A shader that includes none of it may change.
os.execute(("echo >> %s/shaders/conv.comp"):format(folder))
t.equal({ take(copy, "matmul_coop.v4.b_f16") }, { "", 0 })

-- What is kept is what is taken.
os.execute(("printf '{0x07230203,0x00000000,\\n0x0000000a}' > %s/a.inc"):format(folder))
t.equal({ sh(("luajit lua/gen/carried.lua keep %s %s/a.inc"):format(copy, folder)) }, { "", 0 })
t.equal({ take(copy, "a") }, { "", 0 })
t.equal(out(), "{0x7230203,0x0,0xa,}\n")

-- The build says so, and ends.
os.execute(("cp -r Makefile .ci lua include %s"):format(folder))
os.execute(("echo >> %s/shaders/lib/io.glsl"):format(folder))
said, code = sh(("cd %s && MAKEFLAGS= make -j1 B=build build/spv/matmul_coop.v4.b_f16.inc"):format(folder))
t.that(code ~= 0 and said:find((sentence:gsub(folder:gsub("%p", "%%%0") .. "/", "")), 1, true), said)
os.execute("rm -rf " .. folder)
