--- SPIR-V that the repository carries, of shaders that an older glslc cannot compile.
---
---     luajit lua/gen/carried.lua keep shaders/NAME.comp SPV.inc ...       writes shaders/NAME.words
---     luajit lua/gen/carried.lua take shaders/NAME.comp VARIANT SPV.inc   writes one variant of it
---
--- NAME.words has a hash of the shader and of all that it includes, and the words of each variant as hexadecimal
--- numbers. If the hash is not that of the sources as they are, the words are of other sources, and not given out.

local bit = require "bit"

local verb, source = arg[1], arg[2]
local words = source:gsub("%.comp$", "") .. ".words"
local head = "Made by `make carried`, of sources whose hash is "

local function fail(...)
  io.stderr:write(string.format(...), "\n")
  os.exit(1)
end

local function read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read("*a")
  file:close()
  return text
end

-- FNV-1a of a file and, where they are named in it, of those it includes.
local function hash(path, h)
  local text = read(path) or fail("%s: is missing", path)
  for i = 1, #text do h = bit.bxor(h, text:byte(i)) * 1099511628211ULL end
  for name in text:gmatch('\n#include "([^"]+)"') do
    h = hash(path:match("^.*/") .. name, h)
  end
  return h
end

local sum = bit.tohex(hash(source, 14695981039346656037ULL), 16)

if verb == "keep" then
  local out = assert(io.open(words, "wb"))
  out:write(head, sum, "\n")
  for n = 3, #arg do
    local line = ""
    out:write("\n", arg[n]:match("([^/]+)%.inc$"), "\n")
    for word in assert(read(arg[n])):gmatch("0x(%x+)") do
      word = word:gsub("^0+(.)", "%1")
      if #line + #word >= 120 then
        out:write(line, "\n")
        line = ""
      end
      line = line .. (line == "" and "" or " ") .. word
    end
    out:write(line, "\n")
  end
  out:close()
else
  local text = read(words) or ""
  if text:sub(1, #head + #sum) ~= head .. sum then
    fail("%s is not what %s and its includes are now: `make carried`, with a glslc that knows its extensions, makes it again",
      words, source)
  end
  local list = text:match("\n\n" .. arg[3]:gsub("%p", "%%%0") .. "\n([%x%s]+)")
    or fail("%s: there is no %s; `make carried` makes it again", words, arg[3])
  local out = assert(io.open(arg[4], "wb"))
  out:write("{", (list:gsub("(%x+)%s*", "0x%1,")), "}\n")
  out:close()
end
