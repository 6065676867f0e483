--- Files and folders for tain's own modules: whole, atomic, durable.
---
--- A function that acts raises the core's sentence when it fails. Recipes do not get this module;
--- what they keep goes through tain.run.

local ffi = require "ffi"
local check = require "tain.check"

local C = ffi.C
local files = {}

local LIMIT = 2 ^ 31

-- The string in bytes from C, which end here.
local function take(bytes)
  check.made(bytes)
  local text = ffi.string(C.tain_bytes_at(bytes), tonumber(C.tain_bytes_count(bytes)))
  C.tain_bytes_free(bytes)
  return text
end
files.take = take

--- A whole file.
---
--- @param path string
--- @param limit? integer bytes at most
--- @return string
function files.read(path, limit)
  return take(C.tain_file_read(path, limit or LIMIT))
end

--- Writes a file so that at any moment there is all of the old or all of the new.
---
--- @param path string
--- @param text string
function files.write(path, text)
  check.status(C.tain_file_write(path, text, #text))
end

--- @param from string
--- @param to string
function files.copy(from, to)
  check.status(C.tain_file_copy(from, to))
end

--- Renames a file or a folder; durable when it returns.
---
--- @param from string
--- @param to string
function files.rename(from, to)
  check.status(C.tain_file_rename(from, to))
end

--- @param path string
function files.remove(path)
  check.status(C.tain_file_remove(path))
end

--- @param path string
--- @return boolean
function files.exists(path)
  return C.tain_file_exists(path)
end

--- @param path string
--- @return integer bytes
function files.size(path)
  return tonumber(check.status(C.tain_file_size(path)))
end

--- What a file's content is known by: 64 hexadecimal digits.
---
--- @param path string
--- @return string
function files.sha256(path)
  return take(C.tain_file_sha256(path))
end

--- The same of a string.
---
--- @param text string
--- @return string
function files.digest(text)
  return take(C.tain_sha256(text, #text))
end

--- @param path string
--- @return boolean
function files.folder_exists(path)
  return C.tain_folder_exists(path)
end

--- Makes a folder, with its parents. It may exist.
---
--- @param path string
function files.make_folder(path)
  check.status(C.tain_folder_make(path))
end

--- The names in a folder, sorted.
---
--- @param path string
--- @return string[]
function files.list(path)
  local names = {}
  for name in take(C.tain_folder_list(path)):gmatch("([^%z]+)%z") do names[#names + 1] = name end
  return names
end

--- Makes everything in a folder durable.
---
--- @param path string
function files.settle(path)
  check.status(C.tain_folder_settle(path))
end

--- Removes a folder with everything in it.
---
--- @param path string
function files.remove_folder(path)
  check.status(C.tain_folder_remove(path))
end

-- ---- Base64, for pages that hold their own pictures ----

local digits = {}
for c in ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"):gmatch(".") do
  digits[#digits + 1] = c
end

--- Writes a folder under another name, PATH.part, makes it durable, and only then gives it its own.
---
--- @param path string
--- @param save function of the folder to write into
function files.write_folder(path, save)
  local part = path .. ".part"
  if files.folder_exists(part) then files.remove_folder(part) end
  files.make_folder(part)
  save(part)
  files.settle(part)
  if files.folder_exists(path) then files.remove_folder(path) end
  files.rename(part, path)
end

--- @param text string
--- @return string
function files.base64(text)
  local out = {}
  for i = 1, #text, 3 do
    local a, b, c = text:byte(i, i + 2)
    local n = a * 65536 + (b or 0) * 256 + (c or 0)
    out[#out + 1] = digits[math.floor(n / 262144) + 1] .. digits[math.floor(n / 4096) % 64 + 1]
      .. (b and digits[math.floor(n / 64) % 64 + 1] or "=") .. (c and digits[n % 64 + 1] or "=")
  end
  return table.concat(out)
end

return files
