-- expect: tests/abuse/error_nil.lua:3: an error that is not a string: nil

error(nil)
