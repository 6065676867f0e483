-- expect: tests/abuse/scope_nothing.lua:4: scope: fn must be a function, not nil

local tain = require "tain"
tain.scope()
