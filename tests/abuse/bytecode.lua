-- expect: tests/abuse/bytecode.lua:4: attempt to load chunk with wrong mode

local f, why = load(string.dump(function() end), "x", "t")
if not f then error(why) end
