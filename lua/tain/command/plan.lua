--- tain plan: how much device memory a model will need, phase by phase, without loading it.

local device = require "tain.device"
local json = require "tain.json"
local options = require "tain.options"
local plan = require "tain.plan"
local settings = require "tain.settings"

local function say(format, ...) io.stdout:write(format:format(...), "\n") end

local function size(bytes)
  if bytes >= 10 * 2 ^ 30 then return ("%.1f GiB"):format(bytes / 2 ^ 30) end
  return bytes >= 2 ^ 20 and ("%.0f MiB"):format(bytes / 2 ^ 20) or ("%.0f KiB"):format(bytes / 2 ^ 10)
end

-- What may be taken: what the user allows, else what the device says it has. A CPU driver takes the
-- machine's memory, and some say a size that has nothing to do with it.
local function room()
  if settings.max_memory then return settings.max_memory, "--max-memory" end
  local most, name = 0, nil
  for _, one in ipairs(device.list()) do
    if device.device():find(one.name, 1, true) then most, name = one.memory, one.name end
    if name == one.name and one.kind == "cpu" then
      local file = io.open("/proc/meminfo", "rb")
      local total = file and file:read("*a"):match "MemTotal:%s*(%d+) kB"
      if file then file:close() end
      if total then most, name = total * 1024, "the machine" end
    end
  end
  return most, name
end

local about = [[
tain plan MODEL [--option value …]

Tells how much device memory each phase of a loop has at once: by doing it on a device that counts and
does not compute. MODEL is a folder, or a name in the cache of Hugging Face; its weights need not be there.

]]

return {
  usage = "MODEL [--option value …]",
  about = "how much memory a model will need, phase by phase, before it is loaded; --help lists options",
  help = function() return about end,
  run = function(arguments)
    local specs = { model = { "model", positional = 1, help = "a model" } }
    for name, spec in pairs(plan.options) do specs[name] = spec end
    for _, one in ipairs(arguments) do
      if one == "--help" or one == "-h" then io.write(about) end
    end
    settings.recipe, settings.arguments = "tain plan", arguments
    local given = {}
    for name, value in pairs(options.options(specs)) do given[name] = value end
    local folder, limit, whose = given.model, room()
    given.model = nil
    settings.max_memory = nil   -- counting goes on beyond it
    plan.count()
    local rows = plan.phases(folder, given)
    if settings.json then
      for _, row in ipairs(rows) do
        say("%s", json.encode { phase = row.phase, about = row.about, bytes = row.bytes,
          fits = row.bytes and row.bytes <= limit })
      end
      return 0
    end
    say("%s on %s", folder, device.device())
    local most = 0
    for _, row in ipairs(rows) do
      say("%-8s %10s  %s", row.phase, row.bytes and size(row.bytes) or "-", row.about)
      most = math.max(most, row.bytes or 0)
    end
    if most <= limit then
      say("At most %s; %s allows %s.", size(most), whose or "the device", size(limit))
      return 0
    end
    say("At most %s, and %s allows %s. Less is needed with fewer --images and a smaller --batch, with\n"
      .. "--recompute, with --lora, with --cache bf16, and with --storage bf16, int8 or int4.",
      size(most), whose or "the device", size(limit))
    return 1
  end,
}
