-- expect: tests/abuse/argument_tail_call.lua:5: slice: dim must be an integer, not nil

local tain = require "tain"
local function part(x) return x:slice() end
part(tain.tensor { 1, 2 })
