--- The time of day, for logs: it never goes back, though the system's clock may be set back. What is
--- measured, such as rates and the time left, is measured with host.seconds, which nobody can set.

local host = require "tain.host"

local clock = {}
local latest = 0
local FAR = 10 * 365 * 86400   -- farther ahead no earlier process was: a damaged file says so

--- Seconds since 1970, and never fewer than it gave before.
---
--- @return integer
function clock.time()
  latest = math.max(latest, host.wall())
  return latest
end

--- Says what an earlier process was given. Nothing comes of a time ten years ahead.
---
--- @param seconds integer
function clock.after(seconds)
  if seconds < host.wall() + FAR then latest = math.max(latest, seconds) end
end

return clock
