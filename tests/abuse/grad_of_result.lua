-- expect: tests/abuse/grad_of_result.lua:4: 

local tain = require "tain"
tain.tensor({ 1 }, { type = "i32", grad = true })
