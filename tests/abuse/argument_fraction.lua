-- expect: tests/abuse/argument_fraction.lua:4: slice: dim must be an integer, not 1.5

local tain = require "tain"
tain.tensor({ 1, 2 }):slice(1.5, 0, 1)
