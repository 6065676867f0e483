--- tain.json: what is written is read back, and nothing else is read.
local t = require "expect"
local json = require "tain.json"

-- Written.
t.equal(json.encode { b = 1, a = { true, false, "x" } }, '{"a":[true,false,"x"],"b":1}')
t.equal(json.encode {}, "{}")
t.equal(json.encode(json.array {}), "[]")
t.equal(json.encode { x = json.null }, '{"x":null}')
t.equal(json.encode('a"\\\n\t\1\127/é'), '"a\\"\\\\\\n\\t\\u0001\\u007f/é"')
t.equal(json.encode(2 ^ 53), "9007199254740992")
t.equal(json.encode(-2 ^ 53), "-9007199254740992")
t.equal(json.encode(0.1), "0.1")
t.equal(json.encode(-0.0), "-0")
t.equal(json.encode(1e300), "1e+300")
t.equal(json.encode(123456789012345678LL), "123456789012345678")
for _, n in ipairs { 1 / 3, 2 ^ 60, 2 ^ 53 + 2, 1e16, 12345678901234567, 5e-324,
  1.7976931348623157e308, -1e22, 1e15 + 0.5 } do
  t.equal(json.decode(json.encode(n)), n)
end

t.fails(json.encode, "NaN", 0 / 0)
t.fails(json.encode, "a.b is infinite", { a = { b = 1 / 0 } })
t.fails(json.encode, "is not UTF-8", "\255")
t.fails(json.encode, "a[2] is a function", { a = { 1, print } })
t.fails(json.encode, "holes", { 1, nil, 3 })
t.fails(json.encode, "both names and numbers", { 1, a = 2 })
local cycle = {}
cycle.me = cycle
t.fails(json.encode, "holds itself", cycle)

-- Read.
local function refused(text, problem)
  local value, message = json.decode(text)
  if value ~= nil or not message or not message:find(problem, 1, true) then
    error(("%q gives %s, %s and not %s"):format(text, tostring(value), tostring(message), problem),
      2)
  end
end

t.equal(json.decode ' [ 1 , -2.5e1, "x" , { } , [ ] , null ] ', { 1, -25, "x", {}, {}, json.null })
t.equal(json.decode '{"a":null,"b":false}', { b = false })
t.equal(json.decode '"\\u00e9\\ud83d\\ude00\\/"', "é😀/")
t.equal(json.decode "0", 0)
t.equal(json.decode "false", false)
t.equal(json.decode "null", json.null)
t.equal(json.encode(json.decode "[]"), "[]")
t.equal(json.decode(("["):rep(64) .. ("]"):rep(64)) ~= nil, true)

for text, problem in pairs {
  [""] = "no value", ["  "] = "no value", ["1 2"] = "byte 3: something after", ["01"] = "no value",
  ["+1"] = "no value", [".5"] = "no value", ["1."] = "something after", ["1e"] = "something after",
  ["nul"] = "no value", ["nullx"] = "no value", ["NaN"] = "no value", ["Infinity"] = "no value",
  ["1e999"] = "too large", ["9007199254740993000"] = "beyond 2^53", ["'a'"] = "no value",
  ['"a'] = "without an end", ['"\n"'] = "control character", ['"\\x"'] = "unknown escape",
  ['"\\u12g4"'] = "broken \\u", ['"\\ud800"'] = "half a surrogate",
    ['"\\ud800\\u0041"'] = "half a surrogate",
  ['"\\udc00"'] = "half a surrogate", ["[1,]"] = "no value", ["[1"] = "array without an end",
  ["{"] = "a name is missing", ['{"a"}'] = "a colon", ['{"a":1,}'] = "a name is missing",
    ["{a:1}"] = "a name",
  ['{"a":1,"a":2}'] = "second time", ['{"a":null,"a":2}'] = "second time",
    ['{"a":1'] = "object without an end",
  ['"\255"'] = "byte 2: not UTF-8", ["\239\187\1911"] = "no value",
    ['"\237\160\128"'] = "not UTF-8",
  ['"\192\128"'] = "not UTF-8", ['"\244\144\128\128"'] = "not UTF-8", ["// x\n1"] = "no value",
  [("["):rep(65) .. ("]"):rep(65)] = "nested",
} do
  refused(text, problem)
end
t.fails(json.decode, "text must be a string, not nil", nil)

-- Every prefix of a good text is refused, and no change of a byte does worse than be refused.
local good = '{"a":[1,2.5,"x\\u00e9y",true],"b":{"c":null}}'
for i = 0, #good - 1 do t.that(json.decode(good:sub(1, i)) == nil) end
for i = 1, #good do
  for byte = 0, 255 do json.decode(good:sub(1, i - 1) .. string.char(byte) .. good:sub(i + 1)) end
end
