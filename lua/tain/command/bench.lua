--- tain bench: how fast this machine does what recipes are made of, and how near that is to its limit.

local bench = require "tain.bench"
local check = require "tain.check"
local device = require "tain.device"
local options = require "tain.options"
local settings = require "tain.settings"

-- What is measured when nothing is named. Sizes are the works' own where none stand here.
local FIXED = {
  { "roof" },
  { "matmul" },
  { "matmul", { m = 2048, n = 1024, k = 256 } },
  { "matmul", { storage = "bf16" } },
  { "attention" },
  { "conv" },
  { "norm" },
  { "decode", { m = 11008 } },
  { "decode", { m = 11008, storage = "bf16" } },
  { "decode" },
  { "draw" },
  { "score" },
  { "train" },
  { "train", { lora = 8 } },
}

local ORDER = { "matmul", "attention", "conv", "norm", "decode", "draw", "score", "train", "roof" }

local function say(...)
  io.stdout:write(...)
  io.stdout:write "\n"
  io.stdout:flush()
end

local function text()
  local lines = {}
  for _, name in ipairs(ORDER) do
    lines[#lines + 1] = ("  %-10s %s"):format(name, bench.works[name].about)
  end
  return ([[
tain bench [WORK] [--option value …]

Measures how long work takes on the device: the median of several runs on the clock, with the wait
for the device; the runs in which shaders are compiled are not counted. Without WORK, a fixed set.

%s

tain bench WORK --help shows the options of one. With --json each row is an object in one line:

  work, shape, storage
  ms            the median
  gflops        floating point operations a second, in units of 10^9, two a multiply-add
  gbs           bytes a second, in units of 10^9, if each input were read once and each result written
  limit_share   how near that is to the limit: the time that the roof would need, by this time.
                More than 1: inputs lay in a cache, or 16-bit units did what the roof does in f32
]]):format(table.concat(lines, "\n"))
end

local FORMAT = "%-19s %-46s %-8s %10s %9s %8s %9s"

local function head()
  if settings.json then return end
  say(device.device())
  say(FORMAT:format("work", "shape", "storage", "ms", "GF/s", "GB/s", "of limit"))
end

local function show(rows)
  for _, row in ipairs(rows) do
    if settings.json then
      say(bench.line(row, bench.names))
    else
      local function number(format, value) return value == 0 and "" or format:format(value) end
      say((FORMAT:format(row.work, row.shape, row.storage, ("%.3f"):format(row.ms), number("%.1f", row.gflops),
        number("%.2f", row.gbs), ("%.0f %%"):format(100 * row.limit_share))))
    end
  end
end

-- The options on the command line, for messages and --help as recipes have them.
local function read(name, specs, arguments)
  settings.recipe, settings.arguments = name, arguments
  local given = {}
  for option, value in pairs(options.options(specs)) do given[option] = value end
  return given
end

local function fixed(arguments)
  local given = read("tain bench", bench.options "roof", arguments)
  head()
  for _, one in ipairs(FIXED) do
    local with = { repeats = given.repeats }
    for name, value in pairs(one[2] or {}) do with[name] = value end
    show(bench.measure(one[1], with))
  end
end

return {
  usage = "[WORK] [--option value …]",
  about = "how fast this machine is, and how near its limit; --help lists what can be measured",
  help = text,
  run = function(arguments)
    local first = arguments[1]
    if first == "--help" or first == "-h" then
      io.write(text())
    elseif not first or first:find "^%-" then
      fixed(arguments)
    elseif not bench.works[first] then
      io.stderr:write("tain: bench has no work ", first, check.suggest(first, ORDER),
        "; tain bench --help lists them\n")
      return 2
    else
      local rest = { unpack(arguments, 2) }
      for _, one in ipairs(rest) do
        if one == "--help" or one == "-h" then say(first, ": ", bench.works[first].about, "\n") end
      end
      local given = read("tain bench " .. first, bench.options(first), rest)
      head()
      show(bench.measure(first, given))
    end
  end,
}
