--- tain.run: killed at any moment and gone on with, a run ends in the same bytes as one left alone.
local t = require "expect"
local host = require "tain.host"
local tain = require "tain"

local TAIN = host.folder .. "/tain"
local top = os.tmpname()
os.remove(top)
os.execute("mkdir " .. top)

local function read(path)
  local file = io.open(path, "rb")
  local text = file and file:read "*a"
  if file then file:close() end
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

-- Runs the looper; returns its exit status and what it said on stderr.
local function loop(name, arguments, before)
  local code = os.execute(("%s %s --quiet tests/looper.lua --out %s/%s/run %s >/dev/null 2>%s/said")
    :format(before or "", TAIN, top, name, arguments or "", top))
  return code == true and 0 or code > 255 and code / 256 or code, read(top .. "/said")
end

-- What is the same in both, and whatever may not be.
local function same(a, b)
  local code = os.execute(("diff -rq -x times.jsonl -x metrics.jsonl -x tb %s/%s/run %s/%s/run >&2")
    :format(top, a, top, b))
  t.that(code == 0 or code == true, b .. " is not the same as " .. a)
  local function steps(name)
    return (read(("%s/%s/run/metrics.jsonl"):format(top, name)):gsub('"wall_time":%d+,?', "")
      :gsub('"time/train":[%d.e-]+,?', ""):gsub(",}", "}"))
  end
  t.equal(steps(b), steps(a))
end

local function make(name) os.execute(("mkdir %s/%s"):format(top, name)) end

-- ---- One that is left alone, and again ----

make "whole"
t.equal(loop "whole", 0)
make "again"
t.equal(loop("again", "--resume"), 0)   -- nothing there: it begins
same("whole", "again")
t.equal(loop("again", "--resume"), 0)   -- all there: it does nothing
same("whole", "again")

-- ---- Killed 20 times, at random moments ----

local random, kills = tain.random(os.time()), 0
make "killed"
local started = host.seconds()
t.equal(loop("again", "--resume"), 0)
local least = host.seconds() - started
for attempt = 1, 400 do
  local seconds = least * 0.3 + (0.15 + 0.1 * least) * random:uniform() * 2
  local code, said = loop("killed", "--resume", ("timeout -s KILL %.3f"):format(seconds))
  if code == 0 then
    if kills >= 20 then break end
    make("killed" .. attempt)   -- it got to its end; kill another one
    same("whole", "killed")
    os.execute(("rm -r %s/killed"):format(top))
    make "killed"
  else
    t.that(code == 137 or code == 9, ("attempt %d ended with %d: %s"):format(attempt, code, said))
    kills = kills + 1
    if kills >= 20 then
      t.equal({ loop("killed", "--resume") }, { 0, "" })
      break
    end
  end
end
t.that(kills >= 20, kills .. " kills")
same("whole", "killed")

-- ---- Asked to stop: it saves, and goes on from there ----

make "asked"
local code = loop("asked", "", "timeout -s INT 0.45")
if code ~= 0 then
  t.that(code == 130 or code == 124, "asked to stop, it ended with " .. code)
  t.equal(loop("asked", "--resume"), 0)
end
same("whole", "asked")

-- ---- Refused ----

local function refused(text, name, arguments)
  local status, said = loop(name, arguments)
  t.that(status ~= 0, "was not refused: " .. text)
  if not said:find(text, 1, true) then error(("it says %q and not %q"):format(said, text), 2) end
end

refused("exists already", "whole")
refused("was begun with --rounds 2 and is now given 3; a run goes on with the options that it "
  .. "began with", "whole", "--resume --rounds 3")
refused("was begun with --seed 1 and is now given 2", "whole", "--resume --seed 2")
refused("going on went another way than the run did: event ", "whole", "--resume --odd")
t.equal(loop("whole", "--resume"), 0)   -- nothing of that is left
same("again", "whole")

make "other/"
make "other/run"
write(top .. "/other/run/notes.txt", "mine")
refused("is not the folder of a run", "other", "--resume")
t.equal(read(top .. "/other/run/notes.txt"), "mine")

-- A second process, and damage.
do
  local run = tain.run { out = top .. "/here", device = false, tensorboard = false }
  t.fails(tain.run, "here holds a run already; --resume goes on with it", { out = top .. "/here" })
  t.fails(tain.run, "another process is writing this run", { out = top .. "/here", resume = true,
    device = false })
  run:event { kind = "note", text = "one" }
  run:event { kind = "note", text = "two", loss = 0 / 0 }
  run:close { report = false }
  t.fails(run.event, "event: the run was closed", run, { kind = "note" })

  local path = top .. "/here/events.jsonl"
  local text = read(path)
  t.that(text:find('"loss":"nan"', 1, true), "not a number is said in words")
  write(path, text .. '{"seq":3,"kind":"no')   -- a torn tail is cut off
  run = tain.run { out = top .. "/here", resume = true, device = false, tensorboard = false }
  t.equal(run.replaying, true)
  t.equal(run:event { kind = "note", text = "one" }, false)
  t.fails(run.close, "the recipe ended after 1 events, but", run)
  t.fails(run.event, path .. ' is {"kind":"note","loss":"nan","text":"two"} and is '
    .. 'now {"kind":"note","text":"too"}', run, { kind = "note", text = "too" })
  t.equal(run:event { kind = "note", text = "two", loss = 0 / 0 }, false)
  t.equal({ run.replaying, run:event { kind = "note", text = "three" } }, { false, true })
  run:close { report = false }
  write(path, (read(path):gsub("two", "tow")))
  t.fails(tain.run, "line 2 is damaged", { out = top .. "/here", resume = true, device = false })
end

-- ---- Once, and by hand ----

do
  local saved, calls = {}, 0
  local function open(resume)
    return tain.run { out = top .. "/hand", resume = resume, device = false, keep = 2,
      tensorboard = false, seed = 3 }
  end
  local function put(folder) write(folder .. "/w", tostring(#saved)) end
  local run = open(false)
  t.fails(tain.run, "run: out is missing", {})
  t.equal(run:once("a", function() calls = calls + 1 return { 1, x = nil } end), { 1 })
  t.equal(run:once("nothing", function() calls = calls + 1 end), nil)
  t.fails(run.once, 'the key "a" is used a second time', run, "a", print)
  t.fails(run.once, "json: result", run, "b", function() return { result = print } end)
  t.equal({ run:done "a" }, { true, { 1 } })
  t.equal(run:done "b", false)
  t.equal(run:latest(), nil)
  for step = 1, 4 do
    saved[step] = step
    run:checkpoint(step, put, { cursor = step })
  end
  t.that(not read(top .. "/hand/checkpoint-2/w"), "only two are kept")
  t.equal({ read(top .. "/hand/checkpoint-3/w"), read(top .. "/hand/checkpoint-4/w") },
    { "3", "4" })
  t.fails(function() return run.checkpiont end, "a run has no checkpiont; did you mean checkpoint?")
  run.events:close()   -- as if killed
  run.closed = true

  os.execute(("mkdir %s/hand/checkpoint-9.part"):format(top))
  run = open(true)
  t.equal(run:once("a", function() calls = calls + 1 end), { 1 })
  run:once("nothing", print)
  t.equal(calls, 2)
  t.equal({ run:latest() }, { top .. "/hand/checkpoint-4", 4, { cursor = 4 } })
  run:checkpoint(5, put)
  t.that(not os.rename(top .. "/hand/checkpoint-9.part", top .. "/x"), "what was half written")
  run:close { report = false }
  t.fails(tain.run, "was begun with seed 3 and is now given 4",
    { out = top .. "/hand", resume = true, device = false, seed = 4 })
end

-- ---- Saving at once: a file named SAVE; what is saved wins over the latest checkpoint ----

do
  local w, loaded
  local function begin(resume)
    local run = tain.run { out = top .. "/save", resume = resume, device = false,
      tensorboard = false }
    run:keeps(function(folder) write(folder .. "/w", tostring(w)) end,
      function(folder) w, loaded = tonumber(read(folder .. "/w")), folder:match "[^/]+$" end)
    return run
  end
  local function deal(from)
    return tain.batches({ { x = 1 } }, { epochs = 7, from = from })
  end
  w = 0
  local run = begin(false)
  for step in run:train("t", { batches = deal, every = 2 }) do
    w = w + step
    run:event { kind = "step", w = w }
    if step == 3 then write(top .. "/save/SAVE", "") end
    if step == 4 then break end
  end
  t.that(not read(top .. "/save/SAVE"), "the file is taken away")
  run.events:close()   -- as if killed
  run.closed = true
  w = 0
  run = begin(true)
  local steps = {}
  for step in run:train("t", { batches = deal, every = 2 }) do
    steps[#steps + 1], w = step, w + step
    run:event { kind = "step", w = w }
    t.equal(run.global_step, step)
  end
  t.equal({ loaded, steps, w }, { "checkpoint-now", { 4, 5, 6, 7 }, 28 })
  t.that(not read(top .. "/save/checkpoint-now/w"), "it is gone with the next checkpoint")
  t.equal(read(top .. "/save/checkpoint-7/w"), "28")
  t.equal(read(top .. "/save/checkpoint-6/w"), "21")   -- where it is without having been stopped
  for _ in run:train("empty", { batches = function() return tain.batches({}, {}) end }) do end
  t.fails(run.train, 'the key "t" is used a second time', run, "t", { batches = deal })
  run:close()
  t.that(read(top .. "/save/report.html"):find("<!DOCTYPE html>", 1, true))
end

os.execute("rm -r " .. top)

-- A line whose checksum is right but which is no JSON, as nobody writes it, is refused when it is read.
do
  local events = require "tain.events"
  local crc32c = require("tain.tensorboard").crc32c
  local path, text = os.tmpname(), '{"seq":1,"kind":"step",2'
  local file = assert(io.open(path, "w"))
  file:write(text, (',"crc":"%08x"}\n'):format(crc32c(text)))
  file:close()
  local log = events.open(path, false)
  t.fails(log.get, "event 1 of " .. path .. " is damaged: byte ", log, 1)
  log:close()
  os.remove(path)
end
