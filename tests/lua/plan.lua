--- tain plan: what is counted is what is then measured; --max-memory refuses what passes it.
local t = require "expect"
local recipe = require "recipe"
local tain = require "tain"

-- Measured: the same phases on the device that computes.
local plan = require "tain.plan"
local function measured(options) return plan.phases(recipe.model, options) end

local function planned(arguments)
  local text, code = recipe.sh(("$tain --json plan %s %s"):format(recipe.model, arguments))
  t.equal(code, 0)
  local rows = {}
  for line in text:gmatch "[^\n]+" do rows[#rows + 1] = tain.json.decode(line) end
  return rows
end

for _, case in ipairs {
  { "--images 6 --batch 3", { images = 6, batch = 3 } },
  { "--images 5 --batch 4 --guidance 3 --recompute --cache f16",
    { images = 5, batch = 4, guidance = 3, recompute = true, cache = "f16" } },
  { "--images 2 --batch 2 --lora 4 --storage bf16", { images = 2, batch = 2, lora = 4, storage = "bf16" } },
  { "--images 2 --batch 2 --lora 4 --storage int4", { images = 2, batch = 2, lora = 4, storage = "int4" } },
} do
  local rows, real = planned(case[1]), measured(case[2])
  t.equal(#rows, 5)
  for i, row in ipairs(rows) do
    t.equal(row.phase, real[i].phase)
    local off = math.abs(row.bytes - real[i].bytes) / real[i].bytes
    t.that(off < 0.1, ("%s %s: planned %d, measured %d"):format(case[1], row.phase, row.bytes, real[i].bytes))
  end
end

-- In 16 bits, which is what models get that are stored so, the cache takes half.
local function drawn(arguments) return planned("--images 16 --batch 1 --guidance 1 " .. arguments)[2].bytes end
local half = 16 * (19 + 16) * 2 * 32 * 2   -- rows, tokens of the prompt and codes, keys and values, of a width of 32
t.close(drawn "" - drawn "--cache bf16", half, 0.05 * half)
t.close(drawn "--storage int8 --lora 4 --cache f32" - drawn "--storage int8 --lora 4", half, 0.05 * half)
t.fails(function() tain.load(recipe.model, { cache = "int8" }) end, 'load: cache must be one of f32, f16, bf16, not "int8"')

-- A plan needs no weights, and says when they would not fit.
recipe.sh(("mkdir %s/bare; cp %s/*.json %s/bare"):format(recipe.folder, recipe.model, recipe.folder))
recipe.sh(("rm -f %s/bare/*.safetensors"):format(recipe.folder))
local text, code = recipe.sh(("$tain plan %s/bare --max-memory 2M"):format(recipe.folder))
t.equal(code, 1)
t.that(text:find("and %-%-max%-memory allows 2 MiB"), text)
text, code = recipe.sh(("$tain plan %s/bare --max-memory 8G"):format(recipe.folder))
t.equal(code, 0)
text, code = recipe.sh(("$tain plan %s/bare --storage bf16"):format(recipe.folder))
t.that(text:find "weights in bf16 are frozen: give %-%-lora", text)
t.equal({ recipe.sh "$tain --max-memory lots version" },
  { "tain: --max-memory takes a size such as 6G or 800M, not lots\n", 2 })
text, code = recipe.sh(("$tain --max-memory 1M -e 'require(\"tain\").load \"%s\"'"):format(recipe.model))
t.that(code == 1 and text:find "more would pass the limit of 1 MiB", text)
recipe.done()
