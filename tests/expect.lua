--- What a test in Lua needs. Every check names the test's own line when it fails.

local expect = {}

local function show(value)
  if type(value) ~= "table" then
    return type(value) == "string" and ("%q"):format(value) or tostring(value)
  end
  local parts = {}
  for k, v in pairs(value) do parts[#parts + 1] = tostring(k) .. "=" .. show(v) end
  table.sort(parts)
  return "{" .. table.concat(parts, ", ") .. "}"
end

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b or (a ~= a and b ~= b) end
  for k, v in pairs(a) do if not same(v, b[k]) then return false end end
  for k in pairs(b) do if a[k] == nil then return false end end
  return true
end

--- Both are the same, tables by content.
function expect.equal(a, b)
  if not same(a, b) then error(("%s is not %s"):format(show(a), show(b)), 2) end
end

--- Numbers, or lists of numbers, that differ by no more than this.
function expect.close(a, b, tolerance)
  if type(a) == "table" then
    if #a ~= #b then error(("%d numbers, not %d"):format(#a, #b), 2) end
    for i = 1, #a do
      if not (math.abs(a[i] - b[i]) <= tolerance) then
        error(("at %d: %.9g is not %.9g"):format(i, a[i], b[i]), 2)
      end
    end
  elseif not (math.abs(a - b) <= tolerance) then
    error(("%.9g is not %.9g"):format(a, b), 2)
  end
end

function expect.that(condition, what)
  if not condition then error(what or "this does not hold", 2) end
end

--- The function fails, and its message has this text in it. Returns the message.
function expect.fails(fn, text, ...)
  local ok, raised = pcall(fn, ...)
  if ok then error("it did not fail", 2) end
  local message = type(raised) == "table" and raised.message or raised
  if not tostring(message):find(text, 1, true) then
    error(("it says %s and not %s"):format(show(message), text), 2)
  end
  return message
end

function expect.skip(why)
  io.stderr:write("skipped: ", why, "\n")
  os.exit(77, true) -- closed, so that nothing counts as leaked
end

return expect
