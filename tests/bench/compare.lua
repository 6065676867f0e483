--- `make bench`: what recipes spend their time on, in tain and in PyTorch, in one run.
---
---     build/tain tests/bench/compare.lua [--markdown]
---
--- Both do the same work in turns, and the medians are compared. PyTorch is asked for in the Python
--- that PYTHON names, else python3; without it, tain's times stand alone. A row is a line of JSON, and
--- a table follows at the end. tests/bench/peer.py is the other side.

local tain = require "tain"
local bench = require "tain.bench"

local opt = tain.options {
  markdown = { "boolean", help = "the table as the README has it" },
  small    = { "boolean", help = "small sizes, to try this out" },
  repeats  = { "integer", default = 9, min = 1, help = "runs that are measured, on each side" },
  only     = { "strings", optional = true, help = "some of the rows, by name" },
}

local function size(full, small) return opt.small and small or full end

-- The row's name; tain's work and its options, which the peer is given too; which of the work's jobs,
-- the first if none stands there; what else the peer must know of the model.
local rows = {
  { "train", "train", { batch = size(64, 2) }, sizes = { "prompt", "codes" } },
  { "draw", "draw", { images = size(256, 2), guidance = 5 }, sizes = { "prompt", "codes" } },
  { "score", "score", { images = size(256, 2) }, sizes = { "patches", "question" } },
  { "attention", "attention", { heads = size(32, 2), tokens = size(1024, 32), size = 64 } },
  { "attention_backward", "attention", { heads = size(32, 2), tokens = size(1024, 32), size = 64 },
    job = 2 },
  { "matmul", "matmul", { m = size(1024, 64), n = size(1024, 64), k = size(1024, 64) } },
  { "matmul_tiny", "matmul", { m = size(2048, 64), n = size(1024, 32), k = size(256, 64) } },
  { "decode_bf16", "decode", { m = size(11008, 64), k = size(4096, 64), rows = 2, storage = "bf16" } },
  { "decode_f32", "decode", { m = size(11008, 64), k = size(4096, 64), rows = 2, storage = "f32" } },
  { "conv", "conv", { size = size(96, 8), from = size(128, 8), to = size(128, 8), kernel = 3 } },
}

-- ---- The peer ----

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

-- PyTorch as a process that answers lines; nil where there is none.
local function start()
  local python = os.getenv "PYTHON" or "python3"
  if os.execute(quote(python) .. " -c 'import torch' 2> /dev/null") ~= 0 then
    io.stderr:write("tain: ", python, " has no torch; tain's times stand alone (PYTHON names another Python)\n")
    return nil
  end
  local path = os.tmpname()
  os.remove(path)
  if os.execute("mkfifo " .. quote(path)) ~= 0 then error("there can be no pipe at " .. path, 0) end
  -- The shell holds the pipe open, so that whoever reads it gets an answer even if Python cannot start.
  local ask = io.popen(("{ %s tests/bench/peer.py; echo '{\"error\":\"it ended\"}' 2> /dev/null; } > %s")
    :format(quote(python), quote(path)), "w")
  local answers = assert(io.open(path))
  os.remove(path)
  local ended = false
  return function(question)
    if ended then return nil, "it ended" end
    ask:write(tain.json.encode(question), "\n")
    ask:flush()
    local answer = tain.json.decode(answers:read "*l" or "{}")
    ended = answer.error == "it ended" or not next(answer)   -- to write to it would end us, too
    if ended or answer.error then return nil, answer.error or "it ended" end
    return answer
  end
end

-- ---- Measuring ----

local peer = start()

-- tain's median and the peer's, in milliseconds, taken in turns; the peer's name, or nil.
local function measure(row)
  local with = { repeats = opt.repeats }
  for name, value in pairs(row[3]) do with[name] = value end
  local jobs, close = bench.jobs(row[2], with)
  local job, name = jobs[row.job or 1], nil
  if peer then
    local question = { work = row[1] }
    for key, value in pairs(row[3]) do question[key] = value end
    for _, key in ipairs(row.sizes or {}) do question[key] = job.sizes[key] end
    local answer, problem = peer(question)
    name = answer and answer.peer
    if problem then io.stderr:write("tain: ", row[1], ": PyTorch: ", problem, "\n") end
  end
  local ours, theirs = {}, {}
  for i = 0, opt.repeats do   -- the first is not counted: in it tain compiles, and both allocate
    local seconds = bench.once(job)
    local answer, problem
    if name then
      answer, problem = peer {}
      if problem then
        io.stderr:write("tain: ", row[1], ": PyTorch: ", problem, "\n")
        name = nil
      end
    end
    if i >= 1 then
      ours[i] = 1e3 * seconds
      theirs[i] = answer and answer.ms
    end
  end
  jobs, job = nil, nil
  close()
  return bench.median(ours), name and bench.median(theirs), name
end

local function short(number) return number and tonumber(("%.4g"):format(number)) end

local table_ = {}
for _, row in ipairs(rows) do
  if not opt.only or tain.contains(opt.only, row[1]) then
    local ours, theirs, name = measure(row)
    local line = { work = row[1], tain_ms = short(ours), peer = name, peer_ms = short(theirs),
      ratio = short(theirs and ours / theirs) }
    print(bench.line(line, { "work", "tain_ms", "peer", "peer_ms", "ratio" }))
    io.stdout:flush()
    table_[#table_ + 1] = line
  end
end

-- ---- The table ----

local function number(value) return value and ("%.3g"):format(value) or "" end

local format = opt.markdown and "| %s | %s | %s | %s | %s |" or "%-20s %10s %10s  %-16s %6s"
print("\n" .. tain.device())
print((opt.markdown and "\n" or "") .. format:format("work", "tain, ms", "peer, ms", "peer", "ratio"))
if opt.markdown then print "|---|---|---|---|---|" end
for _, line in ipairs(table_) do
  local name = opt.markdown and "`" .. line.work .. "`" or line.work
  print((format:format(name, number(line.tain_ms), number(line.peer_ms), line.peer or "none", number(line.ratio))))
end
