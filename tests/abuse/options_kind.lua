-- expect: tests/abuse/options_kind.lua:4: options: n must be of kind

local tain = require "tain"
tain.options { n = { "int" } }
