-- expect: tests/abuse/sandbox_getfenv.lua:4: 'getfenv' is not defined
-- arguments: --sandbox

getfenv(1)
