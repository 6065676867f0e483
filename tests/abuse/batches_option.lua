-- expect: tests/abuse/batches_option.lua:4: batches: unknown option epoch; did you mean epochs?

local tain = require "tain"
for _ in tain.batches({}, { epoch = 3 }) do end
