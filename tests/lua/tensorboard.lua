--- tain.tensorboard: records and payloads byte for byte as TensorBoard's own writer makes them.
local t = require "expect"
local json = require "tain.json"
local tain = require "tain"
local tensorboard = require "tain.tensorboard"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

local function hex(text)
  return (text:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local function bytes(digits)
  return (digits:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end))
end

-- Checksums, and the two records that everyone quotes.
t.equal(tensorboard.crc32c "", 0)
t.equal(tensorboard.crc32c "123456789", 0xe3069283)
local version = tensorboard.version(0)
t.equal(hex(version), "0900000000000000001a0d627261696e2e4576656e743a32")
t.equal(hex(tensorboard.record(version)), "1800000000000000" .. "a37f4b22" .. hex(version)
  .. "eedf28a3")
local loss = tensorboard.scalar("loss", 0.5, 7, 0)
t.equal(hex(loss), "09000000000000000010072a0d0a0b0a046c6f7373150000003f")
t.equal(hex(tensorboard.record(loss)), "1a00000000000000" .. "129bd82d" .. hex(loss) .. "dbe61b2e")

-- A whole file: the records as such, and the payloads of those kinds that we write.
local golden = "tests/golden/tensorboard/events.out.tfevents.1700000000.host.0"
local records, file = json.decode(read(golden .. ".records.json")), {}
for i, record in ipairs(records) do file[i] = tensorboard.record(bytes(record.payload_hex)) end
t.that(table.concat(file) == read(golden), "records differ")

local made = {
  [2] = { "loss", 1, 0, 0 }, [3] = { "loss", 0.5, 10, 1 }, [4] = { "loss", 1 / 3, 20, 2 },
  [5] = { "loss", 0.25, 30, 3 }, [6] = { "rewards/margins", -0.375, 7, 0.5 },
  [7] = { "odd/values", 0 / 0, 1, 0 }, [8] = { "odd/values", 1 / 0, 2, 0 },
  [9] = { "odd/values", 1e-42, 2 ^ 40, 0 },
}
for i, given in pairs(made) do
  t.equal(hex(tensorboard.scalar(given[1], given[2], given[3], 1700000000 + given[4])),
    records[i].payload_hex)
end
do
  local payload = bytes(records[10].payload_hex)
  local png = payload:sub(payload:find("\137PNG", 1, true), -1)
  t.equal(hex(tensorboard.picture("round/0", png, 9, 6, 3, 1700000002)), records[10].payload_hex)
end

-- Files: two in one second, nothing of the machine's name, whole after each row.
local folder = os.tmpname()
os.remove(folder)
os.execute("mkdir " .. folder)
local one, two = tensorboard.open(folder), tensorboard.open(folder)
t.that(one.path ~= two.path and one.path:find("/events%.out%.tfevents%.%d+%.tain%.%d$"))
one:scalars(3, { loss = 0.5, epoch = 1, kind = "step" })
one:image("probe/1", tain.image(4, 2), 3)
local text, at, tags = read(one.path), 1, {}
while at <= #text do
  local length = text:byte(at) + 256 * text:byte(at + 1)
  local payload = text:sub(at + 12, at + 11 + length)
  t.equal(hex(tensorboard.record(payload)), hex(text:sub(at, at + 15 + length)))
  tags[#tags + 1] = payload:match("epoch") or payload:match("loss") or payload:match("probe/1")
    or payload:match("brain%.Event:2")
  at = at + 16 + length
end
t.equal(tags, { "brain.Event:2", "epoch", "loss", "probe/1" })
one:close()
one:put "nothing"   -- after the end it is silent
two:close()
os.execute("rm -r " .. folder)
