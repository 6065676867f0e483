-- expect: tests/abuse/operator_table.lua:4: mul: a must be a tensor, not a table

local tain = require "tain"
print({ 1 } * tain.tensor({ 1 }))
