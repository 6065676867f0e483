-- expect: tests/abuse/jsonl_missing.lua:4: jsonl: cannot open /nonexistent/x.jsonl

local tain = require "tain"
tain.jsonl("/nonexistent/x.jsonl")
