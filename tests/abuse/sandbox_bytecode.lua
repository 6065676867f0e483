-- expect: tests/abuse/sandbox_bytecode.lua:6: attempt to load chunk with wrong mode
-- arguments: --sandbox

local code = "\27LJ\2"
local f, why = load(code, "x", "b")
if not f then error(why) end
