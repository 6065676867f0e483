-- expect: tests/abuse/tensor_negative.lua:4: tensor: size -1 of dimension 0 is negative

local tain = require "tain"
tain.zeros(-1)
