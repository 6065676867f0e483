--- Runs the tests and says how they went; the last line is `N passed, N failed, N skipped`.
---
---     luajit tests/run.lua BUILD JOBS PATTERN [asan|validate]
---
--- tests/*/*.c        a program in BUILD; exit status 0 passed, 77 skipped, anything else failed
--- tests/lua/*.lua    a recipe; the same. `-- luajit` on the first line: run by plain LuaJIT
--- tests/abuse/*.lua  `-- expect: message` on the first line: passed if it ends with that message on
---                    stderr and exit status 1. `-- arguments: …` on the second is its command line
---
--- PATTERN is make's: op/softmax, op/%, %. A test prints nothing when it passes; one that fails has
--- its log shown. `asan` fails a test of which the sanitizers say anything; `validate` adds the
--- Vulkan validation layer and fails a test of which it says anything.

local ffi = require "ffi"
ffi.cdef [[
  int poll(void *, unsigned long, int);
  struct run_time { long seconds, nanoseconds; };
  int clock_gettime(int, struct run_time *);
]]

local build, jobs, pattern, mode = arg[1], tonumber(arg[2]) or 1, arg[3] or "%", arg[4]
local limit = 900   -- seconds a test may take

local function now()
  local t = ffi.new("struct run_time")
  ffi.C.clock_gettime(1, t)
  return tonumber(t.seconds) + 1e-9 * tonumber(t.nanoseconds)
end

local function read(path)
  local file = io.open(path, "rb")
  local text = file and file:read("*a") or ""
  if file then file:close() end
  return text
end

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

-- ---- What there is to run ----

-- Whether a name fits the pattern: % is any text, everything else is itself.
local parts = {}
for part in (pattern .. "%"):gmatch("(.-)%%") do parts[#parts + 1] = part:gsub("%W", "%%%0") end
local wanted = "^" .. table.concat(parts, ".*") .. "$"

local tests = {}
local list = io.popen("ls tests/*/*.c tests/lua/*.lua tests/abuse/*.lua 2>/dev/null")
for path in list:lines() do
  local name, kind = path:match("^tests/(.*)%.(%a+)$")
  if name:find(wanted) then
    local test = { name = name, log = build .. "/tests/" .. name .. ".log" }
    if kind == "c" then
      test.command = build .. "/tests/" .. name
    else
      local text = read(path)
      local first, second = text:match("^([^\n]*)\n?([^\n]*)")
      test.expect = name:find("^abuse/")
        and (first:match("^%-%- expect: (.+)$") or error(path .. ": no -- expect:"))
      test.command = first:find("-- luajit", 1, true) and "luajit " .. path
        or build .. "/tain " .. path .. " " .. (second:match("^%-%- arguments: (.+)$") or "")
    end
    tests[#tests + 1] = test
  end
end
list:close()

-- Tensors usually share blocks of memory that are bound whole, with offsets the layer cannot see;
-- TAIN_UNPOOLED gives each its own, so that what it says of two dispatches is about two tensors.
local environment = ""
if mode == "validate" then
  local layer = io.popen("ls /usr/share/vulkan/explicit_layer.d /etc/vulkan/explicit_layer.d "
    .. "/usr/local/share/vulkan/explicit_layer.d 2>/dev/null")
  if not layer:read("*a"):find("validation") and not os.getenv("VK_LAYER_PATH") then
    io.stderr:write("there is no validation layer: install vulkan-validationlayers\n")
    os.exit(1)
  end
  layer:close()
  environment = "TAIN_UNPOOLED=1 VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation VK_LAYER_ENABLES="
    .. "VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT:"
    .. "VALIDATION_CHECK_ENABLE_SYNCHRONIZATION_VALIDATION_QUEUE_SUBMIT "
end

-- ---- Running ----

local function start(test)
  local folder = test.log:match("^(.*)/")
  test.status = test.log .. ".status"
  os.remove(test.status)
  test.started = now()
  os.execute(("mkdir -p %s; { %stimeout -k 10 %d %s > %s 2>&1 < /dev/null; echo $? > %s; } &"):format(
    quote(folder), environment, limit, test.command, quote(test.log), quote(test.status)))
end

local function verdict(test, status)
  local log = read(test.log)
  if status == 124 or status == 137 then
    return "FAILED", ("took more than %d seconds"):format(limit)
  end
  if mode == "validate" and (log:find("Validation %u%l+:") or log:find("VUID%-")
    or log:find("SYNC%-HAZARD")) then
    return "FAILED", "the validation layer said something"
  end
  if mode == "asan" and (log:find("ERROR: %a+Sanitizer")
    or log:find("runtime error:", 1, true)) then
    return "FAILED", "the sanitizer said something"
  end
  if test.expect then
    if status ~= 1 then return "FAILED", ("exit status %d, not 1"):format(status) end
    if not log:find(test.expect, 1, true) then
      return "FAILED", "it does not say: " .. test.expect
    end
    return "ok"
  end
  return status == 0 and "ok" or status == 77 and "skip" or "FAILED",
    status > 128 and ("ended by signal %d"):format(status - 128)
      or ("exit status %d"):format(status)
end

local count = { ok = 0, skip = 0, FAILED = 0 }
local running, nexts = {}, 1
while nexts <= #tests or #running > 0 do
  while #running < jobs and nexts <= #tests do
    start(tests[nexts])
    running[#running + 1] = tests[nexts]
    nexts = nexts + 1
  end
  ffi.C.poll(nil, 0, 10)
  for i = #running, 1, -1 do
    local test = running[i]
    local status = tonumber(read(test.status):match("^(%d+)\n"))
    if status then
      local seconds = now() - test.started
      local result, why = verdict(test, status)
      table.remove(running, i)
      os.remove(test.status)
      count[result] = count[result] + 1
      print(("%-7s %-36s %6.2f"):format(result, test.name, seconds))
      if result == "FAILED" then
        print("        " .. why .. "; " .. test.command)
        local log = read(test.log)
        if #log > 8000 then log = log:sub(1, 4000) .. "\n…\n" .. log:sub(-4000) end
        io.write(log, (log == "" or log:find("\n$")) and "" or "\n")
      end
      io.stdout:flush()
    end
  end
end

print(("%d passed, %d failed, %d skipped"):format(count.ok, count.FAILED, count.skip))
os.exit(count.FAILED == 0 and 0 or 1)
