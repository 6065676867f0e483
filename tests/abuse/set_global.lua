-- expect: tests/abuse/set_global.lua:3: 'count' is not defined: write local count to make it

count = 3
