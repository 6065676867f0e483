-- expect: tests/abuse/freed_by_hand.lua:7: numbers: x was freed by free

local tain = require "tain"
local x = tain.tensor { 1 }
x:free()
x:free()
x:numbers()
