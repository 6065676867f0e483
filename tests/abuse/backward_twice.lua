-- expect: tests/abuse/backward_twice.lua:5: 

local tain = require "tain"
local x = tain.tensor(1, { grad = true })
tain.backward(function() return tain.backward(function() return x * 2 end) end)
