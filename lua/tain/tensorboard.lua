--- TensorBoard's event files: the same numbers and pictures that the JSON lines hold, for those who
--- look at their runs with it.
---
--- A file is a row of records: the payload's length (8 bytes), a checksum of these, the payload, a
--- checksum of it. A payload is a protobuf message of five fields, so no library is needed. Several
--- files in one folder are read as one run, so going on with a run begins another file.

local bit = require "bit"
local ffi = require "ffi"
local check = require "tain.check"
local clock = require "tain.clock"
local own = require "tain.own"

local band, bxor, bor, rshift, lshift = bit.band, bit.bxor, bit.bor, bit.rshift, bit.lshift
local tensorboard = {}

-- ---- Checksums: CRC-32C (Castagnoli), as records have them ----

local steps = ffi.new("uint32_t[256]")
for i = 0, 255 do
  local c = i
  for _ = 1, 8 do
    c = band(c, 1) == 1 and bxor(rshift(c, 1), 0x82F63B78) or rshift(c, 1)
  end
  steps[i] = c
end

--- The CRC-32C of a string.
---
--- @param text string
--- @return integer
function tensorboard.crc32c(text)
  local bytes, c = ffi.cast("const uint8_t *", text), -1
  for i = 0, #text - 1 do
    c = bxor(steps[band(bxor(c, bytes[i]), 255)], rshift(c, 8))
  end
  return bit.bnot(c) % 2 ^ 32
end

local function little(type_, value)
  local cell = ffi.new(type_ .. "[1]", value)
  return ffi.string(cell, ffi.sizeof(cell))
end

-- Rotated and shifted, so that a checksum of data that holds checksums is not trivial.
local function masked(text)
  local c = tensorboard.crc32c(text)
  local turned = bor(rshift(c, 15), lshift(c, 17)) % 2 ^ 32
  return little("uint32_t", (turned + 0xa282ead8) % 2 ^ 32)
end

--- One record.
---
--- @param payload string
--- @return string
function tensorboard.record(payload)
  local length = little("uint64_t", #payload)
  return length .. masked(length) .. payload .. masked(payload)
end

-- ---- Messages ----

local function varint(n)
  local bytes = {}
  repeat
    local low = n % 128
    n = (n - low) / 128
    bytes[#bytes + 1] = string.char(n > 0 and low + 128 or low)
  until n == 0
  return table.concat(bytes)
end

local function field(number, text)   -- of bytes
  return string.char(number * 8 + 2) .. varint(#text) .. text
end

local function number(field_, n)   -- an integer; what is 0 is left out
  return n == 0 and "" or string.char(field_ * 8) .. varint(n)
end

local function event(seconds, step, rest)
  return "\9" .. little("double", seconds) .. number(2, step) .. rest
end

--- The payload of a file's first record.
---
--- @param seconds number since 1970
--- @return string
function tensorboard.version(seconds)
  return event(seconds, 0, field(3, "brain.Event:2"))
end

--- The payload of one number.
---
--- @param tag string
--- @param value number
--- @param step integer
--- @param seconds number since 1970
--- @return string
function tensorboard.scalar(tag, value, step, seconds)
  local float = value == value and little("float", value) or "\0\0\192\127"
  return event(seconds, step, field(5, field(1, field(1, tag) .. "\21" .. float)))
end

--- The payload of one picture.
---
--- @param tag string
--- @param png string the content of a PNG file
--- @param width integer
--- @param height integer
--- @param step integer
--- @param seconds number since 1970
--- @return string
function tensorboard.picture(tag, png, width, height, step, seconds)
  local inner = number(1, height) .. number(2, width) .. number(3, 3) .. field(4, png)
  return event(seconds, step, field(5, field(1, field(1, tag) .. field(4, inner))))
end

-- ---- Files ----

--- @class Board
local Board = {}
Board.__index = Board

--- Begins a file in a folder that exists. The name of the machine is not in it.
---
--- @param folder string
--- @return Board
function tensorboard.open(folder)
  local seconds, path = clock.time(), nil
  for i = 0, 999 do   -- two in one second
    path = ("%s/events.out.tfevents.%010d.tain.%d"):format(folder, seconds, i)
    local there = io.open(path, "rb")
    if not there then break end
    there:close()
  end
  local file, why = io.open(path, "ab")
  if not file then check.raise("tensorboard: %s", why) end
  local self = setmetatable({ file = file, path = path }, Board)
  self:put(tensorboard.version(seconds))
  return self
end

--- Adds a record. A full disk ends the file, not the run.
---
--- @param payload string
function Board:put(payload)
  if not self.file then return end
  if not (self.file:write(tensorboard.record(payload)) and self.file:flush()) then
    io.stderr:write("tain: ", self.path, " cannot be written any more\n")
    self:close()
  end
end

--- Adds the numbers of a row under their names.
---
--- @param step integer
--- @param row table name -> value; what is no number is left out
function Board:scalars(step, row)
  local names = {}
  for name, value in pairs(row) do
    if type(value) == "number" then names[#names + 1] = name end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    self:put(tensorboard.scalar(name, row[name], step, clock.time()))
  end
end

--- Adds an image.
---
--- @param tag string
--- @param image Image
--- @param step integer
function Board:image(tag, image, step)
  assert(own.kind(image) == "image")
  local width, height = image:size()
  self:put(tensorboard.picture(tag, image:png(), width, height, step, clock.time()))
end

function Board:close()
  if self.file then self.file:close() end
  self.file = nil
end

return tensorboard
