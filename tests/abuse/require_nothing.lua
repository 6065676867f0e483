-- expect: tests/abuse/require_nothing.lua:3: require: there is no module nosuch beside the recipe

require "nosuch"
