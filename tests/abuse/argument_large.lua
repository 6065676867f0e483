-- expect: tests/abuse/argument_large.lua:4: slice: dim must be at most 2147483647, not 1099511627776

local tain = require "tain"
tain.tensor({ 1, 2 }):slice(2 ^ 40, 0, 1)
