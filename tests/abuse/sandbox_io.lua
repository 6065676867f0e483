-- expect: tests/abuse/sandbox_io.lua:4: 'io' is not defined
-- arguments: --sandbox

io.open("/etc/passwd")
