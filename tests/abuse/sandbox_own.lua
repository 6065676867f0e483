-- expect: tests/abuse/sandbox_own.lua:4: require: tain.own is not available under --sandbox
-- arguments: --sandbox

require "tain.own"
