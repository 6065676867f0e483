-- expect: tests/abuse/sandbox_os.lua:4: attempt to call field 'execute'
-- arguments: --sandbox

os.execute("true")
