--- tain devices: what could compute.

local device = require "tain.device"
local json = require "tain.json"
local settings = require "tain.settings"

return {
  about = "what could compute; --device takes a number or a part of a name",
  run = function()
    local list = device.list()
    for i, d in ipairs(list) do
      if settings.json then
        print(json.encode(d))
      else
        print(("%d  %s"):format(d.index or i - 1, tostring(d.name)))
        for name, value in require("tain.data").sorted(d) do
          if name ~= "index" and name ~= "name" then
            print(("     %-10s %s"):format(name, type(value) == "table" and json.encode(value)
              or tostring(value)))
          end
        end
      end
    end
    if #list == 0 then
      io.stderr:write("tain: there is no Vulkan device; a CPU driver is in mesa-vulkan-drivers\n")
      return 1
    end
  end,
}
