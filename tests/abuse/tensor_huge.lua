-- expect: tests/abuse/tensor_huge.lua:4: tensor: its sizes multiply to more than

local tain = require "tain"
tain.zeros(2 ^ 40, 2 ^ 40)
