--- Every operation, with every argument wrong in every way, compiled and interpreted: it answers with a
--- sentence that names the operation, and the process lives.
local t = require "expect"
local tain = require "tain"
local ops = require "tain.ops"
local tensor = require "tain.tensor"

local methods = {}   -- as made from the header, without what lua/tain/tensor.lua makes nicer
ops.install(methods, tensor.adopt)

local freed = tain.tensor { 1 }
freed:free()

local tensors = {
  tain.tensor(1), tain.tensor { 1, 2, 3 }, tain.tensor { { 1, 2, 3 }, { 4, 5, 6 } }, tain.tensor {},
  tain.zeros(2, 3, 4, 5), tain.zeros({ 3 }, { type = "i32" }),
    tain.zeros({ 2, 3 }, { type = "bf16" }),
  tain.zeros(2, 0, 3),
}

-- Never what an argument of this kind can be.
local wrong = {
  Tensor = { 0, -1, 0 / 0, "x", true, {}, print, freed, coroutine.create(print), 5LL },
  integer = { 3.7, 0 / 0, 1 / 0, -1 / 0, 2 ^ 64, "1", true, {}, print, tensors[1] },
  number = { 0 / 0, "1", true, {}, print, tensors[1] },
  boolean = { 0, "true", {}, print, tensors[1] },
  string = { 0, true, {}, print, tensors[1], "no such name", "a\0b" },
  ["integer[]"] = { 0, "x", true, print, tensors[1], { 1.5 }, { 1, "x" }, { 0 / 0 }, { {} } },
  ["number[]"] = { 0, "x", true, print, tensors[1], { "x" }, { 0 / 0 }, { {} } },
  ["Tensor[]"] = { 0, "x", true, print, tensors[1], { 1 }, { tensors[1], freed }, { {} } },
}

-- Of the right kind; whether it is possible is the core's to say.
local possible = {
  Tensor = tensors,
  integer = { 0, 1, -1, 2, 7, -100, 2 ^ 31 - 1, -2 ^ 31 },
  number = { 0, 1, -1, 1e-30, 1e300, 1 / 0, -1 / 0 },
  boolean = { true, false },
  string = { "f32", "bf16", "i32", "" },
  ["integer[]"] = { {}, { 3 }, { 2, 3 }, { -1, 3 }, { 0 }, { 2 ^ 40, 2 ^ 40 }, { -5 },
    { 1, 1, 1, 1, 1, 1, 1 }, { 1, 0 } },
  ["number[]"] = { {}, { 1 }, { 1, 2, 3 } },
  ["Tensor[]"] = { {}, { tensors[2] }, { tensors[2], tensors[2] }, { tensors[3], tensors[5] } },
}

local random = tain.random(1)
local function one_of(list) return list[random:integer(#list)] end

local calls = 0
local function call(name, args, count)
  calls = calls + 1
  return tain.scope(function()
    return pcall(methods[name], unpack(args, 1, count))
  end)
end

local function every(round)
  for name, takes in tain.sorted(ops.signatures) do
    for i, take in ipairs(takes) do
      for _, value in ipairs(wrong[take[2]]) do
        local args = {}
        for k, other in ipairs(takes) do args[k] = one_of(possible[other[2]]) end
        args[i] = value
        local ok, message = call(name, args, #takes)
        if ok then error(("%s: took %s for %s"):format(name, tostring(value), take[1])) end
        if not message:find(name .. ": ", 1, true) then
          error(("%s says: %s"):format(name, message))
        end
      end
      if not take[3] then
        local args = {}
        for k, other in ipairs(takes) do args[k] = k < i and one_of(possible[other[2]]) or nil end
        local ok, message = call(name, args, #takes)
        t.that(not ok and message:find(name .. ": ", 1, true), name .. " took nothing: "
          .. tostring(message))
      end
    end
    for _ = 1, round do
      local args = {}
      for k, other in ipairs(takes) do args[k] = one_of(possible[other[2]]) end
      local ok, message = call(name, args, #takes)
      if not ok and not message:find("^[^:]+:%d+: [%w_ ]+:") then
        error(("%s says: %s"):format(name, tostring(message)))
      end
    end
  end
end

every(20)
jit.off()
every(5)
jit.on()
t.that(calls > 1000)
