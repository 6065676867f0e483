-- expect: tests/abuse/batches_fraction.lua:4: batches: size must be an integer, not 1.5

local tain = require "tain"
tain.batches({}, { size = 1.5 })
