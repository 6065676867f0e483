--- The source itself: folders include only what is above them, each library is known to one folder,
--- every operation has a test, every shader is valid SPIR-V, the README's recipe is the recipe.
local t = require "expect"
local ops = require "tain.ops"
local host = require "tain.host"

local function lines(command)
  local list = {}
  local pipe = io.popen(command)
  for line in pipe:lines() do list[#list + 1] = line end
  pipe:close()
  return list
end

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

-- Layers: base, gpu, tensor, op, model, train, check, host; io needs base and tensor only.
local above = {
  base = "base", lavapipe = "base lavapipe", gpu = "base lavapipe gpu", tensor = "base gpu tensor", io = "base tensor io",
  op = "base gpu tensor op", model = "base gpu tensor op io model",
  train = "base gpu tensor op io model train", host = "base host",
  check = "base gpu tensor op io model train check",
}
local owner = { ["vulkan"] = "gpu", ["lua.h"] = "host", ["lauxlib.h"] = "host", ["stb_image"] = "io" }
local wrong = {}
for _, path in ipairs(lines "ls core/*/*.[ch]") do
  local folder = path:match("^core/(%w+)/")
  local allowed = above[folder] or error(path .. ": a folder without a layer")
  for include in read(path):gmatch("\n%s*#%s*include%s*([^\n]+)") do
    local other = include:match('^"([%w_]+)/')
    if other and not (" " .. allowed .. " "):find(" " .. other .. " ", 1, true) then
      wrong[#wrong + 1] = path .. " includes " .. include
    end
    for library, where in pairs(owner) do
      if include:find(library, 1, true) and include:find("^<") and folder ~= where then
        wrong[#wrong + 1] = path .. " includes " .. include .. ", which belongs to core/" .. where
      end
    end
  end
end

-- Every operation is named in a test, by its whole name or in a family's table.
local tests = {}
for _, path in ipairs(lines "ls tests/*/*.c") do tests[#tests + 1] = read(path) end
local all = table.concat(tests)
for name in pairs(ops.signatures) do
  if not all:find("%f[%w_]tain_" .. name .. "%f[^%w_]")
    and not all:find("[^%w_]" .. name .. "[^%w_]") then
    wrong[#wrong + 1] = "tain_" .. name .. " has no test in tests/"
  end
end

-- Every variant of every shader.
if os.execute("command -v spirv-val > /dev/null") == 0 then
  local path = os.tmpname()
  for _, inc in ipairs(lines("ls '" .. host.folder .. "'/spv/*.inc")) do
    local words = {}
    for word in read(inc):gmatch("0x(%x+)") do
      local n = tonumber(word, 16)
      words[#words + 1] = string.char(n % 256, math.floor(n / 2 ^ 8) % 256,
        math.floor(n / 2 ^ 16) % 256, math.floor(n / 2 ^ 24))
    end
    local file = assert(io.open(path, "wb"))
    file:write(table.concat(words))
    file:close()
    for _, line in ipairs(lines("spirv-val --target-env vulkan1.2 " .. path .. " 2>&1")) do
      if not line:find "Invalid capability operand: 6022" then   -- cooperative matrices: an older spirv-val
        wrong[#wrong + 1] = inc:match("[^/]+$") .. ": " .. line
      end
    end
  end
  os.remove(path)
end

-- What the README shows is what there is.
local readme = read "README.md"
if not readme:find(read "recipes/sft.lua", 1, true) then wrong[#wrong + 1] = "README.md: recipes/sft.lua is another one" end
for path in readme:gmatch "%]%(([%w_/.-]+)%)" do
  local file = io.open(path, "rb")
  if file then file:close() else wrong[#wrong + 1] = "README.md: there is no " .. path end
end

table.sort(wrong)
t.that(#wrong == 0, table.concat(wrong, "\n"))
