--- tain.vocabulary: the files are those that tests/io/tokenizer.c reads, where each word is one token.
local t = require "expect"
local json = require "tain.json"
local vocabulary = require "tain.vocabulary"

local golden = "tests/golden/tokenizers/blocks/"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

local words = json.decode(read(golden .. "words.json"))
local files, count = vocabulary.make(words)
local names = 0
for name, text in pairs(files) do
  names = names + 1
  t.equal(text .. "\n" == read(golden .. name), true)
  t.equal(text, (vocabulary.make(words))[name])
end
t.equal(names, 3)

-- Ids are dense: bytes, merged words, special tokens.
local made = json.decode(files["tokenizer.json"])
local seen = {}
for _, id in pairs(made.model.vocab) do seen[id + 1] = true end
for _, token in ipairs(made.added_tokens) do seen[token.id + 1] = true end
t.equal(#seen, count)
t.equal(#made.added_tokens, 14)

t.fails(vocabulary.make, "word 2 must be letters", { "red", "two words" })
t.fails(vocabulary.make, "word 1 must be letters", { 7 })
t.fails(vocabulary.write, "cannot be written", "/nonexistent", { "red" })
