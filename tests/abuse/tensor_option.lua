-- expect: tests/abuse/tensor_option.lua:4: tensor: unknown option tpye; did you mean type?

local tain = require "tain"
tain.tensor({ 1 }, { tpye = "f16" })
