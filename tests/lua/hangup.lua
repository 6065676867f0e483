--- A terminal that goes away ends what runs on it in order, once, however many times it is said; a run
--- goes on to the same bytes. Under nohup nothing ends.
local t = require "expect"
local host = require "tain.host"
local pty = require "pty"
local recipe = require "recipe"

local program = host.folder .. "/tain"
local function lines(name)
  local file = io.open(recipe.folder .. "/" .. name .. "/events.jsonl", "rb")
  local text = file and file:read "*a" or ""
  if file then file:close() end
  return select(2, text:gsub("\n", ""))
end

-- A run.
local loop = "$tain --quiet tests/looper.lua --rounds 5 --out " .. recipe.folder .. "/"
t.equal({ recipe.sh(loop .. "whole") }, { "", 0 })
local p = pty.start { program, "tests/looper.lua", "--rounds", "5", "--out", recipe.folder .. "/gone" }
local over = host.seconds() + 60
while lines "gone" < 40 and host.seconds() < over do p:listen(0.01) end
t.equal(p:hang_up(), 130)
local stopped = lines "gone"
t.that(stopped >= 40 and stopped < lines "whole", ("%d of %d events"):format(stopped, lines "whole"))
t.equal({ recipe.sh(loop .. "gone --resume") }, { "", 0 })
t.equal(recipe.sums "gone", recipe.sums "whole")

-- The prompt: where it waits, and in the middle of a statement, which may be one that never looks up.
local environment = { HOME = recipe.folder, XDG_STATE_HOME = false, TERM = "xterm" }
for typed, code in pairs { [""] = 0, ["while true do local s = ('x'):rep(9) end\r"] = 0,
  ["os.execute 'trap \"\" HUP; sleep 25'\r"] = 130 } do
  p = pty.start({ program }, environment)
  p:expect "> "
  p:send(typed)
  p:listen(0.5)
  t.equal({ typed, p:hang_up() }, { typed, code })
end

-- The shell sends one and the system another; nohup wants none.
local file = assert(io.open(recipe.folder .. "/loop.lua", "w"))
file:write [[
local tain = require "tain"
while not tain.interrupted() do end
for i = 1, 2e8 do end
print "saved"
]]
file:close()
local started = "$tain %s/loop.lua & p=$!; sleep 1; "
local said, code = recipe.sh((started .. "kill -HUP $p; kill -HUP $p; sleep 0.1; kill -HUP $p; wait $p"):format(recipe.folder))
t.equal(code, 130)
t.that(said:find "saved\n", said)
said, code = recipe.sh(("trap '' HUP; " .. started .. "kill -HUP $p; sleep 0.5; kill -TERM $p; wait $p"):format(recipe.folder))
t.equal(code, 130)
t.that(said:find "saved\n" and select(2, said:gsub("safe point", "")) == 1, said)

-- A loop that looks each time round may take its time for a round.
file = assert(io.open(recipe.folder .. "/slow.lua", "w"))
file:write [[
local tain = require "tain"
local host = require "tain.host"
jit.off(true)
while not tain.interrupted() do
  local over = host.seconds() + 3
  io.stderr:write "round "
  while host.seconds() < over do end
end
print "saved"
]]
file:close()
said, code = recipe.sh(("$tain %s/slow.lua & p=$!; sleep 3.7; kill -TERM $p; wait $p"):format(recipe.folder))
t.equal(code, 130)
t.that(said:find "saved\n", said)
recipe.done()
