--- Tensors: numbers on a device.
---
--- The operations are methods, made from include/tain.h; here is what is nicer by hand: making
--- tensors from tables and back, arithmetic, and the functions that say when temporaries end.

local ffi = require "ffi"
local check = require "tain.check"
local device = require "tain.device"
local ops = require "tain.ops"
local own = require "tain.own"

local C = ffi.C
local types = ops.enums.tain_type
local tensor = {}

--- @class Tensor
local Tensor = {}
Tensor.__index = function(_, name)
  local method = Tensor[name]
  if method == nil then
    check.raise("a tensor has no %s%s", tostring(name), check.suggest(name, Tensor))
  end
  return method
end
Tensor.__metatable = false
tensor.class = Tensor

-- ---- Owning ----

-- Lua's collector sees a few bytes where a device holds megabytes. Outside of scopes, where nothing
-- says when a tensor ends, it is asked to look whenever the device's memory has doubled.
local LEAST = 64 * 2 ^ 20
local collect_at = LEAST

local function collect()
  local memory = tonumber(C.tain_device_memory(device.handle(), false))
  if memory < collect_at then return end
  collectgarbage()
  collectgarbage()   -- the first one runs the finalizers of objects, this one frees what they held
  collect_at = math.max(LEAST, 2 * tonumber(C.tain_device_memory(device.handle(), false)))
end

--- Makes a tensor of a new reference from C; raises the core's sentence if there is none.
---
--- @return Tensor
function tensor.adopt(_, handle)
  check.made(handle)
  local object = own.adopt(setmetatable({}, Tensor), handle, C.tain_tensor_free, "tensor")
  if own.depth() == 0 then collect() end
  return object
end

ops.install(Tensor, tensor.adopt)

--- Frees the tensor now instead of when the collector gets to it. Harmless when it is free already.
function Tensor:free()
  if own.kind(self) ~= "tensor" then check.tensor("free", "x", self) end
  own.free(self, C.tain_tensor_free, "free")
end

--- Lets the tensor outlive the scopes it is in.
---
--- @return Tensor self
function Tensor:keep()
  check.tensor("keep", "x", self)
  return own.keep(self)
end

-- ---- Making ----

-- The shape of nested tables, and the numbers in them in row-major order.
local function flatten(values, shape, depth, numbers, path)
  if depth > #shape then
    if type(values) ~= "number" then
      check.raise("tensor: values%s must be a number, not %s", path, check.show(values))
    end
    numbers[#numbers + 1] = values
    return
  end
  if type(values) ~= "table" or own.kind(values) then
    check.raise("tensor: values%s must be a list of %d, not %s", path, shape[depth],
      check.show(values))
  elseif #values ~= shape[depth] then
    check.raise("tensor: values%s has %d items where the first has %d", path, #values, shape[depth])
  end
  for i = 1, #values do
    flatten(values[i], shape, depth + 1, numbers, path .. "[" .. i .. "]")
  end
end

local function create(fn, shape, options)
  options = check.options(fn, options, {
    type = { "choice", choices = types.list, default = "f32" },
    grad = { "boolean", default = false },
  })
  local sizes, dims = check.array(fn, "shape", shape, "int64_t")
  local made = tensor.adopt(fn, C.tain_tensor_create(device.handle(), types.values[options.type],
    dims, sizes))
  return made, options
end

--- Makes a tensor of a number, a list, or lists in lists.
---
--- @param values number|table
--- @param options? table type ("f32", "f16", "bf16", "i32"), grad (true for a leaf of the tape)
--- @return Tensor
function tensor.tensor(values, options)
  if type(values) ~= "number" and (type(values) ~= "table" or own.kind(values)) then
    check.raise("tensor: values must be a number or a table, not %s", check.show(values))
  end
  local shape, inner = {}, values
  while type(inner) == "table" and #shape < 16 do
    shape[#shape + 1] = #inner
    inner = inner[1]
  end
  local numbers = {}
  flatten(values, shape, 1, numbers, "")
  local made, given = create("tensor", shape, options)
  local handle = own.handle(made)
  if given.type == "i32" then
    for i = 1, #numbers do check.int32("tensor", "values", numbers[i]) end
    check.status(C.tain_tensor_write_ints(handle, ffi.new("int32_t[?]", #numbers + 1, numbers),
      #numbers))
  else
    check.status(C.tain_tensor_write(handle, ffi.new("float[?]", #numbers + 1, numbers), #numbers))
  end
  if given.grad then made:want_grad(true) end
  return made
end

--- Makes a tensor of zeros: `tain.zeros(2, 3)` or `tain.zeros({ 2, 3 }, { type = "f16" })`.
---
--- @return Tensor
function tensor.zeros(first, second, ...)
  local shape, options = first, second
  if type(first) ~= "table" then shape, options = { first, second, ... }, nil end
  local made, given = create("zeros", shape, options)
  if given.grad then made:want_grad(true) end
  return made
end

-- ---- Looking ----

--- The sizes, slowest dimension first.
---
--- @return integer[]
function Tensor:shape()
  local handle = check.tensor("shape", "x", self)
  local shape = {}
  for i = 1, C.tain_tensor_dims(handle) do
    shape[i] = tonumber(C.tain_tensor_size(handle, i - 1))
  end
  return shape
end

--- One size.
---
--- @param dim integer from 0; negative counts from the end
--- @return integer
function Tensor:size(dim)
  local handle = check.tensor("size", "x", self)
  return tonumber(check.status(C.tain_tensor_size(handle, check.int32("size", "dim", dim))))
end

--- @return integer # how many dimensions
function Tensor:dims()
  return C.tain_tensor_dims(check.tensor("dims", "x", self))
end

--- @return integer # how many elements
function Tensor:count()
  return tonumber(C.tain_tensor_count(check.tensor("count", "x", self)))
end

--- @return string # "f32", "f16", "bf16" or "i32"
function Tensor:type()
  return types.of[tonumber(C.tain_tensor_type(check.tensor("type", "x", self)))]
end

--- The elements as a flat list in row-major order. Waits for the device.
---
--- @return number[]
function Tensor:numbers()
  local handle = check.tensor("numbers", "x", self)
  local count = tonumber(C.tain_tensor_count(handle))
  local integers = self:type() == "i32"
  local values = ffi.new(integers and "int32_t[?]" or "float[?]", count + 1)
  check.status((integers and C.tain_tensor_read_ints or C.tain_tensor_read)(handle, values, count))
  local list = {}
  for i = 1, count do list[i] = values[i - 1] end
  return list
end

--- Replaces the elements by a flat list in row-major order.
---
--- @param numbers number[]
--- @return Tensor self
function Tensor:write(numbers)
  local h = check.tensor("write", "x", self)
  check.table("write", "numbers", numbers)
  local values = ffi.new("float[?]", #numbers + 1)
  for i = 1, #numbers do values[i - 1] = check.number("write", "numbers", numbers[i]) end
  check.status(C.tain_tensor_write(h, values, #numbers))
  return self
end

--- Replaces the elements by those of another tensor, without leaving the device.
---
--- @param from Tensor f32, of the same shape
--- @return Tensor self
function Tensor:assign(from)
  check.status(C.tain_tensor_assign(check.tensor("assign", "x", self), check.tensor("assign", "from", from)))
  return self
end

--- The number in a tensor of one element. Waits for the device.
---
--- @return number
function Tensor:item()
  local count = self:count()
  if count ~= 1 then check.raise("item: x must have one element, not %d", count) end
  return self:numbers()[1]
end

function Tensor:__tostring()
  local handle, ended = own.handle(self)
  if handle == nil then return ("tensor, freed by %s"):format(tostring(ended)) end
  return ("tensor %s [%s]"):format(self:type(), table.concat(self:shape(), ", "))
end

-- ---- Arithmetic ----

local function operator(name, with_tensor, tensor_number, number_tensor)
  Tensor["__" .. name] = function(a, b)
    if type(b) == "number" then return tensor_number(a, b) end
    if type(a) == "number" then return number_tensor(a, b) end
    return with_tensor(a, b)
  end
end

operator("add", function(a, b) return Tensor.add(a, b) end,
  function(a, n) return Tensor.shift(a, n) end,
  function(n, b) return Tensor.shift(b, n) end)
operator("sub", function(a, b) return Tensor.sub(a, b) end,
  function(a, n) return Tensor.shift(a, -n) end,
  function(n, b) return Tensor.shift(Tensor.neg(b), n) end)
operator("mul", function(a, b) return Tensor.mul(a, b) end,
  function(a, n) return Tensor.scale(a, n) end,
  function(n, b) return Tensor.scale(b, n) end)
operator("div", function(a, b) return Tensor.div(a, b) end,
  function(a, n) return Tensor.scale(a, 1 / n) end,
  function(n, b) return Tensor.scale(Tensor.reciprocal(b), n) end)
function Tensor.__unm(a) return Tensor.neg(a) end

-- Comparisons, and the choice by mask, take numbers too: `x:gt(0)`, `mask:where(x, 0)`.
for _, name in ipairs { "gt", "ge", "lt", "le", "eq", "where" } do
  local made = Tensor[name]
  Tensor[name] = function(x, a, b)
    if type(a) == "number" then a = tensor.tensor(a) end
    if type(b) == "number" then b = tensor.tensor(b) end
    return made(x, a, b)
  end
end

-- `x:sum()` is of all elements, `x:sum(dim, keep)` along one dimension.
for _, name in ipairs { "sum", "mean" } do
  local all, one = Tensor[name], Tensor[name .. "_dim"]
  Tensor[name] = function(x, dim, keep)
    if dim == nil then return all(x) end
    return one(x, dim, keep)
  end
end

-- ---- Gradients, and when temporaries end ----

--- Makes this tensor a leaf of the tape, whose gradient is computed and kept; later ones are added.
---
--- @param wanted? boolean default true; false also drops the gradient that there is
--- @return Tensor self
function Tensor:want_grad(wanted)
  local handle = check.tensor("want_grad", "x", self)
  if wanted == nil then wanted = true end
  check.status(C.tain_tensor_want_grad(handle, check.boolean("want_grad", "wanted", wanted)))
  return self
end

--- The gradient that backward left, or nil.
---
--- @return Tensor?
function Tensor:grad()
  local handle = C.tain_tensor_grad(check.tensor("grad", "x", self))
  if handle == nil then return nil end
  return tensor.adopt("grad", handle)
end

--- Runs `fn` and frees every tensor it made, save those it returns (itself, not in a table).
---
--- @param fn function
--- @return any ... what fn returns
function tensor.scope(fn)
  return own.scope("the end of its scope", check["function"]("scope", "fn", fn))
end

--- Lets a tensor, or another object, outlive the scopes it is in.
function tensor.keep(object)
  if own.kind(object) == nil then
    check.raise("keep: x must be a tensor, not %s", check.show(object))
  end
  return own.keep(object)
end

local function finish(after, ok, ...)
  after()
  if not ok then error((...), 0) end
  return ...
end

--- Runs `fn` without recording for gradients, and frees what it made, save what it returns.
---
--- @param fn function
--- @return any ... what fn returns
function tensor.no_grad(fn)
  check["function"]("no_grad", "fn", fn)
  local handle = device.handle()
  local before = C.tain_grad_enable(handle, false)
  return finish(function() C.tain_grad_enable(handle, before) end,
    xpcall(own.scope, own.on_error, "the end of no_grad", fn))
end

--- What backward and the optimizer's steps share: runs `fn` on a fresh tape, goes back from the
--- number it returns, and frees what it made.
---
--- @param what string the caller, for messages
--- @param fn function returns a tensor of one element, and whatever else the caller wants
--- @param before? function runs when the tape has begun
--- @param after? function of the loss's handle, runs when gradients are on their way; its result is
---        returned in place of the loss
function tensor.on_tape(what, fn, before, after)
  check["function"](what, "fn", fn)
  local handle = device.handle()
  check.status(C.tain_tape_begin(handle))
  local function run()
    return own.scope("the end of its step", function()
      local function back(loss, ...)
        if own.kind(loss) ~= "tensor" then
          check.raise("%s: the function must return a tensor of one element, not %s", what,
            check.show(loss))
        end
        local number = check.tensor(what, "loss", loss)
        check.status(C.tain_backward(number))
        if after then return after(number), ... end
        return loss:item(), ...
      end
      if before then before() end
      return back(fn())
    end)
  end
  return finish(function() C.tain_tape_end(handle) end, xpcall(run, own.on_error))
end

--- Runs `fn` on a fresh tape, computes the gradients of every leaf that the number it returns
--- depends on, and frees what it made.
---
--- @param fn function returns a tensor of one element, and whatever else the caller wants
--- @return number loss
--- @return any ... what fn returned besides
function tensor.backward(fn)
  return tensor.on_tape("backward", fn)
end

return tensor
