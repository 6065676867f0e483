-- expect: tests/abuse/shape.lua:4: reshape: 

local tain = require "tain"
tain.tensor({ 1, 2, 3 }):reshape { 2, 2 }
