--- tain.log: one line a row, in a stable order; JSON when asked.
local t = require "expect"
local tain = require "tain"
local log = require "tain.log"
local settings = require "tain.settings"

-- What the rows put on the terminal.
local function said(...)
  local path = os.tmpname()
  local file, stdout = assert(io.open(path, "w")), io.stdout
  local real = require("tain.host") and rawget(getfenv(log.log), "io") or io
  local ok, raised
  real.stdout = file
  ok, raised = pcall(function(...)
    for _, row in ipairs { ... } do tain.log(row) end
  end, ...)
  real.stdout = stdout
  file:close()
  file = assert(io.open(path))
  local text = file:read("*a")
  file:close()
  os.remove(path)
  if not ok then error(raised, 0) end
  return text
end

t.equal(said { loss = 0.123456, step = 3, epoch = 1, right = true },
  "epoch 1  step 3  loss 0.1235  right true\n")
t.equal(said { "loss", "step", step = 3, loss = 1e-9, a = "x\ny" }, "loss 1e-09  step 3  a x y\n")
t.equal(said { loss = 0 / 0 }, "loss nan\n")
settings.json = true
t.equal(said { loss = 0.5, step = 3, name = "é\n" }, '{"step":3,"loss":0.5,"name":"é\\n"}\n')
t.equal(said { loss = 0 / 0, x = 1 / 0 }, '{"loss":"nan","x":"inf"}\n')
settings.json = false

local rows = {}
log.listeners[1] = function(row, names) rows[#rows + 1] = table.concat(names, ",") .. row.loss end
settings.quiet = true
t.equal(said { loss = 2, step = 1 }, "")
t.equal(rows, { "step,loss2" })
settings.quiet = false
log.listeners[1] = nil

t.fails(tain.log, "log: row must be a table, not nil", nil)
t.fails(tain.log, "loss must be a number, a string or a boolean, not a table", { loss = { 1 } })
t.fails(tain.log, "item 1 must name", { "loss" })
t.fails(tain.log, "item 1 must name", { 3 })
t.fails(tain.log, "a row has names", { [2] = 3 })
t.fails(tain.log, "a row has names", { [true] = 3 })

-- Progress is silent when told to be, and counts all the same.
settings.quiet = true
local p = tain.progress { label = "judging", total = 3 }
for _ = 1, 3 do p:step() end
t.equal(p.count, 3)
p:done()
t.fails(tain.progress, "unknown option totl; did you mean total?", { totl = 3 })
