--- tain check: whether this machine computes what it should.
---
--- Without a folder, every operation is compared with a loop in double precision, and the small
--- models inside the program with what was recorded of them. A folder of recorded runs is compared
--- in the same way, whatever sizes it states.
---
--- Of a model's folder nothing is loaded. What goes wrong with models is nearly always a download
--- that did not end or a file that is missing, and a table of contents beside a file's length shows
--- both.

local ffi = require "ffi"
local golden = require "tain.golden"
local hub = require "tain.hub"
local json = require "tain.json"
local files = require "tain.files"
local tain = require "tain.init"

local wrong = 0

local function say(ok, format, ...)
  if not ok then wrong = wrong + 1 end
  print((ok and "ok      " or "WRONG   ") .. format:format(...))
end

local widths = {
  F64 = 8, I64 = 8, U64 = 8, F32 = 4, I32 = 4, U32 = 4, F16 = 2, BF16 = 2, I16 = 2, U16 = 2,
    I8 = 1, U8 = 1,
  BOOL = 1, F8_E4M3 = 1, F8_E5M2 = 1,
}

local function open(path)
  local file, why = io.open(path, "rb")
  if not file then return nil, why end
  if not file:read(0) and file:seek("end") ~= 0 then return nil, path .. ": is not a file" end
  file:seek("set")
  return file
end

local function read_json(path)
  local file, why = open(path)
  if not file then return nil, why end
  local value, problem = json.decode_table(file:read("*a"))
  file:close()
  return value, problem and path .. ": " .. problem
end

-- The names in a safetensors file, or nil and what is wrong.
local function contents(path)
  local file, why = open(path)
  if not file then return nil, why end
  local size = file:seek("end")
  file:seek("set")
  local head = file:read(8)
  if not head or #head < 8 then file:close() return nil, path .. ": shorter than its own header" end
  local length = tonumber(ffi.cast("const uint64_t *", head)[0])
  if length > 1e8 or 8 + length > size then
    file:close()
    return nil, ("%s: a header of %.0f bytes in a file of %d"):format(path, length, size)
  end
  local header, problem = json.decode(file:read(length))
  file:close()
  if problem then return nil, path .. ": header: " .. problem end
  local names, last = {}, 0
  for name, entry in pairs(header) do
    if name ~= "__metadata__" then
      local offsets = type(entry) == "table" and entry.data_offsets or {}
      local bytes = widths[entry.dtype]
      for _, n in ipairs(bytes and entry.shape or {}) do bytes = bytes * n end
      if bytes and offsets[2] and offsets[2] - offsets[1] ~= bytes then
        return nil, ("%s: %s has %d bytes, its shape says %d"):format(path, name,
          offsets[2] - offsets[1], bytes)
      end
      last = math.max(last, offsets[2] or 0)
      names[#names + 1] = name
    end
  end
  if 8 + length + last ~= size then
    return nil, ("%s: %d bytes, its header says %d: the download did not end"):format(path, size,
      8 + length + last)
  end
  return names
end

-- The names in an archive of PyTorch, or nil and what is wrong: read as it is for loading.
local function bin_contents(path)
  local bytes = ffi.C.tain_weights_list(path)
  if bytes == nil then return nil, ffi.string(ffi.C.tain_error()) end
  local names = {}
  for name in files.take(bytes):gmatch("([^%z]*)%z") do names[#names + 1] = name end
  return names
end

local function exists(path)
  local file = io.open(path)
  if file then file:close() end
  return file ~= nil
end

local function check_weights(folder)
  local main, read = "model.safetensors", contents
  if exists(folder .. "/pytorch_model.bin")
    or exists(folder .. "/pytorch_model.bin.index.json") then
    if not exists(folder .. "/model.safetensors") then
      main, read = "pytorch_model.bin", bin_contents
    end
  end
  local wanted, index = { [main] = true }, nil
  if exists(folder .. "/" .. main .. ".index.json") then
    local why
    index, why = read_json(folder .. "/" .. main .. ".index.json")
    local map = index and index.weight_map
    say(type(map) == "table", "%s", index and main .. ".index.json" or why)
    wanted, index = {}, type(map) == "table" and map or {}
    for _, file in pairs(index) do wanted[file] = true end
  end
  local there = {}
  for file in tain.sorted(wanted) do
    local plain = not file:find("[/\\]") and file ~= ".."
    local names, why = read(folder .. "/" .. (plain and file or "-"))
    say(names, "%s", names and file .. (#names > 0 and (": %d tensors"):format(#names) or "")
      or why)
    for _, name in ipairs(names or {}) do there[name] = file end
  end
  if index then
    local missing
    for name, file in pairs(index) do
      if there[name] ~= file and (not missing or name < missing) then missing = name end
    end
    say(not missing, "%s", missing and missing .. " is not where the index says"
      or "the index fits")
  end
end


local function check_folder(folder)
  local config, why = read_json(folder .. "/config.json")
  say(config, "%s", config and ("%s/config.json: model_type %s"):format(folder,
    tostring(config.model_type)) or why)
  local parts = false
  for _, part in ipairs { "llm", "vision_tower", "mm_projector" } do   -- VILA-U comes in folders
    if exists(folder .. "/" .. part .. "/config.json") then
      parts = true
      check_folder(folder .. "/" .. part)
    end
  end
  if parts then return end
  check_weights(folder)
  if folder:find("/vision_tower$") or folder:find("/mm_projector$") then return end

  local tokenizer
  for _, name in ipairs { "tokenizer.json", "tokenizer.model", "vocab.json" } do
    tokenizer = tokenizer or exists(folder .. "/" .. name) and name
  end
  say(tokenizer, "%s", tokenizer or "there is no tokenizer.json, tokenizer.model or vocab.json")
end

-- Compares one thing and prints its lines. Gives its worst error, math.huge if it could not end.
local function compare(name, fn)
  if name then print(name) end
  local worst, lines, problem = fn()
  io.write(lines)
  if problem then io.stderr:write("tain: ", problem, "\n") end
  io.stdout:flush()
  return problem and math.huge or worst
end

-- Compares everything, prints the last line and gives the exit code.
local function compare_all(list)
  local worst, failed = 0, false
  for _, one in ipairs(list) do
    if one.problem then
      io.stderr:write("tain: ", one.problem, "\n")
      failed = true
    else
      worst = math.max(worst, compare(one.name, one.run))
    end
  end
  print(("worst %.2e"):format(worst))
  return worst <= golden.LIMIT and not failed and 0 or 1
end

local function check_folder_of_any_kind(folder)
  local list = golden.find(folder)
  if #list > 0 then return compare_all(list) end
  wrong = 0
  if not exists(folder) and folder:find("^[^/]+/[^/]+$") then   -- perhaps a model's name
    local found, problem = hub.find(folder)
    if not found then
      io.stderr:write("tain: ", problem, "\n")
      return 1
    end
    folder = found
  end
  if files.folder_exists(folder) and not exists(folder .. "/config.json") then
    io.stderr:write("tain: ", folder, ": neither a model's folder, which has a config.json, nor "
      .. "recorded runs of a kind that is known: ", golden.kinds, "\n")
    return 1
  end
  check_folder(folder)
  return wrong == 0 and 0 or 1
end

return {
  usage = "[FOLDER | MODEL]",
  about = "whether this machine computes what it should, or agrees with the runs in FOLDER",
  run = function(arguments)
    if #arguments > 1 then
      io.stderr:write("tain: check takes one folder\n")
      return 2
    end
    if arguments[1] then
      return check_folder_of_any_kind((arguments[1]:gsub("(.)/+$", "%1")))
    end
    print(tain.device())
    return compare_all {
      { name = "operations", run = golden.ops },
      { name = "models", run = golden.builtin },
    }
  end,
}
