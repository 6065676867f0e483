--- Waiting for the one who watches: for a key, or for some seconds.

local ffi = require "ffi"
local check = require "tain.check"
local data = require "tain.data"
local host = require "tain.host"
local progress = require "tain.progress"

ffi.cdef "int poll(void *, unsigned long, int);"

local pause = {}

-- Seconds between two looks at whether the user asked to stop.
local SLICE = 0.05

--- One key, on a terminal without Enter.
---
--- @param keys string those that count, as one text: "ynq"
--- @return string? # one of them; nil when the input has ended
function pause.key(keys)
  check.string("key", "keys", keys)
  progress.clear()
  while true do
    data.poll()
    local typed = host.key(SLICE)
    if typed == "" then return nil end
    if typed and keys:find(typed, 1, true) then return typed end
  end
end

--- Waits for Enter, or so many seconds. Where the input has ended, Enter is not waited for.
---
--- @param seconds? number nil: until Enter
--- @return boolean # false when q was typed: the watcher wants to leave
function pause.pause(seconds)
  if seconds ~= nil then check.number("pause", "seconds", seconds, 0) end
  if not seconds then
    if host.terminal(0) then io.stdout:write "[Enter goes on, q ends]" end
    local typed = pause.key "\n qQ"
    if host.terminal(0) then io.stdout:write "\r\27[K" end
    return typed ~= "q" and typed ~= "Q"
  end
  local till = host.seconds() + seconds
  while host.seconds() < till do
    data.poll()
    local wait = math.min(SLICE, till - host.seconds())
    if host.terminal(0) then
      local typed = host.key(wait)
      if typed == "q" or typed == "Q" then return false end
      if typed == "\n" then return true end
    else
      ffi.C.poll(nil, 0, math.max(0, math.ceil(wait * 1000)))
    end
  end
  data.poll()
  return true
end

return pause
