--- tain bench: every work runs, its rows are whole and agree with themselves, mistakes end in a
--- sentence. How fast anything is, is not tested.
local t = require "expect"
local bench = require "tain.bench"
local host = require "tain.host"
local json = require "tain.json"

local function sh(command)
  local pipe = io.popen(("tain='%s/tain'; { %s; } 2>&1; echo \"=$?\""):format(host.folder, command))
  local text = pipe:read "*a"
  pipe:close()
  local said, code = text:match "^(.*)=(%d+)\n$"
  return said, tonumber(code)
end

local function refused(arguments, code, text)
  local said, got = sh("$tain bench " .. arguments)
  if got ~= code or not said:find(text, 1, true) or select(2, said:gsub("\n", "")) ~= 1 then
    error(("bench %s ends with %d and says %s"):format(arguments, got, said), 2)
  end
end

-- ---- Works ----

local roof = bench.roof { bytes = 2 ^ 22, repeats = 2 }   -- so small that this is no limit of anything
t.that(roof.gflops > 0 and roof.gbs > 0)

local function whole(row)
  for _, name in ipairs { "work", "shape", "storage" } do t.equal(type(row[name]), "string") end
  for _, name in ipairs { "ms", "gflops", "gbs", "limit_share" } do
    t.that(type(row[name]) == "number" and row[name] >= 0 and row[name] < math.huge, name)
  end
  t.that(row.ms > 0 and row.limit_share > 0, "a row without a time")
end

local tried = {}

-- Measures a work at a small size. Gives the operations of each row, from its time and its speed.
local function try(name, given)
  tried[name], given.repeats = true, 1
  local flops = {}
  for i, row in ipairs(bench.measure(name, given)) do
    whole(row)
    flops[i] = row.gflops * row.ms * 1e6
    local limit = math.max(row.gflops / roof.gflops, row.gbs / roof.gbs)
    t.close(row.limit_share / limit, 1, 1e-4)
  end
  return unpack(flops)
end

local function near(got, want) t.close(got / want, 1, 1e-4) end

-- What a work is said to consist of, without doing it.
local function operations(name, given)
  local jobs, close = bench.jobs(name, given)
  close()
  return jobs[1].flops
end

near(try("matmul", { m = 5, n = 12, k = 16 }), 2 * 5 * 12 * 16)
near(try("matmul", { m = 5, n = 12, k = 32, storage = "int4" }), 2 * 5 * 12 * 32)
near(try("matmul", { m = 4, n = 8, k = 16, storage = "f16" }), 2 * 4 * 8 * 16)
local forward, both = try("attention", { heads = 2, tokens = 8, size = 16 })
near(forward, 4 * 2 * 16 * 36)   -- 1 + 2 + … + 8 pairs
near(both, 14 * 2 * 16 * 36)
near(try("attention", { heads = 2, tokens = 8, size = 16, causal = false }), 4 * 2 * 16 * 64)
near(try("conv", { size = 6, from = 4, to = 8, kernel = 3, batch = 2 }), 2 * 2 * 36 * 9 * 4 * 8)
near(try("norm", { rows = 7, size = 32 }), 4 * 7 * 32)
near(try("decode", { m = 24, k = 32, rows = 2, storage = "bf16" }), 2 * 24 * 32 * 2)
near(try("decode", { batch = 2 }), 2 * operations("decode"))
near(try("draw", { images = 2 }), 2 * operations("draw", { images = 2, guidance = 1 }))
near(try("score", { images = 4 }), 4 * operations("score", { images = 1 }))
near(try("train", { batch = 2 }), 2 * operations("train", { batch = 1 }))
t.that(operations("train", { batch = 1, lora = 2 }) < operations("train", { batch = 1 }))
for _, row in ipairs(bench.measure "roof") do whole(row) end
tried.roof = true
for name in pairs(bench.works) do t.that(tried[name], "nothing tries bench " .. name) end

-- What the counts are made of: the sizes of the embedded model, and the tokens of a text.
local jobs, close = bench.jobs("draw", { images = 1 })
local sizes = jobs[1].sizes
t.equal({ sizes.codes, sizes.patches, sizes.layers, sizes.width, sizes.queries, sizes.keys, sizes.eyes },
  { 64, 64, 5, 128, 128, 128, 2 })
t.equal(sizes.body, 5 * (4 * 128 * 128 + 3 * 128 * 384 + 2 * 128))
t.equal({ sizes.prompt, sizes.question }, { 12, 84 })
close()

t.equal(bench.median { 3, 1, 2 }, 2)
t.equal(bench.median { 4, 1, 2, 3 }, 2.5)

-- ---- The command ----

local said, code = sh "$tain bench matmul --m 8 --n 8 --k 8 --repeats 1 --json"
t.equal(code, 0)
t.equal(select(2, said:gsub("\n", "")), 1)
local row = json.decode(said)
for _, name in ipairs(bench.names) do t.that(row[name] ~= nil, said) end
t.equal({ row.work, row.shape, row.storage }, { "matmul", "m 8, n 8, k 8", "f32" })
t.equal(said:match '^{"work":"matmul","shape":.-,"storage":.-,"ms":.-,"gflops":.-,"gbs":.-,"limit_share":.-}\n$', said)

local about = sh "$tain bench --help"
for name in pairs(bench.works) do t.that(about:find("\n  " .. name .. " ", 1, true), name) end
t.equal(sh "$tain help bench", about)
t.that(sh("$tain bench conv --help"):find "a convolution .-\n  %-%-batch INTEGER")

refused("mutmal", 2, "bench has no work mutmal; did you mean matmul?")
refused("matmul --q 1", 2, "tain bench matmul: unknown option --q; did you mean --k?; --help shows the options")
refused("matmul --m 0", 2, "tain bench matmul: --m must be at least 1, not 0")
refused("matmul --m 1.5", 2, "--m must be an integer, not 1.5")
refused("matmul --storage f64", 2, '--storage must be one of f32, f16, bf16, int8, int4, not "f64"')
refused("matmul --m", 2, "--m needs a value")
refused("--storage f16", 2, "tain bench: unknown option --storage")
refused("draw --model /nonexistent", 2, "--model: there is no /nonexistent")
refused("attention --heads 1 --tokens 8 --size 6 --json", 1, "attention: ")
refused("decode --m 8 --model recipes/blocks/model --json", 1, "--m 8 and --model recipes/blocks/model")

-- ---- make bench ----

said, code = sh "PYTHON=false $tain tests/bench/compare.lua --small --repeats 1 2> /dev/null"
t.equal(code, 0)
local names = {}
for line in said:gmatch "[^\n]+" do
  if line:find "^{" then
    local one = json.decode(line)
    t.that(one.tain_ms > 0 and line:find('"peer":null,"peer_ms":null,"ratio":null', 1, true), line)
    names[#names + 1] = one.work
  end
end
t.equal(names, { "train", "draw", "score", "attention", "attention_backward", "matmul", "matmul_tiny",
  "decode_bf16", "decode_f32", "conv" })
