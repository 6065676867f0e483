--- What the command line said: the host's own options, and the recipe's arguments.
---
--- Filled in by main.lua before anything else runs.

return {
  device = nil,      -- string: index or part of a name
  max_memory = nil,  -- bytes of device memory at most
  json = false,      -- log lines as JSON
  quiet = false,     -- no progress, no log lines on the terminal
  sandbox = false,
  debug = false,     -- tracebacks
  recipe = nil,      -- path as given
  arguments = {},    -- what follows the recipe, without the host's own options
}
