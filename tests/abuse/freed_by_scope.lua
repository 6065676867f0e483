-- expect: tests/abuse/freed_by_scope.lua:6: exp: x was freed by the end of its scope

local tain = require "tain"
local x
tain.scope(function() x = tain.tensor { 1 } end)
x:exp()
