--- Random numbers by counting: Philox-4x32-10 (Salmon et al., 2011).
---
--- A number depends on (seed, stream, position) and on nothing else, so a run can be resumed
--- exactly. The seed is the key; the counter is (block, 0, stream low, stream high); each block
--- gives four words of 32 bits, used in order.

local bit = require "bit"
local ffi = require "ffi"
local check = require "tain.check"

local random = {}

local band, bxor, rshift = bit.band, bit.bxor, bit.rshift
local WORD, LOW = 2 ^ 32, 0xffffffffULL
local M0, M1 = 0xD2511F53ULL, 0xCD9E8D57ULL

--- The four words of one block.
---
--- @param words ffi.cdata* uint32_t[4], written
function random.block(words, c0, c1, c2, c3, k0, k1)
  local a, b, c, d = c0 + 0ULL, c1 + 0ULL, c2 + 0ULL, c3 + 0ULL
  local x, y = k0 + 0ULL, k1 + 0ULL
  for _ = 1, 10 do
    local p, q = M0 * a, M1 * c
    a, b, c, d = bxor(rshift(q, 32), b, x), band(q, LOW), bxor(rshift(p, 32), d, y), band(p, LOW)
    x, y = band(x + 0x9E3779B9ULL, LOW), band(y + 0xBB67AE85ULL, LOW)
  end
  words[0], words[1], words[2], words[3] = a, b, c, d
end

--- @class Random
local Random = {}
Random.__index = Random

--- Makes a generator. Equal seed and stream give equal numbers; streams of one seed are
--- independent.
---
--- @param seed integer
--- @param stream? integer default 0
--- @return Random
function random.random(seed, stream)
  check.integer("random", "seed", seed, 0, 2 ^ 53)
  stream = check.integer("random", "stream", stream or 0, 0, 2 ^ 53)
  return setmetatable({ seed = seed, stream = stream, position = 0,
    words = ffi.new("uint32_t[4]") }, Random)
end

--- The next word of 32 bits.
---
--- @return integer
function Random:word()
  local position = self.position
  if position % 4 == 0 or self.stale then
    random.block(self.words, math.floor(position / 4) % WORD, math.floor(position / 4 / WORD),
      self.stream % WORD, math.floor(self.stream / WORD), self.seed % WORD,
        math.floor(self.seed / WORD))
    self.stale = false
  end
  self.position = position + 1
  return self.words[position % 4]
end

--- Goes to a place: how many words would have been drawn.
---
--- @param position integer
function Random:restore(position)
  self.position, self.stale = check.integer("restore", "position", position, 0, 2 ^ 53), true
end

--- A number in [0, 1), a multiple of 2^-32.
---
--- @return number
function Random:uniform()
  return self:word() / WORD
end

--- An integer in 1..n.
---
--- @param n integer
--- @return integer
function Random:integer(n)
  check.integer("integer", "n", n, 1, WORD)
  return math.floor(self:word() * n / WORD) + 1
end

--- The numbers 1..n in random order.
---
--- @param n integer
--- @return integer[]
function Random:order(n)
  local list = {}
  for i = 1, n do list[i] = i end
  for i = n, 2, -1 do
    local j = self:integer(i)
    list[i], list[j] = list[j], list[i]
  end
  return list
end

return random
