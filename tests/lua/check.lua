--- tain.check: every wrong argument is named, at the line that passed it.
local t = require "expect"
local check = require "tain.check"

local function refused(text, fn, ...)
  local message = t.fails(fn, text, ...)
  if not message:find("^tests/expect.lua:%d+: ") then   -- which made the call
    error("no position: " .. message, 2)
  end
end

-- Integers.
for _, wrong in ipairs { 3.7, 0 / 0, 1 / 0, -1 / 0, "3", true, print, {} } do
  refused("f: n must be an integer, not ", check.integer, "f", "n", wrong)
end
refused("f: n must be an integer, not nil", check.integer, "f", "n", nil)
refused("at most 2147483647, not 1099511627776", check.int32, "f", "n", 2 ^ 40)
refused("at least -2147483648", check.int32, "f", "n", -2 ^ 31 - 1)
refused("at most 9007199254740992", check.int64, "f", "n", 2 ^ 54)
refused("at least 0, not -1", check.uint64, "f", "n", -1)
refused("at least 1, not 0", check.integer, "f", "n", 0, 1, 5)
refused("at most 5, not 6", check.integer, "f", "n", 6, 1, 5)
t.equal(check.int32("f", "n", -2 ^ 31), -2 ^ 31)
t.equal(check.int64("f", "n", 5LL), 5)

-- Others.
refused("f: x must be a number, not nan", check.number, "f", "x", 0 / 0)
refused('f: x must be a number, not "1"', check.number, "f", "x", "1")
refused("f: b must be true or false, not 1", check.boolean, "f", "b", 1)
refused("f: s must be a string, not 1", check.string, "f", "s", 1)
refused("f: s holds a zero byte", check.string, "f", "s", "a\0b")
refused("f: g must be a function, not a table", check["function"], "f", "g", { 1 })
refused("f: t must be a table, not nil", check.table, "f", "t", nil)
refused("f: x must be a tensor, not an empty table", check.tensor, "f", "x", {})
refused("f: x must be a tensor, not nil", check.tensor, "f", "x", nil)
t.equal(check.tensor_or_nil("f", "x", nil), nil)
refused("f: x must be a tensor, not false", check.tensor_or_nil, "f", "x", false)

-- Enums and lists.
local names = check.names { { "f32", 0 }, { "bf16", 2 } }
t.equal(check.enum("f", "type", "bf16", names), 2)
refused('f: type must be one of f32, bf16, not "bf61"; did you mean bf16?', check.enum, "f",
  "type", "bf61", names)
refused("f: type must be one of", check.enum, "f", "type", nil, names)
local array, count = check.array("f", "shape", { 2, 3 }, "int64_t")
t.equal(count, 2)
t.equal(tonumber(array[1]), 3)
refused("f: shape[2] must be an integer, not 1.5", check.array, "f", "shape", { 1, 1.5 }, "int64_t")
refused("f: shape must be a list, not 3", check.array, "f", "shape", 3, "int64_t")
refused("f: list[1] must be a tensor, not 3", check.array, "f", "list", { 3 }, "tain_tensor *")

-- Tables of options.
local specs = {
  size = { "integer", min = 1, default = 2 },
  name = { "string", optional = true },
  mode = { "choice", choices = { "fast", "slow" }, default = "fast" },
  list = { "integers", default = {} },
  must = { "number" },
}
local options = check.options("f", { must = 1 }, specs)
t.equal(options, { size = 2, mode = "fast", list = {}, must = 1 })
refused("f: unknown option sise; did you mean size?", check.options, "f", { sise = 1 }, specs)
refused("f: unknown option 1", check.options, "f", { "size" }, specs)
refused("f: must is missing", check.options, "f", nil, specs)
refused("f: size must be at least 1, not 0", check.options, "f", { size = 0, must = 1 }, specs)
refused("f: mode must be one of fast, slow, not \"fats\"; did you mean fast?", check.options, "f",
  { mode = "fats" }, specs)
refused("f: list[2] must be an integer", check.options, "f", { list = { 1, "x" } }, specs)
refused("f: options must be a table, not 3", check.options, "f", 3, specs)

-- The nearest name.
t.equal(check.nearest("sofmax", { "softmax", "silu" }), "softmax")
t.equal(check.nearest("ab", { "ba" }), "ba")
t.equal(check.nearest("xyzzy", { "softmax", "silu" }), nil)

-- The position is the caller's, also through a tail call.
local function tail(v) return check.int32("f", "n", v) end
local here = debug.getinfo(1, "l").currentline + 1
local _, message = pcall(function() tail(1.5) end)
t.equal(message, ("tests/lua/check.lua:%d: f: n must be an integer, not 1.5"):format(here))
