-- expect: tests/abuse/tensor_ragged.lua:4: tensor: values[2] has 1 items where the first has 2

local tain = require "tain"
tain.tensor { { 1, 2 }, { 3 } }
