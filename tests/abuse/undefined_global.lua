-- expect: tests/abuse/undefined_global.lua:3: 'pirnt' is not defined; did you mean print?

pirnt(1)
