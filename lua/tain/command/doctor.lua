--- tain doctor: one block to paste into a report: versions, system, devices with their limits, what
--- could end long work, disk, and whether this machine computes right.

local device = require "tain.device"
local host = require "tain.host"

local function say(name, format, ...)
  io.stdout:write(("%-12s %s\n"):format(name, format:format(...)))
end

local function first_line(path, pattern)
  local file = io.open(path, "r")
  local text = file and file:read "*a"
  if file then file:close() end
  return text and text:match(pattern or "^[^\n]*")
end

local function output(command)
  local pipe = io.popen(command .. " 2> /dev/null")
  local text = pipe:read "*a"
  pipe:close()
  return text
end

local function bytes(n)
  if n >= 2 ^ 30 then return ("%.1f GiB"):format(n / 2 ^ 30) end
  if n >= 2 ^ 20 then return ("%.0f MiB"):format(n / 2 ^ 20) end
  return ("%.0f KiB"):format(n / 2 ^ 10)
end

local function system()
  say("tain", "%s, %s, %s/%s", host.version, jit.version, jit.os, jit.arch)
  say("system", "%s, Linux %s, %s", first_line("/etc/os-release", 'PRETTY_NAME="([^"]*)') or "unknown",
    first_line "/proc/sys/kernel/osrelease" or "?", output "getconf GNU_LIBC_VERSION":gsub("%s+$", ""))
  local cores = select(2, (first_line("/proc/cpuinfo", ".*") or ""):gsub("processor%s*:", ""))
  local total = tonumber(first_line("/proc/meminfo", "MemTotal:%s*(%d+)")) or 0
  local free = tonumber(first_line("/proc/meminfo", "MemAvailable:%s*(%d+)")) or 0
  say("processor", "%s, %d threads; %s of memory, %s free",
    first_line("/proc/cpuinfo", "model name%s*:%s*([^\n]*)") or "unknown", cores, bytes(total * 1024),
    bytes(free * 1024))
  local left, where = output "df -Pk .":match "\n%S+%s+%d+%s+%d+%s+(%d+)%s+%S+%s+(%S+)"
  if left then
    say("disk", "%s free here (%s)%s", bytes(left * 1024), where,
      left * 1024 < 2 ^ 30 and "; a run may fill it" or "")
  end
end

-- What drivers do to work that takes too long, where they say it.
local function watchdogs()
  local found = {}
  local amd = first_line "/sys/module/amdgpu/parameters/lockup_timeout"
  if amd then found[#found + 1] = "amdgpu.lockup_timeout " .. (amd == "" and "default" or amd) end
  for line in output "grep -H . /sys/class/drm/card*/engine/*/preempt_timeout_ms":gmatch "[^\n]+" do
    found[#found + 1] = line:match "drm/(.*)$"
  end
  say("watchdog", "%s", #found > 0 and table.concat(found, ", ")
    or "none found; work is handed over in pieces of a tenth of a second anyway")
end

-- Drivers of which something is known, by what they say of themselves.
local known = {
  { "Mesa 20%.", "Mesa 20 is older than what tain is tested with; install a newer Mesa" },
  { "AMDVLK", "AMDVLK refuses buffers above 2 GiB; RADV is the better choice on Linux" },
}

local function devices()
  local ok, list = pcall(device.list)
  if not ok then
    say("devices", "%s", tostring(list))
    return false
  end
  for _, d in ipairs(list) do
    say("device " .. tostring(d.index), "%s (%s), %s, Vulkan %s", tostring(d.name), tostring(d.kind),
      tostring(d.driver), tostring(d.api))
    say("", "memory %s, a buffer %s, a binding %s, shared %s, %s lanes", bytes(d.memory or 0),
      bytes(d.allocation or 0), bytes(d.range or 0), bytes(d.shared or 0), tostring(d.lanes))
    for _, one in ipairs(known) do
      if tostring(d.driver):find(one[1]) then say("", "known: %s", one[2]) end
    end
  end
  if #list == 0 then
    say("devices", "none; a CPU driver is in Debian's package mesa-vulkan-drivers")
    return false
  end
  local chosen, banner = pcall(device.device)
  say("chosen", "%s", tostring(banner))
  if chosen then
    local wrong = banner:match "wrong here and not used: (.*)"
    say("kernels", "%s", wrong and "portable ones, because these are wrong on this driver: " .. wrong
      or "the fast ones, which were tried on this driver")
  end
  return chosen
end

local function environment()
  local set = {}
  for _, name in ipairs { "TAIN_DEVICE", "TAIN_LUA", "TAIN_PICTURES", "TAIN_UNPOOLED", "TAIN_PROFILE", "TAIN_LIMITS",
    "TAIN_READ", "TAIN_MATMUL", "TAIN_DOT", "TAIN_PASSES", "TAIN_FAULT",
    "VK_ICD_FILENAMES", "VK_DRIVER_FILES", "VK_INSTANCE_LAYERS", "LP_NUM_THREADS", "LP_NATIVE_VECTOR_WIDTH",
    "MESA_VK_DEVICE_SELECT" } do
    if os.getenv(name) then set[#set + 1] = name .. "=" .. os.getenv(name) end
  end
  say("environment", "%s", #set > 0 and table.concat(set, " ") or "nothing that changes tain")
end

local function quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function self_test()
  local text = output(quoted(host.folder .. "/tain") .. " check; echo =$?")
  local code = tonumber(text:match "=(%d+)%s*$")
  local wrong = {}
  for line in text:gmatch "[^\n]+" do
    if line:find "^WRONG" then wrong[#wrong + 1] = line end
  end
  say("self-test", "%s", code == 0 and "passed: every operation and the recorded models agree"
    or ("FAILED with %s; tain check shows all of it"):format(tostring(code)))
  for _, line in ipairs(wrong) do say("", "%s", line) end
  return code == 0
end

return {
  usage = "[--quick]",
  about = "one block to paste into a report: system, devices, limits, disk, self-test",
  run = function(arguments)
    if #arguments > 1 or arguments[1] and arguments[1] ~= "--quick" then
      io.stderr:write "tain: doctor takes only --quick, which leaves the self-test out\n"
      return 2
    end
    system()
    environment()   -- before a device is opened, which sets some of it
    local well = devices()
    watchdogs()
    if well and arguments[1] ~= "--quick" then well = self_test() end
    return well and 0 or 1
  end,
}
