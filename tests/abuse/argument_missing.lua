-- expect: tests/abuse/argument_missing.lua:4: scale: a must be a number, not nil

local tain = require "tain"
tain.tensor({ 1, 2 }):scale()
