-- expect: tests/abuse/syntax.lua:3: '=' expected near

this is not Lua
