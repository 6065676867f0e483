--- tain.options: every kind of option, every mistake on the command line.
local t = require "expect"
local tain = require "tain"
local settings = require "tain.settings"

local specs = {
  file   = { "path", positional = 1, optional = true },
  images = { "integer", default = 10, min = 1, max = 20, help = "candidates" },
  lr     = { "number", default = 1e-5, min = 0 },
  name   = { "string", optional = true },
  fast   = { "boolean" },
  slow   = { "boolean", default = true },
  replay = { "integers", default = { 10 } },
  judge  = { "choice", choices = { "self", "exact" }, default = "self" },
  out_to = { "path", new = true, optional = true },
}

local function parse(...)
  settings.arguments = { ... }
  return tain.options(specs)
end

local opt = parse()
t.equal(opt, { images = 10, lr = 1e-5, fast = false, slow = true, replay = { 10 }, judge = "self" })
opt = parse("--images", "3", "--lr=2e-3", "--fast", "--no-slow", "--replay", "1, 2,3",
  "--judge=exact",
  "--name", "--x", "tests/expect.lua")
t.equal(opt, { images = 3, lr = 2e-3, fast = true, slow = false, replay = { 1, 2, 3 },
  judge = "exact",
  name = "--x", file = "tests/expect.lua" })
t.equal(parse("--out-to", "/nonexistent/x").out_to, "/nonexistent/x")
t.equal(parse("--out_to", "/nonexistent/x").out_to, "/nonexistent/x")
t.equal(parse("--name", "").name, "")
t.equal(parse("--name=a=b").name, "a=b")
t.equal(parse("--lr", "0").lr, 0)
t.equal(parse("--", "tests/expect.lua").file, "tests/expect.lua")

for _, case in ipairs {
  { "unknown option --imges; did you mean --images?", "--imges", "3" },
  { "unknown option --zzzzzz", "--zzzzzz" },
  { "unknown option -x", "-x" },
  { "--images needs a value", "--images" },
  { "--images must be an integer, not 3.5", "--images", "3.5" },
  { '--images must be an integer, not "three"', "--images", "three" },
  { '--images must be an integer, not ""', "--images=" },
  { "--images must be an integer", "--images", "0x10" },
  { "--images must be an integer", "--images", "nan" },
  { "--images must be at least 1, not 0", "--images", "0" },
  { "--images must be at most 20, not 21", "--images", "21" },
  { "--images is given twice", "--images", "1", "--images", "2" },
  { "--lr must be a number", "--lr", "inf" },
  { "--lr must be at least 0, not -1", "--lr", "-1" },
  { "--fast takes no value", "--fast=yes" },
  { "--replay must be a list of numbers", "--replay", "1,x" },
  { '--judge must be one of self, exact, not "exat"; did you mean exact?', "--judge", "exat" },
  { "FILE is not", "tests/expect.lua", "FILE is not" },
  { "there is no /nonexistent", "/nonexistent" },
  { "--out_to: tests/expect.lua exists already", "--out-to", "tests/expect.lua" },
} do
  t.fails(parse, case[1], unpack(case, 2))
end
local ok, raised = pcall(parse, "--images", "x")
t.equal(not ok and raised.exit, 2)

-- A required option.
settings.arguments = {}
t.fails(tain.options, "--model is missing (model directory)", { model = { "path",
  help = "model directory" } })
settings.arguments = { "--model", "tests" }
t.equal(tain.options({ model = { "path" } }).model, "tests")

-- Wrong declarations, and reading what was not declared.
settings.arguments = {}
t.fails(tain.options, "must be of kind", { x = { "int" } })
t.fails(tain.options, "--device is an option of tain itself", { device = { "string" } })
t.fails(tain.options, "x: unknown field defualt; did you mean default?", { x = { "integer",
  defualt = 1 } })
t.fails(tain.options, "x.default must be an integer", { x = { "integer", default = "1" } })
t.fails(tain.options, "the declaration must be a table, not nil")
opt = tain.options { images = { "integer", default = 1 } }
t.fails(function() return opt.imags end, "no option is called imags; did you mean images?")
