-- expect: tests/abuse/options_unread.lua:5: options: no option is called imges; did you mean images?

local tain = require "tain"
local opt = tain.options { images = { "integer", default = 1 } }
print(opt.imges)
