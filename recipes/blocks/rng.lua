--- Random numbers by counting: Philox-4x32-10 (Salmon et al., 2011).
---
--- A number depends on (seed, stream, position) and on nothing else, so a run is resumed exactly by
--- setting the position, and one candidate can be drawn again alone. The seed is the key; the
--- counter is (block low, block high, stream low, stream high); each block gives four words of 32
--- bits, used in order. Blocks are made 64 at a time into a buffer, which is only a cache.

local bit = require "bit"
local ffi = require "ffi"

local band, bxor, rshift = bit.band, bit.bxor, bit.rshift
local floor, log, sqrt, cos, sin = math.floor, math.log, math.sqrt, math.cos, math.sin

local BLOCKS = 64
local WORDS = 4 * BLOCKS
local WORD = 4294967296
local LOW = 0xffffffffULL
local M0, M1 = 0xD2511F53ULL, 0xCD9E8D57ULL
local W0, W1 = 0x9E3779B9, 0xBB67AE85

--- @class blocks.Rng
--- @field seed integer
--- @field stream integer
local Rng = {}
Rng.__index = Rng

local rng = {}

-- The round keys of all ten rounds, in pairs.
local function schedule(k0, k1)
  local keys = ffi.new("uint64_t[20]")
  for i = 0, 9 do
    keys[2 * i] = (k0 + i * W0) % WORD
    keys[2 * i + 1] = (k1 + i * W1) % WORD
  end
  return keys
end

local function round(c0, c1, c2, c3, k0, k1)
  local p0, p1 = M0 * c0, M1 * c2
  return bxor(rshift(p1, 32), c1, k0), band(p1, LOW), bxor(rshift(p0, 32), c3, k1), band(p0, LOW)
end

-- Writes `count` blocks from (c0, c1, c2, c3) on, where only c0 and c1 count up.
local function fill(words, count, keys, counter)
  local first, c2, c3 = counter[0], counter[1], counter[2]
  for i = 0, count - 1 do
    local block = first + i
    local a, b, c, d = band(block, LOW), rshift(block, 32), c2, c3
    a, b, c, d = round(a, b, c, d, keys[0], keys[1])
    a, b, c, d = round(a, b, c, d, keys[2], keys[3])
    a, b, c, d = round(a, b, c, d, keys[4], keys[5])
    a, b, c, d = round(a, b, c, d, keys[6], keys[7])
    a, b, c, d = round(a, b, c, d, keys[8], keys[9])
    a, b, c, d = round(a, b, c, d, keys[10], keys[11])
    a, b, c, d = round(a, b, c, d, keys[12], keys[13])
    a, b, c, d = round(a, b, c, d, keys[14], keys[15])
    a, b, c, d = round(a, b, c, d, keys[16], keys[17])
    a, b, c, d = round(a, b, c, d, keys[18], keys[19])
    words[4 * i], words[4 * i + 1], words[4 * i + 2], words[4 * i + 3] = a, b, c, d
  end
end

local function refill(self)
  self.counter[0] = self.group * BLOCKS
  fill(self.words, BLOCKS, self.keys, self.counter)
end

--- One block: the function itself, for whoever wants to check it.
---
--- @param counter integer[] four words of 32 bits
--- @param key integer[] two words of 32 bits
--- @return integer, integer, integer, integer
function rng.block(counter, key)
  local words = ffi.new("uint32_t[4]")
  local start = ffi.new("uint64_t[3]")
  start[0] = counter[1] + counter[2] * 0x100000000ULL
  start[1], start[2] = counter[3], counter[4]
  fill(words, 1, schedule(key[1], key[2]), start)
  return words[0], words[1], words[2], words[3]
end

--- Makes a generator. Equal seed and stream give equal numbers.
---
--- @param seed integer 0 to 2^53
--- @param stream? integer 0 to 2^53, default 0; streams of one seed are independent
--- @return blocks.Rng
function rng.new(seed, stream)
  local self = setmetatable({ seed = seed }, Rng)
  self.keys = schedule(seed % WORD, floor(seed / WORD))
  self.words = ffi.new("uint32_t[?]", WORDS)
  self.counter = ffi.new("uint64_t[3]")
  self:restore(stream or 0, 0)
  return self
end

--- Where the generator stands: all there is to keep besides the seed.
---
--- @return integer stream, integer position position counts the words drawn
function Rng:state()
  return self.stream, self.group * WORDS + self.at
end

--- Goes to a place that `state` told.
---
--- @param stream integer
--- @param position integer
function Rng:restore(stream, position)
  self.stream = stream
  self.counter[1], self.counter[2] = stream % WORD, floor(stream / WORD)
  self.group = floor(position / WORDS)
  self.at = position % WORDS
  refill(self)
end

--- The next word of 32 bits.
---
--- @return integer
function Rng:word()
  local at = self.at
  if at == WORDS then
    self.group = self.group + 1
    refill(self)
    at = 0
  end
  self.at = at + 1
  return self.words[at]
end

--- A number in [0, 1), a multiple of 2^-32.
---
--- @return number
function Rng:uniform()
  return self:word() / WORD
end

--- An integer in 1..n.
---
--- @param n integer below 2^32
--- @return integer
function Rng:integer(n)
  return floor(self:word() * n / WORD) + 1
end

--- One element of a list.
---
--- @generic T
--- @param list T[]
--- @return T
function Rng:pick(list)
  return list[floor(self:word() * #list / WORD) + 1]
end

--- Two independent normal numbers of mean 0 and deviation 1 (Box and Muller).
---
--- @return number, number
function Rng:normals()
  local radius = sqrt(-2 * log((self:word() + 1) / WORD))
  local angle = self:word() * (2 * math.pi / WORD)
  return radius * cos(angle), radius * sin(angle)
end

--- A normal number of mean 0 and deviation 1. Uses two words.
---
--- @return number
function Rng:normal()
  local value = self:normals()
  return value
end

return rng
