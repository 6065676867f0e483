--- Multiplies out the variants that shaders declare, and writes make rules and a table of SPIR-V.
---
---     luajit lua/gen/shaders.lua BUILD shaders/*.comp
---
--- A shader declares its axes in comments, one axis a line:
---
---     //! variants: FORWARD BACKWARD
---     //! variants: B_F32 B_BF16 B_F16
---
--- Each combination becomes one SPIR-V module, compiled with -DFORWARD -DB_F32 and named
--- `file.forward.b_f32`. Every shader has one axis more that it need not declare: how read-only
--- inputs are read. READ_TEXEL reads storage texel buffers (fast on the CPU driver), READ_BUFFER
--- reads storage buffers (right on GPUs); the suffix is `.texel` or nothing. A line `//! reads: buffer`
--- leaves the first out, of a shader that is for GPUs. A line `//! carried` takes the SPIR-V from
--- NAME.words beside the shader, because it is for a newer glslc: see carried.lua.

local build = arg[1]
local rules, table_, externs, all = {}, {}, {}, {}
local carriers = {} -- targets that make NAME.words

local function product(axes, i, chosen, visit)
  if i > #axes then return visit(chosen) end
  for _, name in ipairs(axes[i]) do
    chosen[i] = name
    product(axes, i + 1, chosen, visit)
  end
  chosen[i] = nil
end

local modules = {}
for n = 2, #arg do
  local path = arg[n]
  local base = path:match("([^/]+)%.comp$")
  local axes, carried, fresh, reads = {}, false, {}, { "READ_BUFFER", "READ_TEXEL" }
  for line in io.lines(path) do
    local list = line:match("^//! variants:%s*(.+)$")
    if list then
      local names = {}
      for name in list:gmatch("%S+") do names[#names + 1] = name end
      axes[#axes + 1] = names
    end
    if line == "//! reads: buffer" then reads[2] = nil end
    carried = carried or line == "//! carried"
  end
  axes[#axes + 1] = reads
  product(axes, 1, {}, function(chosen)
    local name, flags = base, {}
    for _, define in ipairs(chosen) do
      flags[#flags + 1] = "-D" .. define
      if define == "READ_TEXEL" then
        name = name .. ".texel"
      elseif define ~= "READ_BUFFER" and define ~= "-" then
        name = name .. "." .. define:lower()
      end
    end
    local out = build .. "/spv/" .. name .. ".inc"
    local symbol = "spv_" .. name:gsub("[^%w]", "_")
    local made = out
    if carried then
      made = build .. "/carried/" .. name .. ".inc"
      fresh[#fresh + 1] = made
      rules[#rules + 1] = string.format(
        "%s: %s %s $(wildcard shaders/lib/*.glsl) lua/gen/carried.lua\n"
          .. "\t$(Q)$(LUAJIT) lua/gen/carried.lua take $< %s $@\n",
        out, path, path:gsub("comp$", "words"), name)
    end
    rules[#rules + 1] = string.format(
      "%s: %s\n\t$(Q)$(GLSLC) -MD -MF %s.d -MT %s -mfmt=c %s -o $@ $<\n",
      made, path, made:gsub("%.inc$", ""), made, table.concat(flags, " "))
    all[#all + 1] = out
    externs[#externs + 1] = string.format("static const uint32_t %s[] =\n#include \"spv/%s.inc\"\n;\n",
      symbol, name)
    modules[#modules + 1] = { name, symbol }
  end)
  if carried then
    carriers[#carriers + 1] = "carried-" .. base
    rules[#rules + 1] = string.format(".PHONY: carried-%s\ncarried-%s: %s\n\t$(Q)$(LUAJIT) lua/gen/carried.lua keep %s $^\n",
      base, base, table.concat(fresh, " "), path)
  end
end
table.sort(modules, function(a, b) return a[1] < b[1] end)
for _, module in ipairs(modules) do
  table_[#table_ + 1] = string.format("    { \"%s\", %s, sizeof(%s) },", module[1], module[2], module[2])
end

local mk = assert(io.open(build .. "/shaders.mk", "w"))
mk:write("SPIRV := ", table.concat(all, " \\\n  "), "\n\nCARRIED := ", table.concat(carriers, " "),
  "\n\n", table.concat(rules, "\n"))
mk:close()

local c = assert(io.open(build .. "/shaders.c", "w"))
c:write("/* Made by lua/gen/shaders.lua. */\n#include \"gpu/shader.h\"\n\n", table.concat(externs, "\n"),
  "\nconst struct gpu_shader gpu_shaders[] = {\n", table.concat(table_, "\n"),
  "\n};\n\nconst size_t gpu_shader_count = sizeof(gpu_shaders) / sizeof(gpu_shaders[0]);\n")
c:close()
