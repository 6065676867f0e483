--- Compiles Lua modules to bytecode and writes them as one C file.
---
---     luajit lua/gen/embed.lua OUT.c FILE.lua ...
---
--- .../lua/tain/command/help.lua becomes the module tain.command.help; its chunk is named
--- "=tain/command/help.lua", a name that no file can have, so that messages can tell our lines from
--- a recipe's.

local out = { "/* Made by lua/gen/embed.lua. */\n#include \"host/host.h\"\n" }
local entries = {}

for i = 2, #arg do
  local inner = arg[i]:match("lua/(tain/.*)%.lua$")
  local file = assert(io.open(arg[i]))
  local chunk, message = load(file:read("*a"), "=" .. inner .. ".lua")
  file:close()
  if not chunk then
    io.stderr:write((message:gsub("^tain/", arg[i]:match("^(.*lua/)tain/") .. "tain/")), "\n")
    os.exit(1)
  end
  local code = string.dump(chunk)   -- with its line numbers
  local symbol = "m_" .. inner:gsub("[^%w]", "_")
  local bytes, line = {}, {}
  for n = 1, #code do
    line[#line + 1] = code:byte(n)
    if #line == 24 or n == #code then
      bytes[#bytes + 1] = table.concat(line, ",")
      line = {}
    end
  end
  out[#out + 1] = ("\nstatic const unsigned char %s[] = {\n%s\n};\n"):format(symbol,
    table.concat(bytes, ",\n"))
  entries[#entries + 1] = ("    { \"%s\", %s, sizeof(%s) },\n"):format(inner:gsub("/", "."),
    symbol, symbol)
end

table.sort(entries)
out[#out + 1] = "\nconst struct host_module host_modules[] = {\n" .. table.concat(entries)
  .. "    { 0, 0, 0 }\n};\n"

local file = assert(io.open(arg[1], "w"))
file:write(table.concat(out))
file:close()
