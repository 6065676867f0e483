--- tain version: which build this is.

local host = require "tain.host"

return {
  about = "which build this is",
  run = function()
    print(("tain %s, %s, %s"):format(host.version, jit.version, jit.os .. "/" .. jit.arch))
  end,
}
