-- expect: tests/abuse/tain_unknown.lua:4: tain has no jsonnl; did you mean jsonl?

local tain = require "tain"
tain.jsonnl("x")
