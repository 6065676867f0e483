--- The events of a run, and how a run goes on: it is played again from its start, and whatever it
--- says is held against what is recorded, until the record ends.
---
--- A loop is deterministic, so replaying costs only what is not recorded: results come from the
--- record (see run:once), and what is said again must be said in the same bytes.

local ffi = require "ffi"
local check = require "tain.check"
local host = require "tain.host"
local json = require "tain.json"
local own = require "tain.own"

local C = ffi.C
local events = {}

local PATIENCE = 1   -- seconds that an event may wait for the next flush

--- @class Events
--- @field lines string[] the members of each event, as text
--- @field at integer how many events the recipe has made or passed
local Events = {}
Events.__index = Events

-- JSON has no NaN and no infinity; that a loss became one must not be what ends a run.
local function sayable(value)
  if type(value) == "number" and (value ~= value or value == math.huge or value == -math.huge) then
    return value ~= value and "nan" or value > 0 and "inf" or "-inf"
  elseif type(value) == "table" and not own.kind(value) and value ~= json.null then
    local copy = setmetatable({}, getmetatable(value))
    for key, inner in pairs(value) do copy[key] = sayable(inner) end
    return copy
  end
  return value
end

--- Opens the events of a run.
---
--- @param path string
--- @param write boolean false only reads, also while another process writes
--- @return Events
function events.open(path, write)
  local self = setmetatable({ path = path, lines = {}, at = 0, synced = true, due = 0 }, Events)
  local handle = check.made(C.tain_events_open(path, write))
  own.keep(own.adopt(self, handle, C.tain_events_free, "log"))
  local at, line, count = ffi.new("int64_t[1]"), ffi.new("const char *[1]"), ffi.new("int64_t[1]")
  while check.status(C.tain_events_next(handle, at, line, count)) == 1 do
    local text = ffi.string(line[0], tonumber(count[0]))
    self.lines[#self.lines + 1] = text:match('^{"seq":%d+,?(.*),"crc":"%x+"}$') or ""
  end
  self.recorded = #self.lines
  self.trimmed = tonumber(C.tain_events_trimmed(handle))
  return self
end

--- An event as a table.
---
--- @param index integer
--- @return table
function Events:get(index)
  -- A checksum that is right says that the line is as it was written, not that it is JSON.
  local event, problem = json.decode("{" .. self.lines[index] .. "}")
  if not event then check.raise("run: event %d of %s is damaged: %s", index, self.path, problem) end
  return event
end

--- How an event is written: its members sorted by name, so equal events are equal bytes.
---
--- @param event table
--- @return string
function events.text(event)
  return json.encode(sayable(event)):sub(2, -2)
end

--- Whether the next event is this one and recorded already.
---
--- @param event table
--- @return boolean
function Events:expects(event)
  return self.at < self.recorded and self.lines[self.at + 1] == events.text(event)
end

local function short(text)
  return #text > 160 and text:sub(1, 157) .. "..." or text
end

--- Adds an event, or passes over it if it is recorded already.
---
--- @param event table
--- @return boolean fresh whether it was added
function Events:add(event)
  local text = events.text(event)
  if self.at < self.recorded then
    local recorded = self.lines[self.at + 1]
    if recorded ~= text then
      check.raise("run: going on went another way than the run did: event %d of %s is {%s} and is "
        .. "now {%s}. Was the recipe, a file it reads, or the device changed?", self.at + 1,
        self.path, short(recorded), short(text))
    end
    self.at = self.at + 1
    return false
  end
  local handle = check.object("event", "run", self, "log")
  local object = "{" .. text .. "}"
  check.status(C.tain_events_add(handle, object, #object))
  self.at = self.at + 1
  self.lines[self.at], self.recorded = event.kind == "done" and text or "", self.at
  local now = host.seconds()
  if self.synced then self.synced, self.due = false, now + PATIENCE end
  if now > self.due then self:sync() end
  return true
end

--- Waits until every event is on disk.
function Events:sync()
  if self.synced then return end
  check.status(C.tain_events_sync(check.object("sync", "run", self, "log")))
  self.synced = true
end

function Events:close()
  if own.handle(self) == nil then return end
  self:sync()
  own.free(self, C.tain_events_free, "close")
end

return events
