-- expect: tests/abuse/tensor_many_dims.lua:4: tensor: 9 dimensions

local tain = require "tain"
tain.zeros(1, 1, 1, 1, 1, 1, 1, 1, 1)
