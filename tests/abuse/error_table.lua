-- expect: tests/abuse/error_table.lua:3: an error that is not a string: a table

error({ 1 })
