-- expect: tests/abuse/backward_many.lua:5: backward: 

local tain = require "tain"
local x = tain.tensor({ 1, 2 }, { grad = true })
tain.backward(function() return x * 2 end)
