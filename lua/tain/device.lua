--- The device of this process: one, opened when it is first needed.

local ffi = require "ffi"
local check = require "tain.check"
local json = require "tain.json"
local own = require "tain.own"
local settings = require "tain.settings"

local C = ffi.C
local device = {}
local opened   -- the object that owns it

--- The open device, for calls into C.
---
--- @return ffi.cdata* tain_device *
function device.handle()
  if not opened then
    local handle = check.made(C.tain_device_open(settings.device))
    opened = own.keep(own.adopt({}, handle, C.tain_device_free, "device"))
    if settings.max_memory then check.status(C.tain_device_limit(handle, settings.max_memory)) end
  end
  return (own.handle(opened))
end

--- What the process computes on, in one line that people paste into reports.
---
--- @return string
function device.device()
  return ffi.string(check.made(C.tain_device_banner(device.handle())))
end

--- Every Vulkan device of the machine, as described by its driver.
---
--- @return table[]
function device.list()
  local list = {}
  for i = 0, check.status(C.tain_device_count()) - 1 do
    local text = ffi.string(check.made(C.tain_device_describe(i)))
    local described, problem = json.decode(text)
    if problem then error("device description: " .. problem .. ": " .. text, 0) end
    list[#list + 1] = described
  end
  return list
end

return device
