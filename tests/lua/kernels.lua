--- A kernel that is wrong on a driver is left out, with one sentence, and what takes over is right.
local t = require "expect"
local recipe = require "recipe"
local tain = require "tain"

-- Products, attention and convolution, and the gradients of all their inputs.
local work = recipe.folder .. "/work.lua"
local file = assert(io.open(work, "w"))
file:write [[
local tain = require "tain"
local function leaf(from, ...)
  local n, list = 1, {}
  for _, size in ipairs { ... } do n = n * size end
  for i = 1, n do list[i] = math.sin(from + i * i) end
  local tensor = tain.tensor(list):reshape { ... }
  tensor:want_grad(true)
  return tensor
end
local x, w, q, a, f = leaf(1, 40, 24), leaf(2, 24, 36), leaf(3, 1, 20, 2, 64), leaf(4, 1, 6, 5, 16), leaf(5, 3, 3, 16, 8)
local all = {}
tain.backward(function()
  local loss
  for _, y in ipairs { x:matmul(w), q:attention(q, q, true), a:conv2d(f, nil, 1, 1, 1) } do
    all[#all + 1] = y:numbers()
    local square = y:square():mean()
    loss = loss and loss + square or square
  end
  return loss
end)
for i, one in ipairs { x, w, q, a, f } do all[3 + i] = one:grad():numbers() end
print(tain.device())
print(tain.json.encode(all))
]]
file:close()

local function result(environment)
  local said, code = recipe.sh(("%s $tain %s"):format(environment, work))
  t.equal({ environment, code, code == 0 and "" or said }, { environment, 0, "" })
  local head, banner, numbers = said:match "^(.-)([^\n]*| cpu |[^\n]*)\n(%[%[.*%]%])\n$"
  if not banner then head, banner, numbers = said:match "^(.-)([^\n]*|[^\n]*)\n(%[%[.*%]%])\n$" end
  return head, banner, tain.json.decode(numbers)
end

local head, banner, want = result ""
t.equal(head, "")
t.equal(#want, 8)
t.that(not banner:find "wrong", banner)
local texel = banner:find "texel reads" ~= nil

-- What each leaves out, and what is said.
local fast = "tain: %s's fast kernel is wrong on this driver (%s, as TAIN_FAULT asks): the portable one is used\n"
local reads = "tain: texel reads are wrong on this driver (%s; %s: as TAIN_FAULT asks): buffer reads are used\n"
local driver = banner:match "^[^|]*| [^|]* | ([^|]*) | Vulkan"
local cases = {
  { "kernel:matmul", fast:format("matmul", driver), "matmul's fast kernel" },
  { "kernel:matmul,kernel:conv", fast:format("matmul", driver) .. fast:format("conv", driver),
    "matmul's fast kernel, conv's fast kernel" },
  -- With texel reads there is one form of attention.
  { "kernel:attention", (texel and reads:format(driver, "attention") or "") .. fast:format("attention", driver),
    (texel and "texel reads, " or "") .. "attention's fast kernel" },
  texel and { "kernel:reads", reads:format(driver, "reads"), "texel reads" } or nil,
}
for _, case in ipairs(cases) do
  local got
  head, banner, got = result("TAIN_FAULT=" .. case[1])
  t.equal(head, case[2])
  t.that(banner:sub(-#case[3] - 2) == ": " .. case[3], banner)
  for i = 1, #want do t.close(got[i], want[i], 1e-4) end
end

-- There is a kernel more for large products, one on GPUs and one on CPUs with our passes; here it is asked for.
local larger = { { "TAIN_READ=buffer", "matmul_tile" } }
if texel and banner:find("own passes", 1, true) then larger[2] = { "TAIN_READ=texel", "matmul_panel" } end
for _, kind in ipairs(larger) do
  for _, case in ipairs {
    { "", "", " | tiled matmul" },
    { " TAIN_FAULT=kernel:" .. kind[2], fast:format(kind[2], driver), ": " .. kind[2] .. "'s fast kernel" },
    { " TAIN_FAULT=kernel:matmul", fast:format("matmul", driver), ": matmul's fast kernel" },
  } do
    local got
    head, banner, got = result(kind[1] .. " TAIN_MATMUL=tiled" .. case[1])
    t.equal(head, case[2])
    t.that(banner:sub(-#case[3]) == case[3], banner)
    for i = 1, #want do t.close(got[i], want[i], 1e-4) end
  end
end

-- Packed dot products, where the driver has them: asked for, wrong, and where what they replace is wrong.
local asked = "TAIN_DOT=yes"
if select(2, result(asked)):find "int8 activations" then
  for _, case in ipairs {
    { "", "", " | int8 activations" },
    { " TAIN_READ=buffer", "", " | int8 activations" },
    { " TAIN_FAULT=kernel:dot", fast:format("dot", driver), ": dot's fast kernel" },
    { " TAIN_FAULT=kernel:matmul", fast:format("matmul", driver), ": matmul's fast kernel" },
  } do
    local got
    head, banner, got = result(asked .. case[1])
    t.equal(head, case[2])
    t.that(banner:sub(-#case[3]) == case[3], banner)
    for i = 1, #want do t.close(got[i], want[i], 1e-4) end
  end
end

-- doctor lists it.
local said, code = recipe.sh "TAIN_FAULT=kernel:conv $tain doctor --quick"
t.equal(code, 0)
t.that(said:find("\nkernels +portable ones, because these are wrong on this driver: conv's fast kernel\n"), said)

-- What was found is kept: it is found once, believed the next time, and a file that is none is found again.
local cache = recipe.folder .. "/cache"
local doctor = ("XDG_CACHE_HOME=%s $tain doctor --quick"):format(cache)
os.execute(("mkdir -p %s/tain && ln -s ${XDG_CACHE_HOME:-$HOME/.cache}/tain/shaders-* %s/tain"):format(cache, cache))
said, code = recipe.sh(doctor)
t.equal(code, 0)
t.that(said:find "\nkernels +the fast ones, which were tried on this driver\n", said)
local path = recipe.sh(("ls %s/tain/kernels-*"):format(cache)):gsub("\n", "")
local function found(text)
  if text then
    local out = assert(io.open(path, "w"))
    out:write(text)
    out:close()
  end
  local kept = assert(io.open(path))
  text = kept:read "*a"
  kept:close()
  return text
end
local first = found()
-- build, buffers, alike, portable, tiles, cooperative matrices, rows of packed dot products
local form = "^(%x+ 0) ([01]) 0 ([01]) ([01]) ([0-8])\n$"
t.that(first:find(form), first)
found(first:gsub(form, "%1 %2 4 0 0 0\ntain: it was so before\n"))
said = recipe.sh(doctor)
t.that(said:find "tain: it was so before\n" and said:find "wrong on this driver: conv's fast kernel\n", said)
for _, text in ipairs { "", "1 1 1 1 1 1 1\n", (first:gsub(" [0-8]\n", "\n")) } do
  found(text)
  said = recipe.sh(doctor)
  t.that(said:find "\nkernels +the fast ones", said)
  t.that(found():find(form), found())
end
-- Which way to store was the faster one is believed as well.
for choice = 0, 1 do
  found(first:gsub(form, "%1 " .. choice .. " 0 0 0 0\n"))
  said = recipe.sh(doctor)
  t.equal(said:find("| alike stores", 1, true) ~= nil, texel and choice == 1)
end
t.equal(recipe.sh(("ls %s/tain"):format(cache)):gsub("[^\n]*shaders[^\n]*\n", ""), path:match "[^/]*$" .. "\n")

-- Cooperative matrices are asked for in vain where there are none.
local units
for _, case in ipairs {
  { "", "", " | cooperative matmul" },
  { " TAIN_FAULT=kernel:matmul_coop", fast:format("matmul_coop", driver), ": matmul_coop's fast kernel" },
} do
  local got
  head, banner, got = result("TAIN_READ=buffer TAIN_MATMUL=coop" .. case[1])
  units = units or banner:find("cooperative", 1, true) ~= nil
  local there = head == case[2] and banner:sub(-#case[3]) == case[3]
  t.that(there or not units and head == "" and not banner:find "cooperative", head .. banner)
  for i = 1, #want do t.close(got[i], want[i], 1e-4) end
end

-- So is which kernel was the faster one for large products, where there are two, and for those by a matrix in 16
-- bits, where there are three.
os.execute("rm " .. path)
doctor = "TAIN_READ=buffer " .. doctor
said = recipe.sh(doctor)
path = recipe.sh(("ls %s/tain/kernels-*"):format(cache)):gsub("\n", "")
first = found()
t.that(first:find(form), first)
for choice = 0, 3 do
  found(first:gsub(form, ("%%1 %%2 0 %d %d %%5\n"):format(choice % 2, math.floor(choice / 2))))
  said = recipe.sh(doctor)
  t.equal(said:find("| tiled matmul", 1, true) ~= nil, choice % 2 == 1)
  t.equal(said:find("| cooperative matmul", 1, true) ~= nil, units and choice > 1 and not banner:find("| cpu |", 1, true))
end

recipe.done()
