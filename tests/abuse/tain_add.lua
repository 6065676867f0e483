-- expect: tests/abuse/tain_add.lua:4: tain.mine: nothing can be added to tain

local tain = require "tain"
tain.mine = 3
