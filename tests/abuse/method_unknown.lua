-- expect: tests/abuse/method_unknown.lua:4: a tensor has no rellu; did you mean relu?

local tain = require "tain"
tain.tensor({ 1 }):rellu()
