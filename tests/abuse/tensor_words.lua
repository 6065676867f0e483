-- expect: tests/abuse/tensor_words.lua:4: tensor: values[2] must be a number, not "b"

local tain = require "tain"
tain.tensor { 1, "b" }
