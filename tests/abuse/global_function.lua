-- expect: tests/abuse/global_function.lua:3: 'helper' is not defined: write local helper to make it

function helper() end
