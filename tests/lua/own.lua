--- tain.own: objects are freed once, at the end of their scope or by the collector, whatever happens.
local t = require "expect"
local ffi = require "ffi"
local own = require "tain.own"

ffi.cdef "void *malloc(size_t); void free(void *);"

local alive, freed = 0, 0
local function free(handle)
  alive, freed = alive - 1, freed + 1
  ffi.C.free(handle)
end
local function make()
  alive = alive + 1
  return own.adopt({}, ffi.C.malloc(8), free, "thing")
end

local one = make()
t.equal(own.kind(one), "thing")
t.that(own.handle(one) ~= nil)
own.free(one, free, "hand")
own.free(one, free, "hand")
t.equal(freed, 1)
t.equal(select(2, own.handle(one)), "hand")
t.equal(own.kind {}, nil)

-- What a scope returns survives, the rest does not.
local kept, lost
local a, b = own.scope("its scope", function()
  local x, y, z = make(), make(), make()
  lost = y
  return x, z
end)
t.that(own.handle(a) ~= nil and own.handle(b) ~= nil)
t.equal(select(2, own.handle(lost)), "its scope")
t.equal(alive, 2)
own.free(a, free)
own.free(b, free)

-- Inner results belong to the outer scope.
own.scope("outer", function()
  kept = own.scope("inner", make)
  t.that(own.handle(kept) ~= nil)
end)
t.equal(own.handle(kept), nil)

-- A kept object outlives its scopes.
own.scope("outer", function() kept = own.keep(make()) end)
t.that(own.handle(kept) ~= nil)
own.free(kept, free)

-- A scope that fails frees too, and passes the error on.
t.fails(own.scope, "boom", "outer", function()
  make()
  own.scope("inner", function()
    make()
    error "boom"
  end)
end)
t.equal(alive, 0)
t.equal(select("#", own.scope("none", function() return nil, nil end)), 2)
own.scope("nan", function() return 0 / 0 end)

for _ = 1, 20000 do own.scope("many", function() make() make() end) end
t.equal(alive, 0)

-- The collector frees what nobody freed.
for _ = 1, 100 do make() end
collectgarbage()
collectgarbage()
t.equal(alive, 0)
