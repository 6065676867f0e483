--- A device with less than this one has: the same numbers, or one sentence. Drawings are the same; of scores and losses the
--- last digits may not be: what a device has room to bind decides between kernels, which sum up in other orders.
local t = require "expect"
local recipe = require "recipe"

local function work(environment, arguments)
  return recipe.sh(("%s $tain tests/limited.lua --model recipes/blocks/model %s"):format(environment, arguments or ""))
end

-- The codes that were drawn; and what was judged, with the losses of two optimizers' two steps.
local function apart(said)
  local codes, list, lines = {}, {}, 0
  for line in said:gmatch "[^\n]+" do
    lines = lines + 1
    if select(2, line:gsub("%S+", "")) == 64 then
      codes[#codes + 1] = line
    else
      for number in line:gmatch "%S+" do list[#list + 1] = tonumber(number) end
    end
  end
  t.equal({ lines, #codes, #list }, { 8, 2, 10 })
  return codes, list
end

-- Inputs are read through texel buffers on a CPU driver, and through storage buffers, which range is about, on GPUs.
for _, read in ipairs { "texel", "buffer" } do
  local whole, code = work("TAIN_READ=" .. read)
  t.equal(code, 0)
  local codes, numbers = apart(whole)
  for _, limits in ipairs { "range:128M,allocation:1G,texels:64M,shared:16K", "range:1M,allocation:8M,texels:64K" } do
    local said, status = work(("TAIN_READ=%s TAIN_LIMITS=%s"):format(read, limits))
    t.equal(status, 0)
    t.equal(apart(said), codes)
    t.close(select(2, apart(said)), numbers, 1e-6)
  end
end

-- What is too large is refused, where a piece of memory is, and where one is bound.
for _, case in ipairs {
  { "allocation:4M", "device memory: one piece of %d+ MiB is more than the 4 MiB that the device allows\n$" },
  { "range:1M TAIN_READ=buffer", "binding %d needs %d+ KiB; the device binds at most 1024 KiB\n$" },
  { "texels:64K TAIN_READ=texel", "binding %d needs %d+ KiB; the device binds at most %d+ KiB\n$" },
  { "invocations:128", "of 256 invocations; the device allows 128\n$" },
} do
  local said, code = work("TAIN_LIMITS=" .. case[1], "--images 48")
  t.equal(code, 1)
  local last = said:match "[^\n]*\n$"
  t.that(last:find(case[2]), ("%s says %s"):format(case[1], said))
end

for _, wrong in ipairs { "range", "range:", "range:1", "range:1T", "rang:1G", "range:1G;allocation:1G", "range:-1G" } do
  local said, code = recipe.sh(("TAIN_LIMITS='%s' $tain -e 'require(\"tain\").zeros(1)'"):format(wrong))
  t.that(code == 1 and said:find("TAIN_LIMITS is range:N, ", 1, true) and said:find("it is " .. wrong, 1, true), said)
end
recipe.done()
