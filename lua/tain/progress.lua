--- How far something is, on stderr: one line that is rewritten on a terminal, a plain line each ten
--- seconds elsewhere, nothing under --quiet.

local check = require "tain.check"
local host = require "tain.host"
local settings = require "tain.settings"

local progress = {}

local shown = false   -- whether a line that must be cleared stands on the terminal

--- @class Progress
local Progress = {}
Progress.__index = Progress

--- Wipes the line, before something else is written.
function progress.clear()
  if shown then
    io.stderr:write("\r\27[K")
    io.stderr:flush()
    shown = false
  end
end

local function clock(seconds)
  seconds = math.floor(seconds + 0.5)
  if seconds >= 3600 then
    return ("%d:%02d:%02d"):format(seconds / 3600, seconds / 60 % 60, seconds % 60)
  end
  return ("%d:%02d"):format(seconds / 60, seconds % 60)
end

--- Starts counting.
---
--- @param options? table label, total (how many there will be, when that is known)
--- @return Progress
function progress.progress(options)
  options = check.options("progress", options, {
    label = { "string", default = "" },
    total = { "integer", min = 0, optional = true },
  })
  local now = host.seconds()
  return setmetatable({
    label = options.label, total = options.total, count = 0, started = now,
    every = host.terminal(2) and 0.1 or 10, due = host.terminal(2) and now or now + 10,
  }, Progress)
end

-- "judging 12/100  12%  3.4/s  0:25 left"
local function line(self, now)
  local seconds = now - self.started
  local rate = seconds > 0 and self.count / seconds or 0
  local parts = { (self.label ~= "" and self.label .. " " or "") .. self.count }
  if self.total then
    parts[1] = parts[1] .. "/" .. self.total
    parts[2] = ("%d%%"):format(self.total > 0 and 100 * self.count / self.total or 100)
  end
  parts[#parts + 1] = (rate >= 1 or rate == 0) and ("%.1f/s"):format(rate)
    or ("%.1f s each"):format(1 / rate)
  if self.total and self.count > 0 and self.count < self.total then
    parts[#parts + 1] = clock((self.total - self.count) / rate) .. " left"
  end
  return table.concat(parts, "  ")
end

--- Counts further.
---
--- @param n? integer default 1
function Progress:step(n)
  self.count = self.count + (n or 1)
  local now = host.seconds()
  if settings.quiet or now < self.due then return end
  self.due = now + self.every
  if host.terminal(2) then
    io.stderr:write("\r", line(self, now), "\27[K")
    shown = true
  else
    io.stderr:write(line(self, now), "\n")
  end
  io.stderr:flush()
end

--- Ends it; the line goes away.
function Progress:done()
  progress.clear()
end

return progress
