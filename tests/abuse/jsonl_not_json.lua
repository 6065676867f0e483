-- expect: tests/abuse/jsonl_not_json.lua:4: jsonl: LICENSE:1: byte 1: no value

local tain = require "tain"
tain.jsonl("LICENSE")
