--- A tokenizer made from a list of words, in the files and the layout of a real Janus.
---
--- The embedded model speaks few words, so each of them, and each with a space before it, is to be one
--- token. The tokenizer is byte-level BPE all the same: it spells whatever else comes along, and any
--- program that reads a Janus' tokenizer.json reads this one.
---
--- How a merge list makes whole words: a word is put together with the merges there are; if it ends in
--- several pieces, the first two become a new merge, and so on until one is left. A new merge ranks
--- below all others, so it is never asked for while an older one applies, and the words that were done
--- before stay whole.

local check = require "tain.check"
local json = require "tain.json"

local vocabulary = {}

-- How DeepSeek's tokenizer cuts text into words; the long set is every letter with a case.
local LETTERS =
  "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-Ֆՠ-ֈႠ-ჅჇჍᎠ-Ᏽᏸ-ᏽᲀ-ᲈᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-" ..
  "ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳⴀ-" ..
  "ⴥⴧⴭꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꞐ-ꞿꟺꬰ-ꭚꭠ-ꭨꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𖹀-𖹿𞤀-𞥃"
local PATTERNS = {
  "[\r\n]",
  "\\s?[" .. LETTERS .. "]+",
  "\\s?[!-/:-~\\uff01-\\uff0f\\uff1a-\\uff5e\\u2018-\\u201f\\u3000-\\u3002]+",
  "\\s+$",
  "[一-龥ࠀ-一가-퟿]+",
}

local BOS, EOS, PAD = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"
local SPECIAL = {
  BOS, EOS, PAD, "<begin_of_image>", "<end_of_image>", "<image_placeholder>", "<patch_placeholder>",
  "<|ref|>", "<|/ref|>", "<|det|>", "<|/det|>", "<|grounding|>", "<|User|>", "<|Assistant|>",
}

-- ---- Bytes as characters ----

local function utf8(code)
  if code < 0x80 then return string.char(code) end
  return string.char(0xC0 + math.floor(code / 64), 0x80 + code % 64)
end

-- The character of each byte, and all of them in the order of their code points: printable bytes are
-- themselves, the others follow from U+0100 on.
local SPELLED, ALPHABET = {}, {}
do
  local hidden = {}
  for b = 0, 255 do
    if (b >= 0x21 and b <= 0x7E) or (b >= 0xA1 and b ~= 0xAD) then
      SPELLED[b] = utf8(b)
      ALPHABET[#ALPHABET + 1] = SPELLED[b]
    else
      hidden[#hidden + 1] = b
    end
  end
  for i, b in ipairs(hidden) do
    SPELLED[b] = utf8(0x100 + i - 1)
    ALPHABET[#ALPHABET + 1] = SPELLED[b]
  end
end

local function spell(word)
  local pieces = {}
  for i = 1, #word do pieces[i] = SPELLED[word:byte(i)] end
  return pieces
end

-- ---- Merges ----

-- Applies the best merge again and again: the lowest rank, leftmost first.
local function merge(pieces, ranks)
  while true do
    local best, at
    for i = 1, #pieces - 1 do
      local rank = ranks[pieces[i] .. " " .. pieces[i + 1]]
      if rank and (not best or rank < best) then best, at = rank, i end
    end
    if not best then return pieces end
    pieces[at] = pieces[at] .. table.remove(pieces, at + 1)
  end
end

-- Adds what is missing for a word to be one piece.
local function whole(word, merges, ranks)
  local pieces = merge(spell(word), ranks)
  while #pieces > 1 do
    local pair = pieces[1] .. " " .. pieces[2]
    merges[#merges + 1], ranks[pair] = pair, #merges + 1
    pieces = merge(spell(word), ranks)
  end
end

-- ---- Files ----

local function split(pattern)
  return { type = "Split", pattern = { Regex = pattern }, behavior = "Isolated", invert = false }
end

local function byte_level(prefix, trim, regex)
  return { type = "ByteLevel", add_prefix_space = prefix, trim_offsets = trim, use_regex = regex }
end

local function tokenizer(vocab, merges, added)
  local steps = json.array {}
  for i, pattern in ipairs(PATTERNS) do steps[i] = split(pattern) end
  steps[#steps + 1] = { type = "Digits", individual_digits = true }
  steps[#steps + 1] = byte_level(false, true, false)
  return {
    version = "1.0", truncation = json.null, padding = json.null, added_tokens = added,
    normalizer = { type = "Sequence", normalizers = json.array {} },
    pre_tokenizer = { type = "Sequence", pretokenizers = steps },
    post_processor = byte_level(true, false, true),
    decoder = byte_level(true, true, true),
    model = {
      type = "BPE", dropout = json.null, unk_token = json.null, continuing_subword_prefix = json.null,
      end_of_word_suffix = json.null, fuse_unk = false, byte_fallback = false, ignore_merges = false,
      vocab = vocab, merges = json.array(merges),
    },
  }
end

local function role(name)
  return {
    __type = "AddedToken", content = name, lstrip = false, normalized = true, rstrip = false,
    single_word = false,
  }
end

local function config()
  return {
    bos_token = role(BOS), eos_token = role(EOS), pad_token = json.null, unk_token = json.null,
    clean_up_tokenization_spaces = false, legacy = true, model_max_length = 16384,
    tokenizer_class = "LlamaTokenizer", use_default_system_prompt = false,
    sp_model_kwargs = {},
  }
end

local function map()
  local more = json.array {}
  for i = 3, #SPECIAL do more[#more + 1] = SPECIAL[i] end
  return { additional_special_tokens = more, bos_token = BOS, eos_token = EOS, pad_token = PAD }
end

--- Makes a tokenizer in which each of the words is one token, alone and after a space.
---
--- @param words string[] of letters, or a punctuation mark each
--- @return table<string, string> files content by name
--- @return integer count how many ids there are
function vocabulary.make(words)
  local merges, ranks, vocab, added, count = {}, {}, {}, json.array {}, 0
  for i, word in ipairs(words) do
    if type(word) ~= "string" or not (word:find "^%a+$" or word:find "^%p$") then
      check.raise("vocabulary.make: word %d must be letters or one punctuation mark, not %s", i,
        type(word) == "string" and ("%q"):format(word) or type(word))
    end
    whole(word, merges, ranks)
  end
  for _, word in ipairs(words) do whole(" " .. word, merges, ranks) end   -- one merge each, or none
  for _, character in ipairs(ALPHABET) do vocab[character], count = count, count + 1 end
  for _, pair in ipairs(merges) do
    local name = pair:gsub(" ", "")
    if not vocab[name] then vocab[name], count = count, count + 1 end
  end
  for i, name in ipairs(SPECIAL) do
    added[i] = {
      id = count, content = name, single_word = false, lstrip = false, rstrip = false,
      normalized = i <= 2, special = true,
    }
    count = count + 1
  end
  return {
    ["tokenizer.json"] = json.encode(tokenizer(vocab, merges, added)),
    ["tokenizer_config.json"] = json.encode(config()),
    ["special_tokens_map.json"] = json.encode(map()),
  }, count
end

--- Makes a tokenizer and writes its files.
---
--- @param folder string which exists
--- @param words string[]
--- @return integer count how many ids there are
function vocabulary.write(folder, words)
  local files, count = vocabulary.make(words)
  for name, text in pairs(files) do
    local path = folder .. "/" .. name
    local file, problem = io.open(path, "wb")
    local ok = file and file:write(text)
    if file then ok = file:close() and ok end
    if not ok then check.raise("vocabulary.write: %s cannot be written: %s", path, problem or "disk full?") end
  end
  return count
end

return vocabulary
