--- Checks the header against the program: every function that include/tain.h declares is in it.
---
---     build/tain lua/gen/header.lua
---
--- That the header loads in LuaJIT has been shown when this runs at all.

local ffi = require "ffi"

local declared, missing = 0, 0
for name in pairs(require "tain.names") do
  local symbol = name:find("^tain_") and name or "tain_" .. name   -- operations stand without
  local ok = pcall(function() return ffi.C[symbol] end) or pcall(ffi.typeof, symbol)
  declared = declared + 1
  if not ok then
    io.stderr:write(name, " is declared and not in the program\n")
    missing = missing + 1
  end
end
print(("%d names, %d missing"):format(declared, missing))
os.exit(missing == 0 and 0 or 1)
