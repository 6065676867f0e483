-- expect: tests/abuse/sandbox_debug.lua:4: 'debug' is not defined
-- arguments: --sandbox

debug.getregistry()
