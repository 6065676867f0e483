-- expect: tests/abuse/item_many.lua:4: item: x must have one element, not 2

local tain = require "tain"
tain.tensor({ 1, 2 }):item()
