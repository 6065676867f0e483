-- expect: tests/abuse/operator_string.lua:4: add: b must be a tensor, not "x"

local tain = require "tain"
print(tain.tensor({ 1 }) + "x")
