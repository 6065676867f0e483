-- expect: tests/abuse/json_function.lua:4: json: a.b is a function, which JSON cannot say

local tain = require "tain"
tain.json.encode { a = { b = print } }
