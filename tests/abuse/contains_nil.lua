-- expect: tests/abuse/contains_nil.lua:4: contains: list must be a table, not nil

local tain = require "tain"
tain.contains(nil, 1)
