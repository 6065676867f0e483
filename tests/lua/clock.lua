--- The clock is set back while a run is going, and while it is away: its times do not go back, its files
--- for TensorBoard sort as they were begun, everything else is the same.
local t = require "expect"
local host = require "tain.host"
local recipe = require "recipe"
local tain = require "tain"

local loop = "$tain --quiet tests/looper.lua --out " .. recipe.folder .. "/"
t.equal({ recipe.sh(loop .. "whole") }, { "", 0 })
t.equal({ recipe.sh("TAIN_FAULT=clock:20 " .. loop .. "back") }, { "", 0 })
t.that(select(2, recipe.sh("TAIN_FAULT=disk:60 " .. loop .. "away")) == 1)
t.equal({ recipe.sh("TAIN_FAULT=clock:1 " .. loop .. "away --resume") }, { "", 0 })

for _, name in ipairs { "back", "away" } do
  t.equal(recipe.sums(name), recipe.sums "whole")
  for file, key in pairs { ["times.jsonl"] = "time", ["metrics.jsonl"] = "wall_time" } do
    local before, count = host.wall() - 600, 0
    for line in recipe.read(name .. "/" .. file):gmatch "[^\n]+" do
      local time = tain.json.decode(line)[key]
      t.that(time >= before, ("%s/%s: %d after %d"):format(name, file, time, before))
      before, count = time, count + 1
    end
    t.that(count > 20, file)
  end
end
local by_name, by_age = recipe.sh(("ls %s/away/tb"):format(recipe.folder)), recipe.sh(("ls -tr %s/away/tb"):format(recipe.folder))
t.that(select(2, by_name:gsub("\n", "")) == 2 and by_name == by_age, by_name .. by_age)

-- The fault is one: the system's clock alone would say otherwise. What is measured does not look at it.
local said = recipe.sh [[TAIN_FAULT=clock:2 $tain -e 'local host = require "tain.host"
  local wall, seconds = host.wall(), host.seconds()
  print(host.wall() - wall < -3590, host.seconds() >= seconds)']]
t.equal(said, "true\ttrue\n")

-- A time that no process can have been given is a damaged file's.
local clock = require "tain.clock"
local now = clock.time()
clock.after(now + 1e12)
t.that(clock.time() <= now + 60)
clock.after(now + 3600)
t.that(clock.time() >= now + 3600)

for line in io.popen "grep -rnE 'os\\.(time|clock)' lua/tain":lines() do
  t.that(line:find "^lua/tain/strict.lua:", line)
end
recipe.done()
