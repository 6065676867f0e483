-- expect: tests/abuse/random_seed.lua:4: random: seed must be an integer, not 0.5

local tain = require "tain"
tain.random(0.5)
