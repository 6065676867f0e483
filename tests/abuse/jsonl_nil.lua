-- expect: tests/abuse/jsonl_nil.lua:4: jsonl: path must be a string, not nil

local tain = require "tain"
for _ in tain.jsonl() do end
