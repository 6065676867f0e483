-- expect: tests/abuse/log_tensor.lua:4: log: loss must be a number, a string or a boolean, not a tensor: write loss:item()

local tain = require "tain"
tain.log { loss = tain.tensor(1) }
