-- expect: tests/abuse/handle_forged.lua:5: exp: x must be a tensor, not a table

local tain = require "tain"
local exp = tain.tensor({ 1 }).exp
exp({ handle = 1 })
