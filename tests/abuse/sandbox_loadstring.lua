-- expect: tests/abuse/sandbox_loadstring.lua:4: 'loadstring' is not defined
-- arguments: --sandbox

loadstring("x")
