-- expect: tests/abuse/backward_number.lua:4: backward: the function must return a tensor of one element, not 3

local tain = require "tain"
tain.backward(function() return 3 end)
