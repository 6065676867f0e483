-- expect: tests/abuse/argument_nan.lua:4: slice: start must be an integer, not nan

local tain = require "tain"
tain.tensor({ 1, 2 }):slice(0, 0 / 0, 1)
