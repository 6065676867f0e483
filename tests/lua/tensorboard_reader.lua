--- What TensorBoard's own reader finds in a run is what the run's lines of JSON say, also of one that was
--- stopped and went on when the clock had been set back. PYTHON names a Python that has tensorboard.
local t = require "expect"
local recipe = require "recipe"
local tain = require "tain"

local python = os.getenv "PYTHON" or "python3"
local function reader(name)
  return recipe.sh(("'%s' tests/tensorboard_reader.py %s/%s/tb 2> /dev/null"):format(python, recipe.folder, name))
end

local loop = "$tain --quiet tests/looper.lua --out " .. recipe.folder .. "/"
t.equal({ recipe.sh(loop .. "run") }, { "", 0 })
local said, code = reader "run"
if code ~= 0 then
  recipe.done()
  t.that(code == 77 or code == 127, said)
  t.skip(python .. " has no tensorboard (PYTHON names another Python)")
end
said, code = recipe.sh("TAIN_FAULT=disk:60 " .. loop .. "stopped")
t.that(code == 1 and said:find "No space left", said)
t.equal({ recipe.sh("TAIN_FAULT=clock:1 " .. loop .. "stopped --resume") }, { "", 0 })
t.equal(recipe.sums "stopped", recipe.sums "run")
t.that(tonumber((recipe.sh(("ls %s/stopped/tb | wc -l"):format(recipe.folder)))) == 2, "two files")

for _, name in ipairs { "run", "stopped" } do
  said, code = reader(name)
  t.equal(code, 0)
  local got, want, pictures = tain.json.decode(said), {}, {}
  local function add(tag, step, value)
    want[tag] = want[tag] or {}
    table.insert(want[tag], { step, value })
  end
  for line in recipe.read(name .. "/events.jsonl"):gmatch "[^\n]+" do
    local event = tain.json.decode(line)
    if event.kind == "step" then
      for key, value in pairs(event) do
        if type(value) == "number" and key ~= "seq" then add(key, event.global_step, value) end
      end
    elseif event.kind == "pool" then
      add("pool/size", event.round, event.waiting)
      add("pool/recovered", event.round, event.recovered)
    elseif event.kind == "probe" then
      local tag = "probe/" .. event.prompt
      pictures[tag] = pictures[tag] or {}
      table.insert(pictures[tag], { event.round, 4, 4 })
    end
  end
  local tags = 0
  for tag, list in pairs(want) do
    tags = tags + 1
    local found = got.scalars[tag] or {}
    t.equal({ tag, #found }, { tag, #list })
    for i, one in ipairs(list) do
      t.equal({ tag, found[i][1] }, { tag, one[1] })
      t.close(found[i][2], one[2], 1e-6 * math.abs(one[2]))   -- it holds f32
    end
  end
  for _ in pairs(got.scalars) do tags = tags - 1 end
  t.equal(tags, 0)
  t.that(want.loss and #want.loss >= 16 and next(pictures), "there is something to compare")
  t.equal(got.images, pictures)
end
recipe.done()
