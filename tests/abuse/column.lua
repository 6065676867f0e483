-- expect: tests/abuse/column.lua:4: column: item 2 has no prompt

local tain = require "tain"
tain.column({ { prompt = 1 }, {} }, "prompt")
