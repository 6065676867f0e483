-- expect: tests/abuse/log_nothing.lua:4: log: row must be a table, not nil

local tain = require "tain"
tain.log()
