-- expect: tests/abuse/require_number.lua:3: require: the module's name must be a string, not 3

require(3)
