--- How a command says that its arguments are wrong: a sentence, and the exit code for it.
---
---     if not files.exists(path) then return fail("%s is missing", path) end

local function fail(format, ...)
  io.stderr:write("tain: ", format:format(...), "\n")
  return 2
end

return fail
