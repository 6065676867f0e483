-- expect: tests/abuse/number_for_function.lua:4: no_grad: fn must be a function, not 3

local tain = require "tain"
tain.no_grad(3)
