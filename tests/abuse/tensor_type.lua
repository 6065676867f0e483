-- expect: tests/abuse/tensor_type.lua:4: tensor: type must be one of f32, f16, bf16, i32

local tain = require "tain"
tain.tensor({ 1 }, { type = "f8" })
