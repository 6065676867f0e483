-- expect: tests/abuse/sandbox_metatable.lua:6: attempt to index local 'meta' (a boolean value)
-- arguments: --sandbox

local tain = require "tain"
local meta = getmetatable(tain.tensor({ 1 }))
meta.__index = 3
