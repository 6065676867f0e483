-- expect: tests/abuse/method_dot.lua:4: exp: x must be a tensor, not nil

local tain = require "tain"
tain.tensor({ 1 }).exp()
