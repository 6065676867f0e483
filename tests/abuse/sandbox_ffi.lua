-- expect: tests/abuse/sandbox_ffi.lua:4: require: ffi is not available under --sandbox
-- arguments: --sandbox

require "ffi"
