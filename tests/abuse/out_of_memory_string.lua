-- expect: tests/abuse/out_of_memory_string.lua:4: string length overflow

local s = "x"
for _ = 1, 40 do s = s .. s end
