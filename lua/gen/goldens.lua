--- Writes golden files as one C file, so that the program can check itself anywhere.
---
---     luajit lua/gen/goldens.lua OUT.c FOLDER/NAME ...      NAME.json and its two .safetensors

local out = { "/* Made by lua/gen/goldens.lua. */\n#include \"check/check.h\"\n" }
local entries = {}

for i = 2, #arg do
  local name = arg[i]:match("[^/]+$")
  local parts = {}
  for _, part in ipairs { "json", "weights", "io" } do
    local ending = part == "json" and ".json" or "." .. part .. ".safetensors"
    local file = assert(io.open(arg[i] .. ending, "rb"))
    local text = file:read("*a")
    file:close()
    local symbol = ("g%d_%s"):format(i, part)
    out[#out + 1] = ("\nstatic const unsigned char %s[] = {"):format(symbol)
    for at = 1, #text, 4096 do
      out[#out + 1] = text:sub(at, at + 4095):gsub(".", function(c) return c:byte() .. "," end)
        .. "\n"
    end
    out[#out + 1] = "};\n"
    parts[#parts + 1] = ("{ %s, sizeof(%s) }"):format(symbol, symbol)
  end
  entries[#entries + 1] = ("    { \"%s\", %s },\n"):format(name, table.concat(parts, ", "))
end

out[#out + 1] = "\nconst struct check_golden check_goldens[] = {\n" .. table.concat(entries)
  .. "    { 0, { 0, 0 }, { 0, 0 }, { 0, 0 } }\n};\n"

local file = assert(io.open(arg[1], "w"))
file:write(table.concat(out))
file:close()
