-- expect: tests/abuse/tensor_nil.lua:4: tensor: values must be a number or a table, not nil

local tain = require "tain"
tain.tensor()
