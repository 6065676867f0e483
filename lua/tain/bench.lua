--- Measuring: how long work takes, and how near that is to what the device can do at most.
---
--- A work is { about =, options =, jobs = }: `jobs` takes the options' values and gives a list of
--- jobs, and a function that frees what they stand on. A job is
---
---     { work =, shape =, storage =,
---       flops =,              -- floating point operations that the work is made of
---       bytes =,              -- what must go through memory at the least: every input, every result
---       run =,                -- does it; tensors made in it end with it
---       before = }            -- is not measured: what a run needs that the one before has used up
---
--- The works are in bench/ops.lua and bench/models.lua.

local ffi = require "ffi"
local check = require "tain.check"
local data = require "tain.data"
local device = require "tain.device"
local host = require "tain.host"
local json = require "tain.json"
local tensor = require "tain.tensor"

local C = ffi.C
local bench = {}

--- The works by their names.
bench.works = {}
for _, part in ipairs { "ops", "models" } do
  for name, work in pairs(require("tain.bench." .. part)) do bench.works[name] = work end
end

-- ---- Time ----

local LEAST, MOST, SECONDS = 5, 1000, 1   -- runs, and how long they go on when no count is given

--- Does a job once and waits for the device.
---
--- @return number seconds
function bench.once(job)
  data.poll()
  if job.before then job.before() end
  local handle = device.handle()
  check.status(C.tain_device_wait(handle))
  local start = host.seconds()
  tensor.scope(job.run)
  check.status(C.tain_device_wait(handle))
  return host.seconds() - start
end

--- The number in the middle.
---
--- @param list number[]
function bench.median(list)
  local sorted = {}
  for i, one in ipairs(list) do sorted[i] = one end
  table.sort(sorted)
  local n = #sorted
  return n % 2 == 1 and sorted[(n + 1) / 2] or (sorted[n / 2] + sorted[n / 2 + 1]) / 2
end

--- Does a job so often that its time is known. The first run is not counted: in it the driver compiles
--- shaders.
---
--- @param job table
--- @param repeats? integer as many as fit in a second, at least 5
--- @return number[] seconds
function bench.time(job, repeats)
  bench.once(job)
  local times, start = {}, host.seconds()
  repeat
    times[#times + 1] = bench.once(job)
    local enough = #times >= LEAST and host.seconds() - start > SECONDS or #times >= MOST
  until #times == repeats or not repeats and enough
  return times
end

-- ---- The roof ----

local TURNS, READ = 60000, 256 * 2 ^ 20   -- at most; bytes, more than caches hold
local roof   -- measured once

local function least(times)
  local best = math.huge
  for _, one in ipairs(times) do best = math.min(best, one) end
  return best
end

-- So much arithmetic that starting it is no matter.
local function arithmetic()
  local job = { turns = 8 }
  function job.run() job.flops = check.status(C.tain_roof_arithmetic(device.handle(), job.turns)) end
  bench.once(job)
  while bench.once(job) < 0.02 and job.turns < TURNS do job.turns = math.min(2 * job.turns, TURNS) end
  return job
end

local function reading(bytes)
  local x = tensor.zeros({ math.floor(bytes / 4) })
  local job = {}
  function job.run()
    job.bytes = check.status(C.tain_roof_reading(check.tensor("roof", "x", x)))
  end
  function job.free() x:free() end
  return job
end

--- What the device can do at most, by shaders that do nothing else: multiply-adds in f32, and reading
--- memory. The best of several runs, because nothing can be faster than the limit, only slower.
---
--- @param options? table bytes (to read), repeats
--- @return table # { gflops =, gbs = } and the seconds of each: arithmetic, reading
function bench.roof(options)
  if roof then return roof end
  options = check.options("roof", options, {
    bytes = { "integer", default = READ, min = 2 ^ 16 },
    repeats = { "integer", optional = true, min = 1 },
  })
  local compute, read = arithmetic(), reading(options.bytes)
  local made = { arithmetic = least(bench.time(compute, options.repeats)),
    reading = least(bench.time(read, options.repeats)) }
  read.free()
  made.gflops, made.gbs = compute.flops / made.arithmetic / 1e9, read.bytes / made.reading / 1e9
  roof = made
  return roof
end

-- ---- Rows ----

-- Six digits are more than a clock knows.
local function short(number) return tonumber(("%.6g"):format(number)) end

-- What a job's time is worth. The limit is the roof's time for the same work: whichever of
-- arithmetic and reading takes longer.
local function row(job, seconds)
  local limit = math.max(job.flops / bench.roof().gflops, job.bytes / bench.roof().gbs) / 1e9
  return { work = job.work, shape = job.shape, storage = job.storage, ms = short(1e3 * seconds),
    gflops = short(job.flops / seconds / 1e9), gbs = short(job.bytes / seconds / 1e9),
    limit_share = short(limit / seconds) }
end

-- The limits as a work like the others, but that its rows are there already.
bench.works.roof = {
  about = "what the device can do at most: multiply-adds, and reading memory",
  options = {},
  rows = function()
    local r = bench.roof()
    local function line(shape, seconds, gflops, gbs)
      return { work = "roof", shape = shape, storage = "f32", ms = short(1e3 * seconds),
        gflops = short(gflops), gbs = short(gbs), limit_share = 1 }
    end
    return { line("arithmetic", r.arithmetic, r.gflops, 0), line("reading", r.reading, 0, r.gbs) }
  end,
}

--- The options of a work: its own, and how often it is done.
---
--- @param name string
--- @return table # for tain.options
function bench.options(name)
  local specs = { repeats = { "integer", optional = true, min = 1,
    help = "runs to take the median of; as many as fit in a second if none" } }
  for option, spec in pairs(bench.works[name].options) do specs[option] = spec end
  return specs
end

--- The jobs of a work, for whoever measures by himself.
---
--- @param name string
--- @param given? table options
--- @return table[] jobs, function close frees what they stand on
function bench.jobs(name, given)
  local options = check.options("bench " .. name, given, bench.options(name))
  return bench.works[name].jobs(options)
end

--- Measures a work.
---
--- @param name string
--- @param given? table options
--- @return table[] rows { work =, shape =, storage =, ms =, gflops =, gbs =, limit_share = }
function bench.measure(name, given)
  if bench.works[name].rows then return bench.works[name].rows() end
  bench.roof()
  local jobs, close = bench.jobs(name, given)
  local rows = {}
  for i, job in ipairs(jobs) do
    rows[i] = row(job, bench.median(bench.time(job, given and given.repeats)))
  end
  close()
  return rows
end

--- The names of a row's values, in the order in which they are written.
bench.names = { "work", "shape", "storage", "ms", "gflops", "gbs", "limit_share" }

--- A row as a line of JSON.
---
--- @param values table
--- @param names string[] a value that is missing is null
--- @return string
function bench.line(values, names)
  local parts = {}
  for i, name in ipairs(names) do
    local value = values[name]
    parts[i] = json.encode(name) .. ":" .. (value == nil and "null" or json.encode(value))
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

return bench
