--- A run is a folder: what it was begun with, everything that happened, the pictures, the
--- checkpoints.
---
---     local run = tain.run { out = opt.out, resume = opt.resume, options = opt }
---     run:keeps(save, load)                       -- functions of a folder: weights, optimizer
---
---     local seen = run:once("judge 1", function() return model:score(images, prompts) end)
---     for step, batch in run:train("epoch 1", { batches = deal, every = 50 }) do
---       run:metrics { loss = optimizer:step(function() return loss(batch) end, { lr = 1e-4 }) }
---     end
---
--- `events.jsonl` is the truth. A run that was killed goes on by playing its recipe again: what is
--- recorded is not computed a second time, and what is said again must be said in the same bytes.
--- It ends in the same folder as one that was never killed. Times would differ, so they are kept
--- apart, in `times.jsonl` and `metrics.jsonl`.

local check = require "tain.check"
local clock = require "tain.clock"
local data = require "tain.data"
local device = require "tain.device"
local events = require "tain.events"
local files = require "tain.files"
local host = require "tain.host"
local hub = require "tain.hub"
local image = require "tain.image"
local json = require "tain.json"
local log = require "tain.log"
local settings = require "tain.settings"
local tensorboard = require "tain.tensorboard"

local run = {}
local opened = {}   -- in this order

--- @class Run
--- @field folder string
--- @field global_step integer steps of training so far
--- @field replaying boolean whether what happens now is recorded already
local Run = {}
Run.__index = function(self, name)
  if name == "replaying" then return self.events.at < self.events.recorded end
  local method = Run[name]
  if method == nil then
    check.raise("a run has no %s%s", tostring(name), check.suggest(name, Run))
  end
  return method
end
Run.__tostring = function(self) return "run in " .. self.folder end

-- ---- What a run is begun with ----

local apart = { out = true, resume = true }   -- options that say where, not what

local function plain(options)
  local copy = {}
  for name, value in pairs(options) do
    if not apart[name] then copy[name] = value end
  end
  return copy
end

local WHOLE = 64 * 2 ^ 20   -- bytes: larger files are only measured when a run goes on

-- The files that say which model it is.
local function model_of(model)
  if model == nil then return nil end
  local folder = type(model) == "table" and rawget(model, "folder") or model
  if type(folder) ~= "string" then
    check.raise("run: model must be a model or its folder, not %s", check.show(model))
  end
  folder = hub.find(folder) or folder
  local list = json.array {}
  for _, name in ipairs(files.folder_exists(folder) and files.list(folder) or {}) do
    local path = folder .. "/" .. name
    if (name:find("%.safetensors$") or name:find("%.bin$") or name == "config.json")
      and files.exists(path) then
      list[#list + 1] = { name = name, bytes = files.size(path), path = path }
    end
  end
  return { folder = folder, files = list }
end

-- Adds checksums; those that `known` has are believed of large files of the same size.
local function hash(model, known)
  local before = {}
  for _, file in ipairs(known and known.files or {}) do before[file.name] = file end
  for _, file in ipairs(model and model.files or {}) do
    local old = before[file.name]
    file.sha256 = old and old.bytes == file.bytes and file.bytes > WHOLE and old.sha256
      or files.sha256(file.path)
    file.path = nil
  end
end

-- What may differ; whether it does harm is seen when events are compared.
local circumstances = { device = "device", version = "version of tain",
  recipe_sha256 = "text of the recipe" }

-- The first difference between what a run was begun with and what it is to go on with.
local function compare(self, was, now)
  local names = {}
  for name in pairs(was.options) do names[name] = true end
  for name in pairs(now.options) do names[name] = true end
  local list = {}
  for name in pairs(names) do list[#list + 1] = name end
  table.sort(list)
  for _, name in ipairs(list) do
    local a, b = was.options[name], now.options[name]
    local x = a == nil and "nothing" or json.encode(a)
    local y = b == nil and "nothing" or json.encode(b)
    if x ~= y and not self.may_change[name] then
      check.raise("run: %s was begun with --%s %s and is now given %s; a run goes on with the "
        .. "options that it began with", self.folder, name, x, y)
    end
  end
  if was.seed ~= now.seed then
    check.raise("run: %s was begun with seed %s and is now given %s", self.folder,
      check.show(was.seed), check.show(now.seed))
  end
  local a, b = was.model and was.model.files, now.model and now.model.files
  if json.encode(a or {}) ~= json.encode(b or {}) then
    check.raise("run: the files of the model %s are not those that %s was begun with",
      now.model and now.model.folder or was.model.folder, self.folder)
  end
  for name in data.sorted(circumstances) do
    if was[name] ~= now[name] then
      io.stderr:write(("tain: going on with another %s than the run in %s was begun with\n"):format(
        circumstances[name], self.folder))
    end
  end
end

local function read_json(path)
  local value, problem = json.decode(files.read(path))
  if problem or type(value) ~= "table" then
    check.raise("run: %s: %s", path, problem or "an object is expected")
  end
  return value
end

-- What run.json says that a run was begun with.
local function begun_with(path)
  local was = read_json(path)
  local list = type(was.model) == "table" and was.model.files or json.array {}
  local good = type(was.options) == "table" and type(list) == "table"
    and (was.model == nil or type(was.model) == "table" and type(was.model.folder) == "string")
  for _, file in ipairs(good and list or {}) do
    good = good and type(file) == "table" and type(file.name) == "string"
  end
  if not good then check.raise("run: %s is damaged: it does not say what the run was begun with", path) end
  return was
end

-- What may lie in a folder of which a run was only just begun when it was killed.
local ours = { ["events.jsonl"] = true, ["recipe.lua"] = true, ["run.json.part"] = true,
  ["recipe.lua.part"] = true, ["times.jsonl"] = true }

local function examine(self, resume)
  if not files.folder_exists(self.folder) then return false end
  local begun = files.exists(self.folder .. "/run.json")
  local names = files.list(self.folder)
  if not resume and #names > 0 then
    check.raise(begun and "run: %s holds a run already; --resume goes on with it"
      or "run: %s exists and is not empty", self.folder)
  end
  if begun then return true end
  for _, name in ipairs(names) do
    if not ours[name] then
      check.raise("run: %s is not the folder of a run: it has no run.json", self.folder)
    end
  end
  return false
end

-- Lines that were written beside the events and are complete.
local function whole_lines(path)
  local text = files.exists(path) and files.read(path) or ""
  local lines = {}
  for line in text:gmatch("([^\n]*)\n") do lines[#lines + 1] = line end
  return lines
end

-- One line for each step, no more and no less than the events have.
local function mend_metrics(self)
  local path, steps = self.folder .. "/metrics.jsonl", {}
  for i = 1, self.events.recorded do
    if self.events.lines[i]:find('"kind":"step"', 1, true) then
      local event = self.events:get(i)
      if event.kind == "step" then steps[#steps + 1] = event end
    end
  end
  local lines = whole_lines(path)
  for i = #lines, #steps + 1, -1 do lines[i] = nil end
  for i = #lines + 1, #steps do
    steps[i].kind = nil
    lines[i] = json.encode(steps[i])
  end
  files.write(path, #lines > 0 and table.concat(lines, "\n") .. "\n" or "")
end

-- When the latest of the processes before this one said something.
local function last_time(self)
  local lines = whole_lines(self.folder .. "/times.jsonl")
  return tonumber((lines[#lines] or ""):match '"time":(%d+)') or 0
end

local function append(self, name, row)
  local file = self.files[name]
  if not file then
    local why
    file, why = io.open(self.folder .. "/" .. name, "ab")
    if not file then check.raise("run: %s", why) end
    self.files[name] = file
  end
  if not (file:write(row, "\n") and file:flush()) then
    check.raise("run: %s/%s cannot be written", self.folder, name)
  end
end

--- Begins a run, or goes on with one.
---
--- @param options table out (the folder), resume (go on with what is there), options (the
---        recipe's, which must be the same when going on), may_change (names of those that need not
---        be), model (a model or its folder), seed (default options.seed), recipe (default the one
---        that runs), device (default what computes; false for none), keep (checkpoints, 2),
---        tensorboard (true)
--- @return Run
function run.run(options)
  options = check.options("run", options, {
    out = { "string" }, resume = { "boolean", default = false },
    options = { "table", default = {} }, may_change = { "strings", default = {} },
    model = { "any", optional = true }, seed = { "integer", optional = true },
    recipe = { "path", optional = true }, device = { "any", optional = true },
    keep = { "integer", default = 2, min = 1 }, tensorboard = { "boolean", default = true },
  })
  local folder = options.out:gsub("(.)/+$", "%1")
  local self = setmetatable({ folder = folder, global_step = 0, keep = options.keep, used = {},
    files = {}, may_change = {}, images = {}, finished = {}, latest_of = {}, last = false,
    save = false, load = false, has_images = false, board = false, closed = false,
    wants_board = options.tensorboard }, Run)
  for _, name in ipairs(options.may_change) do self.may_change[name] = true end
  local begun = examine(self, options.resume)

  local recipe = options.recipe or settings.recipe
  local text = recipe and files.exists(recipe) and files.read(recipe)
  local now = {
    version = host.version, options = plain(options.options), model = model_of(options.model),
    seed = options.seed or rawget(options.options, "seed"),
    device = options.device == nil and device.device() or options.device or nil,
    recipe = recipe and recipe:match("([^/]+)$"),
    recipe_sha256 = text and files.digest(text) or nil,
  }
  files.make_folder(folder)
  self.events = events.open(folder .. "/events.jsonl", true)   -- from here on it is ours alone
  if not begun and self.events.recorded > 0 then
    check.raise("run: %s has events, but run.json is not there any more", folder)
  end
  if begun then
    local was = begun_with(folder .. "/run.json")
    hash(now.model, was.model)
    compare(self, was, now)
    if next(self.may_change) then
      was.options = now.options
      files.write(folder .. "/run.json", json.encode(was) .. "\n")
    end
  else
    hash(now.model)
    if text then files.write(folder .. "/recipe.lua", text) end
    files.write(folder .. "/run.json", json.encode(now) .. "\n")
  end

  for i = 1, self.events.recorded do
    local line = self.events.lines[i]
    if line:find('"kind":"done"', 1, true) or line:find('"kind":"checkpoint"', 1, true) then
      local event = self.events:get(i)
      if event.kind == "done" then self.finished[event.key] = i end
      if event.kind == "checkpoint" then
        event.at = i
        self.latest_of[event.key or ""], self.last = event, event
      end
    end
  end
  mend_metrics(self)
  clock.after(last_time(self))
  append(self, "times.jsonl", json.encode { event = self.events.recorded, time = clock.time(),
    what = begun and "resumed" or "begun" })
  opened[#opened + 1] = self
  return self
end

-- ---- Saying what happens ----

local function check_open(self, fn)
  if self.closed then check.raise("%s: the run was closed", fn) end
end

-- TensorBoard's file of this process, once there is something to put into it.
local function board_of(self)
  if self.wants_board and not self.board then
    files.make_folder(self.folder .. "/tb")
    self.board = tensorboard.open(self.folder .. "/tb")
  end
  return self.board
end

local shown = { non = "gap/nonunified", gen = "judge/accuracy", und = "judge/agreement",
  fooled = "judge/false_positives" }

local function on_board(self, event)
  local board = board_of(self)
  if not board then return end
  if event.kind == "step" then
    board:scalars(self.global_step, event)
  elseif event.kind == "evaluate" and not event.category then
    local row = {}
    for name, tag in pairs(shown) do row[tag] = event[name] end
    board:scalars(event.round or self.global_step, row)
  elseif event.kind == "pool" then
    board:scalars(event.round or self.global_step, { ["pool/size"] = event.waiting,
      ["pool/recovered"] = event.recovered })
  elseif event.kind == "probe" and event.image and self.images[event.image] then
    board:image("probe/" .. tostring(event.prompt), self.images[event.image],
      event.round or self.global_step)
  end
end

--- Records an event, or passes over it where it is recorded already.
---
--- @param event table kind, and whatever belongs to it: plain values only, and nothing that differs
---        from one run to the next, such as a time
--- @return boolean fresh whether it happens for the first time
function Run:event(event)
  check_open(self, "event")
  check.table("event", "event", event)
  check.string("event", "event.kind", event.kind)
  local fresh = self.events:add(event)
  if fresh then
    append(self, "times.jsonl", json.encode { event = self.events.at, time = clock.time() })
    on_board(self, event)
  end
  return fresh
end

-- What differs from one run to the next, and so belongs beside the events.
local function timely(name)
  return name:find("^time/") or name:find("^mem/") or name == "wall_time"
end

--- Records the numbers of a step of training under the names that trainers use (loss, grad_norm,
--- learning_rate, rewards/margins, …) and shows them. `global_step` is added. Names that begin with
--- time/ or mem/ go to metrics.jsonl only.
---
--- @param row table name -> number
--- @return boolean fresh whether it happens for the first time
function Run:metrics(row)
  check.table("metrics", "row", row)
  local event, line = { kind = "step", global_step = self.global_step }, {}
  for name, value in pairs(row) do
    if type(name) ~= "string" or type(value) ~= "number" and type(value) ~= "string" then
      check.raise("metrics: %s must be a number, not %s", tostring(name), check.show(value))
    end
    if not timely(name) then event[name] = value end
    line[name] = value
  end
  local fresh = self:event(event)
  if fresh then
    line.global_step, line.wall_time = event.global_step, clock.time()
    append(self, "metrics.jsonl", "{" .. events.text(line) .. "}")
    line.wall_time = nil
    log.log(line)
  end
  return fresh
end

--- Keeps an image in the run's folder, under the name of its content: `run:image(picture)`.
---
--- @param picture Image
--- @return string path below the run's folder, for an event
function Run:image(picture)
  check_open(self, "image")
  if not image.is(picture) then
    check.raise("image: picture must be an image, not %s", check.show(picture))
  end
  local png = picture:png()
  local path = "images/" .. files.digest(png):sub(1, 20) .. ".png"
  if not self.has_images then
    files.make_folder(self.folder .. "/images")
    self.has_images = true
  end
  local whole = self.folder .. "/" .. path
  if not files.exists(whole) then files.write(whole, png) end
  self.images = { [path] = picture }   -- the latest, for the event that will name it
  return path
end

-- ---- Not doing things twice ----

--- Says how what the run holds in memory is saved in a folder and loaded from one: weights, the
--- optimizer. When a run goes on, the latest checkpoint is loaded where the training that it
--- belongs to stands in the recipe.
---
--- @param save function of a folder's path
--- @param load function of a folder's path
function Run:keeps(save, load)
  self.save = check["function"]("keeps", "save", save)
  self.load = check["function"]("keeps", "load", load)
end

local function poll(self)
  if host.interrupted() > 0 then
    self.events:sync()
    check.raise("interrupted")
  end
end

--- Does something once: where its result is recorded, that is returned and `fn` is not called.
---
--- @param key string each key once in a run
--- @param fn function returns a plain value (numbers, strings, tables of them) or nothing
--- @return any result
function Run:once(key, fn)
  check_open(self, "once")
  check.string("once", "key", key)
  check["function"]("once", "fn", fn)
  if self.used[key] then check.raise("once: the key %q is used a second time", key) end
  self.used[key] = true
  local at = self.finished[key]
  if at and at > self.events.at then
    self.events.at = at
    return self.events:get(at).result
  end
  poll(self)
  local result = fn()
  local text = result ~= nil and json.encode(result) or nil   -- what going on would see
  self:event { kind = "done", key = key, result = result }
  self.events:sync()
  self.finished[key] = self.events.at
  return text and (json.decode(text))
end

--- The recorded result of a key, without doing anything.
---
--- @param key string
--- @return boolean done
--- @return any result
function Run:done(key)
  local at = self.finished[check.string("done", "key", key)]
  if not at then return false end
  return true, self.events:get(at).result
end

-- ---- Checkpoints ----

local function folder_of(step) return "checkpoint-" .. step end

local function write_folder(self, name, state, save)
  files.write_folder(self.folder .. "/" .. name, function(part)
    save(part)
    files.write(part .. "/state.json", json.encode(state) .. "\n")
  end)
end

-- Removes checkpoints but the newest, and what a killed process left half written.
local function prune(self)
  local steps = {}
  for _, name in ipairs(files.list(self.folder)) do
    local step = name:match("^checkpoint%-(%d+)$")
    if step then steps[#steps + 1] = tonumber(step) end
    if name:find("^checkpoint%-[%w]+%.part$") or name == "checkpoint-now" then
      files.remove_folder(self.folder .. "/" .. name)
    end
  end
  table.sort(steps)
  for i = 1, #steps - self.keep do
    files.remove_folder(self.folder .. "/" .. folder_of(steps[i]))
  end
end

-- The folder is there before the event that names it. One that an event names already is not
-- touched: between its removal and the next one's coming there would be none.
local function checkpoint(self, event, save)
  event.kind, event.folder = "checkpoint", folder_of(event.step)
  if not self.events:expects(event) then
    if self.replaying then self.events:add(event) end   -- says what differs
    self.events:sync()
    if not (self.last and self.last.folder == event.folder) then
      write_folder(self, event.folder, event, save)
    end
  end
  if self:event(event) then
    self.events:sync()
    prune(self)
  end
  event.at = self.events.at
  self.latest_of[event.key or ""], self.last = event, event
end

--- Saves a checkpoint as the folder checkpoint-STEP, for a recipe with a loop of its own.
---
--- @param step integer
--- @param save? function of a folder's path; default what run:keeps was given
--- @param state? any a plain value that run:latest gives back
function Run:checkpoint(step, save, state)
  check_open(self, "checkpoint")
  check.integer("checkpoint", "step", step, 0)
  save = check["function"]("checkpoint", "save", save or self.save)
  checkpoint(self, { step = step, state = state }, save)
end

--- Where a recipe with a loop of its own goes on: the latest checkpoint. What is recorded up to it
--- counts as done.
---
--- @return string? folder nil when there is none
--- @return integer? step
--- @return any state
function Run:latest()
  check_open(self, "latest")
  local event = self.latest_of[""]
  if not event or event.at < self.events.at then return nil end
  self.events.at, self.global_step = event.at, event.step
  return self.folder .. "/" .. event.folder, event.step, event.state
end

-- A checkpoint that was saved because the user asked to stop: it is newer than any that is
-- recorded, and is in no event, so that a run that was stopped says the same as one that was not.
local function saved_now(self, key)
  local path = self.folder .. "/checkpoint-now/state.json"
  if not files.exists(path) then return nil end
  local event = read_json(path)
  local last = self.last
  if type(event.at) ~= "number" or type(event.step) ~= "number" or event.folder ~= "checkpoint-now" then
    check.raise("run: %s is damaged: it does not say what it was saved after", path)
  end
  if event.key ~= key or event.at > self.events.recorded or last and last.at > event.at then
    return nil
  end
  return event
end

local function save_now(self, key, state, since)
  if not self.save then return end
  self.events:sync()
  local event = { key = key, state = state, since = since, step = self.global_step,
    at = self.events.at, folder = "checkpoint-now" }
  write_folder(self, "checkpoint-now", event, self.save)
end

-- Only the latest checkpoint is ever loaded: whatever lies before it is recorded.
local function resume(self, event)
  local folder = self.folder .. "/" .. event.folder
  if not files.folder_exists(folder) then
    check.raise("run: to go on, %s is needed, and is not there any more", folder)
  end
  check["function"]("train", "the load of run:keeps", self.load)
  self.load(folder)
end

local train_options = {
  batches = { "function" },
  every = { "integer", default = 50, min = 1 },
}

--- Goes through the steps of training that are still to be done:
---
---     for step, batch in run:train("epoch 3", { every = 50, batches = function(from)
---       return tain.batches(data, { size = 4, seed = 3, from = from })
---     end }) do
---       run:metrics { loss = optimizer:step(function() return loss(batch) end, { lr = 1e-4 }) }
---     end
---
--- Saves a checkpoint after every so many steps and at the end. If training under this key is
--- recorded as done, there is nothing to go through; if it was begun, it goes on after its latest
--- checkpoint. `run.global_step` counts on. When the user asks to stop, or a file named SAVE
--- appears in the folder, the state is saved after the step.
---
--- @param key string each key once in a run
--- @param options table batches (a function that gives the iterator of tain.batches, after a
---        state), every (steps between checkpoints, 50)
--- @return function # gives step, batch, state
function Run:train(key, options)
  check_open(self, "train")
  check.string("train", "key", key)
  options = check.options("train", options, train_options)
  local name = "train " .. key
  if self.used[name] then check.raise("train: the key %q is used a second time", key) end
  self.used[name] = true

  local event = saved_now(self, key) or self.latest_of[key]
  if event and event.at <= self.events.at then event = nil end
  if event then
    self.events.at, self.global_step = event.at, event.step
    if event.folder == "checkpoint-now" or event.at == self.last.at then resume(self, event) end
    if event.finished then return function() return nil end end
  end
  poll(self)

  local save = self.save
  local deal, state = options.batches(event and event.state), event and event.state
  -- Steps since the last checkpoint that is recorded: where the next one falls does not depend on
  -- where the run was stopped.
  local since = event and event.since or 0
  check["function"]("train", "what batches returns", deal)
  local over = false
  return function()
    if over then return nil end
    if since > 0 and save then
      if since % options.every == 0 then
        checkpoint(self, { key = key, step = self.global_step, state = state }, save)
        since = 0
      end
      if files.exists(self.folder .. "/SAVE") then
        save_now(self, key, state, since)
        files.remove(self.folder .. "/SAVE")
      end
    end
    if host.interrupted() > 0 then
      if since > 0 then save_now(self, key, state, since) end
      poll(self)
    end
    local step, batch, after = deal()
    if step == nil then
      over = true
      if save then
        checkpoint(self, { key = key, step = self.global_step, state = state, finished = true },
          save)
      end
      return nil
    end
    since, state = since + 1, after
    self.global_step = self.global_step + 1
    return step, batch, after
  end
end

-- ---- Names ----

--- A folder's name that is free: the given one, or with -2, -3, … behind it.
---
---     local out = opt.out or tain.fresh "runs/steps"
---
--- @param name string
--- @return string
function run.fresh(name)
  check.string("fresh", "name", name)
  local folder, n = name, 1
  while files.exists(folder) or files.folder_exists(folder) do
    n = n + 1
    folder = name .. "-" .. n
  end
  return folder
end

-- ---- The end ----

--- Ends the run: everything is on disk, and report.html is written. A recipe that comes to its end
--- need not call this.
---
--- @param options? table report (true)
function Run:close(options)
  if self.closed then return end
  options = check.options("close", options, { report = { "boolean", default = true } })
  if self.replaying then
    check.raise("run: the recipe ended after %d events, but %s has %d: was it changed?",
      self.events.at, self.events.path, self.events.recorded)
  end
  self.events:close()
  append(self, "times.jsonl", json.encode { event = self.events.at, time = clock.time(),
    what = "closed" })
  for _, file in pairs(self.files) do file:close() end
  if self.board then self.board:close() end
  self.closed, self.files = true, {}
  prune(self)
  if options.report then require("tain.report").write(self.folder) end
end

--- Closes what a recipe that came to its end has left open.
function run.finish()
  for _, self in ipairs(opened) do self:close() end
end

return run
