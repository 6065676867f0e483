--- tain.data and tain.random: lines with their numbers, batches that can be gone on with exactly.
local t = require "expect"
local tain = require "tain"
local random = require "tain.random"
local ffi = require "ffi"

local path = os.tmpname()
local function write(text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

-- JSON lines.
write '{"prompt":"a","n":1}\n\n{"prompt":"b","n":2}\r\n{"prompt":"c","n":3}'
local list = tain.jsonl(path)
t.equal(#list, 3)
local seen = {}
for item in list do
  for inner in list do seen[#seen + 1] = item.prompt .. inner.prompt end
  if item.prompt == "b" then break end
end
t.equal(table.concat(seen, " "), "aa ab ac ba bb bc")
t.equal(tain.column(list, "prompt"), { "a", "b", "c" })
t.fails(tain.column, "item 1 has no promt; did you mean prompt?", list, "promt")
t.fails(tain.jsonl, ":1: there is no category", path, { "category" })
write '{"a":1}\n{"a":}\n'
t.fails(tain.jsonl, path .. ":2: byte 6: no value", path)
write "[1]\n"
t.fails(tain.jsonl, ":1: an object is expected", path)
write ""
t.equal(#tain.jsonl(path), 0)
for _ in tain.jsonl(path) do error "empty" end
t.fails(tain.jsonl, "cannot open", "/nonexistent/file")
t.fails(tain.jsonl, "path must be a string, not nil", nil)
os.remove(path)

-- Batches: columns, order, the smaller last one.
local data = {}
for i = 1, 10 do data[i] = { i = i, name = "n" .. i } end
data[3].odd = true
local function run(options)
  local order, sizes = {}, {}
  for step, batch, state in tain.batches(data, options) do
    t.equal(#batch.i, #batch.name)
    for k, i in ipairs(batch.i) do t.equal(batch.name[k], "n" .. i) end
    sizes[step] = #batch.i
    for _, i in ipairs(batch.i) do order[#order + 1] = i end
    order.state = state
  end
  return order, sizes
end
local order, sizes = run { size = 4, epochs = 2, seed = 7 }
t.equal(sizes, { 4, 4, 2, 4, 4, 2 })
local count = {}
for _, i in ipairs(order) do count[i] = (count[i] or 0) + 1 end
for i = 1, 10 do t.equal(count[i], 2) end
local first, second = table.concat(order, " ", 1, 10), table.concat(order, " ", 11, 20)
t.that(first ~= second, "both epochs have one order")
t.equal((run { size = 1, epochs = 2, seed = 7 })[13], order[13])
t.that(table.concat(run { size = 4, seed = 8 }, " ") ~= first, "both seeds have one order")
t.equal(table.concat(run { size = 3, shuffle = false }, " "), "1 2 3 4 5 6 7 8 9 10")
t.equal(run { size = 4, epochs = 0 }, {})
for _ in tain.batches({}, { size = 2 }) do error "empty" end

-- Going on from every place gives the same rest.
local whole, states = {}, {}
for step, batch, state in tain.batches(data, { size = 3, epochs = 3, seed = 1 }) do
  whole[step], states[step] = batch.i, state
end
for from = 1, #whole do
  local expected = from
  for step, batch in tain.batches(data, { size = 3, epochs = 3, seed = 1, from = states[from] }) do
    expected = expected + 1
    t.equal(step, expected)
    t.equal(batch.i, whole[step])
  end
  t.equal(expected, #whole)
end

t.fails(tain.batches, "unknown option sise; did you mean size?", data, { sise = 4 })
t.fails(tain.batches, "size must be at least 1, not 0", data, { size = 0 })
t.fails(tain.batches, "list must be a table", nil)
for _, batch in tain.batches(data, { size = 10 }) do
  t.fails(function() return batch.nam end, "no column nam; did you mean name?")
  t.fails(function() return batch.odd end, "no column odd")
end

-- Small things.
t.that(tain.contains({ 1, 2 }, 2) and not tain.contains({ 1, 2 }, 3))
local keys = {}
for key, value in tain.sorted { b = 1, a = 2, [10] = 3, [9] = 4 } do
  keys[#keys + 1] = key .. value
end
t.equal(table.concat(keys, " "), "94 103 a2 b1")
t.fails(tain.sorted, "only numbers and strings", { [true] = 1 })

-- Philox: the vectors of its authors.
local words = ffi.new("uint32_t[4]")
local function block(...)
  random.block(words, ...)
  return ("%08x %08x %08x %08x"):format(words[0], words[1], words[2], words[3])
end
local all = 0xffffffff
t.equal(block(0, 0, 0, 0, 0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8")
t.equal(block(all, all, all, all, all, all), "408f276d 41c83b0e a20bc7c6 6d5451fd")
t.equal(block(0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0),
  "d16cfe09 94fdcceb 5001e420 24126ea1")
local a, b = tain.random(5, 2), tain.random(5, 2)
for _ = 1, 9 do a:word() end
b:restore(9)
t.equal(a:word(), b:word())
t.that(tain.random(5, 3):word() ~= tain.random(5, 2):word())
for _ = 1, 100 do
  local u, n = a:uniform(), a:integer(6)
  t.that(u >= 0 and u < 1 and n >= 1 and n <= 6)
end
