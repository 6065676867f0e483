--- Waiting for the one who watches: until Enter, or for some seconds.

local ffi = require "ffi"
local check = require "tain.check"
local data = require "tain.data"
local host = require "tain.host"
local progress = require "tain.progress"

ffi.cdef [[
struct tain_poll { int fd; short events, happened; };
int poll(struct tain_poll *, unsigned long, int);
]]

local pause = {}

-- Milliseconds between two looks at whether the user asked to stop.
local SLICE = 50

-- Whether a line, or the end of all lines, can be read without waiting.
local function ready()
  local one = ffi.new("struct tain_poll[1]", { { fd = 0, events = 1 } })
  return ffi.C.poll(one, 1, SLICE) > 0
end

--- Waits for Enter, or so many seconds. What is no terminal and has no more lines waits for nobody.
---
--- @param seconds? number nil: until Enter
--- @return boolean # false when a line was typed that begins with q: the watcher wants to leave
function pause.pause(seconds)
  if seconds ~= nil then check.number("pause", "seconds", seconds, 0) end
  if seconds then
    local till = host.seconds() + seconds
    while host.seconds() < till do
      data.poll()
      ffi.C.poll(nil, 0, math.max(0, math.min(SLICE, math.ceil((till - host.seconds()) * 1000))))
    end
    data.poll()
    return true
  end
  progress.clear()
  if host.terminal(0) then io.stdout:write("[Enter goes on, q ends] ") end
  io.stdout:flush()
  repeat data.poll() until ready()
  local line = io.read "*l"
  data.poll()
  return not (line and line:find "^%s*[qQ]")
end

return pause
