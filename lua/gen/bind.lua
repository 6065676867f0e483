--- Reads include/tain.h and writes what Lua knows about it.
---
---     luajit lua/gen/bind.lua include/tain.h build/lua/tain
---
--- cdef.lua     the declarations, for ffi.cdef
--- ops.lua      a checked method for each operation, and the names of every enum's values
--- names.lua    name -> manual entry, for `tain help NAME`
--- manual.md    the same for reading
--- library.lua  annotations for editors (LuaCATS); never run
---
--- The header's grammar is small on purpose; what it does not allow is an error here, because
--- LuaJIT would take it and go wrong later: no function pointers (C never calls Lua), no structs by
--- value (LuaJIT does not compile such calls), no `void *` (anything converts to it), no `long`.

local path, out = arg[1], arg[2]

local function stop(line, message)
  io.stderr:write(path, ":", line, ": ", message, "\n")
  os.exit(1)
end

local function squeeze(text)
  return (text:gsub("%s+", " "):gsub("^ ", ""):gsub(" $", ""))
end

-- ---- Reading ----

-- Splits the header into sections of declarations: { text, doc, line, section }.
local function read(file)
  local declarations, doc, section = {}, {}, "Start"
  local text, first, depth, comment, skip = "", nil, 0, false, false
  local number = 0
  for line in assert(io.open(file)):lines() do
    number = number + 1
    local documentation = line:match("^///%s?(.*)$")
    local banner = line:match("^/%* %-+ (.-) %*/$")
    if comment then
      comment = not line:find("*/", 1, true)
    elseif skip then
      skip = line:find("\\$") ~= nil
    elseif line:find("^%s*#") then
      skip = line:find("\\$") ~= nil
    elseif documentation then
      doc[#doc + 1] = documentation
    elseif banner then
      section, doc = banner, {}
    else
      line = line:gsub("/%*.-%*/", ""):gsub("//.*$", "")
      if line:find("/*", 1, true) then
        comment = true
        line = line:gsub("/%*.*$", "")
      end
      if line:find("%S") then
        first = first or number
        for c in line:gmatch("[{};]") do
          depth = depth + (c == "{" and 1 or c == "}" and -1 or 0)
        end
        text = text .. line .. "\n"
        if depth == 0 and line:find(";%s*$") then
          declarations[#declarations + 1] =
            { text = text:gsub("%s+$", ""), doc = doc, line = first, section = section }
          text, first, doc = "", nil, {}
        end
      elseif text == "" then
        doc = {}
      end
    end
  end
  if text ~= "" then stop(first, "a declaration that does not end") end
  return declarations
end

-- Splits a doc comment into { about = {lines}, param = {name -> text}, result = text }.
local function read_doc(lines)
  local doc = { about = {}, param = {} }
  local add = function(line) doc.about[#doc.about + 1] = line end
  for _, line in ipairs(lines) do
    local name, rest = line:match("^@param%s+(%S+)%s*(.*)$")
    local result = line:match("^@return%s+(.*)$")
    if name then
      doc.param[name] = rest
      add = function(more) doc.param[name] = doc.param[name] .. " " .. squeeze(more) end
    elseif result then
      doc.result = result
      add = function(more) doc.result = doc.result .. " " .. squeeze(more) end
    else
      add(line)
    end
  end
  while doc.about[#doc.about] == "" do doc.about[#doc.about] = nil end
  return doc
end

-- Lua's names for an enum's values: what their C names do not share, in lower case.
local function value_names(constants)
  local shared = #constants > 1 and constants[1] or "TAIN_"
  for _, constant in ipairs(constants) do
    while constant:sub(1, #shared) ~= shared do
      shared = shared:sub(1, -2):match("^(.*_)") or ""
    end
  end
  local names = {}
  for i, constant in ipairs(constants) do names[i] = constant:sub(#shared + 1):lower() end
  return names
end

local function read_param(text, line)
  if text:find("(", 1, true) then stop(line, "a function pointer: C never calls Lua") end
  if text:find("void%s*%*") then stop(line, "void *: anything converts to it unchecked") end
  if text:find("%f[%w]long%f[%W]") then stop(line, "long: its size differs between systems") end
  if text:find("[", 1, true) then stop(line, "an array parameter: write it as a pointer") end
  local type_, name = text:match("^(.-)([%a_][%w_]*)$")
  if not type_ or type_ == "" then stop(line, "a parameter without a name: " .. text) end
  return { name = name, type = squeeze(type_):gsub("%s*%*%s*", " *"):gsub("%*const", "* const") }
end

local enums, functions = {}, {}

local declarations = read(path)
for _, d in ipairs(declarations) do
  local text, line = squeeze(d.text), d.line
  local body = text:match("^typedef enum %b{} ([%w_]+);$")
  if body then
    local enum = { name = body, section = d.section, doc = read_doc(d.doc), constants = {} }
    for item in text:match("%b{}"):sub(2, -2):gmatch("[^,]+") do
      local constant = item:match("^%s*([%w_]+)")
      if constant then enum.constants[#enum.constants + 1] = constant end
    end
    enum.names = value_names(enum.constants)
    enums[#enums + 1], enums[enum.name] = enum, enum
  elseif text:match("^typedef struct [%w_]+ [%w_]+;$") then
    d.opaque = true   -- no more than its name is known
  elseif text:match("^typedef struct [%w_]* ?%b{} [%w_]+;$")
    or text:match("^struct [%w_]+ %b{};$") then
    if text:find("%w%s*:%s*%d") then stop(line, "a bit-field: compilers lay it out differently") end
    d.struct = text:match("([%w_]+);$")
  else
    local head, params = text:match("^([^()]-)%((.*)%);$")
    if not head or text:find("{", 1, true) then stop(line, "cannot read this: " .. text) end
    local result, name = head:match("^(.-)([%w_]+)$")
    local f = { name = name, result = squeeze(result):gsub("%s*%*", " *"), params = {},
      text = d.text,
      line = line, section = d.section, doc = read_doc(d.doc) }
    if not name:find("^tain_") then stop(line, name .. ": public names begin with tain_") end
    if #f.doc.about == 0 then stop(line, name .. ": has no /// comment") end
    if params ~= "void" and params ~= "" then
      for param in (params .. ","):gmatch("%s*(.-)%s*,") do
        f.params[#f.params + 1] = read_param(param, line)
      end
    end
    for documented in pairs(f.doc.param) do
      local known = false
      for _, p in ipairs(f.params) do known = known or p.name == documented end
      if not known then stop(line, name .. ": @param " .. documented .. " is not a parameter") end
    end
    functions[#functions + 1] = f
    if d.section == "Operations" and f.result == "tain_tensor *" and f.params[1]
      and f.params[1].type:find("^tain_tensor %*") then
      f.op = name:gsub("^tain_", "")
    end
  end
end

-- ---- Operations: how an argument is checked, annotated and passed ----

local integers = {
  int32_t = "int32", int64_t = "int64", uint32_t = "uint32", uint64_t = "uint64", size_t = "uint64",
}
local elements = {
  ["const int32_t *"] = "int32_t", ["const int64_t *"] = "int64_t", ["const float *"] = "float",
  ["const double *"] = "double", ["tain_tensor * const *"] = "tain_tensor *",
  ["tain_tensor *const *"] = "tain_tensor *",
}
local counts = { dims = true, count = true, n = true }
local keywords = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat
  return then true until while]]):gmatch("%a+") do keywords[word] = true end

-- Fills in f.args: what the Lua method takes; each passes one C argument, or an array and its
-- count.
local function plan(f)
  f.args = {}
  local i = 1
  while i <= #f.params do
    local p = f.params[i]
    local about = f.doc.param[p.name] or ""
    local a = { name = keywords[p.name] and p.name .. "_" or p.name, about = about }
    local nullable = about:find("or NULL", 1, true) or about:find("or nil", 1, true)
    local default = about:match("%(default ([^)]+)%)")
    local function checked(kind, extra)
      return ("check.%s(%q, %q, %s%s)"):format(kind, f.op, p.name, a.name, extra or "")
    end
    local array, count = p, f.params[i + 1]   -- an array comes with its count, on either side
    if counts[p.name] and count and elements[count.type] then array, count = count, p end
    if elements[array.type] and count and integers[count.type] then
      local element = elements[array.type]
      a.name, a.about = array.name, f.doc.param[array.name] or ""
      a.kind = element == "tain_tensor *" and "Tensor[]" or element:find("int") and "integer[]"
        or "number[]"
      a.array = ("local %s_array, %s_count = check.array(%q, %q, %s, %q)"):format(a.name, a.name,
        f.op,
        a.name, a.name, element)
      a.pass = ("%s_%s, %s_%s"):format(a.name, p == array and "array" or "count", a.name,
        p == array and "count" or "array")
      i = i + 1
    elseif p.type == "tain_tensor *" or p.type == "const tain_tensor *" then
      a.kind = "Tensor"
      a.pass = checked(nullable and "tensor_or_nil" or "tensor")
    elseif integers[p.type] then
      a.kind, a.pass = "integer", checked(integers[p.type])
    elseif p.type == "double" or p.type == "float" then
      a.kind, a.pass = "number", checked("number")
    elseif p.type == "bool" then
      a.kind, a.pass = "boolean", checked("boolean")
    elseif p.type == "const char *" then
      a.kind, a.pass = "string", checked("string")
    elseif enums[p.type] then
      a.kind, a.pass = "string", checked("enum", (", enums.%s"):format(p.type))
      a.about = squeeze(about .. " (" .. table.concat(enums[p.type].names, ", ") .. ")")
    else
      stop(f.line, ("%s: no rule for an argument of type %s"):format(f.name, p.type))
    end
    a.optional = nullable or default
    if default and not nullable then
      a.default = (a.kind == "string" and not default:find('^"')) and ("%q"):format(default)
        or default
    end
    f.args[#f.args + 1] = a
    i = i + 1
  end
end

local function signature(f)
  local names = {}
  for i, a in ipairs(f.args) do names[i] = a.name end
  return table.concat(names, ", ")
end

-- The comment of a Lua function: description, then @param and @return.
local function annotations(f)
  local lines = {}
  for _, line in ipairs(f.doc.about) do lines[#lines + 1] = "--- " .. line end
  lines[#lines + 1] = "---"
  for _, a in ipairs(f.args) do
    lines[#lines + 1] = ("--- @param %s%s %s %s"):format(a.name, a.optional and "?" or "", a.kind,
      a.about)
  end
  lines[#lines + 1] = "--- @return Tensor # " .. (f.doc.result or "")
  return (table.concat(lines, "\n"):gsub("[ ]+\n", "\n"):gsub("%s+$", ""))
end

local ops = {}
for _, f in ipairs(functions) do
  if f.op then
    plan(f)
    ops[#ops + 1] = f
  end
end

-- ---- Writing ----

local function write(name, ...)
  local file = assert(io.open(out .. "/" .. name, "w"))
  file:write(...)
  file:close()
end

local made = "-- Made by lua/gen/bind.lua from include/tain.h.\n"

local cdef = {}
for _, d in ipairs(declarations) do cdef[#cdef + 1] = d.text end
write("cdef.lua", made, "\nrequire(\"ffi\").cdef[[\n", table.concat(cdef, "\n"),
  "\n]]\n\nreturn true\n")

local lua = { made, [[

local C = require("ffi").C
local check = require "tain.check"

local enums = {}
]] }
for _, enum in ipairs(enums) do
  lua[#lua + 1] = ("\nenums.%s = check.names {\n"):format(enum.name)
  for i, constant in ipairs(enum.constants) do
    lua[#lua + 1] = ("  { %q, C.%s },\n"):format(enum.names[i], constant)
  end
  lua[#lua + 1] = "}\n"
end
lua[#lua + 1] = [[

--- Puts the operations into the class of tensors; `adopt` makes a tensor of a C result.
local function install(Tensor, adopt)
]]
for _, f in ipairs(ops) do
  lua[#lua + 1] = "\n" .. annotations(f) .. "\n"
  lua[#lua + 1] = ("function Tensor.%s(%s)\n"):format(f.op, signature(f))
  local pass = {}
  for i, a in ipairs(f.args) do
    if a.default then
      lua[#lua + 1] = ("  if %s == nil then %s = %s end\n"):format(a.name, a.name, a.default)
    end
    if a.array then lua[#lua + 1] = "  " .. a.array .. "\n" end
    pass[i] = a.pass
  end
  lua[#lua + 1] = ("  return adopt(%q, C.%s(\n    %s))\nend\n"):format(f.op, f.name,
    table.concat(pass, ",\n    "))
end
lua[#lua + 1] = "end\n\n-- What each operation takes, for tests that pass it everything else.\nlocal signatures = {\n"
for _, f in ipairs(ops) do
  local takes = {}
  for i, a in ipairs(f.args) do
    takes[i] = ("{ %q, %q%s }"):format(a.name, a.kind, a.optional and ", true" or "")
  end
  lua[#lua + 1] = ("  %s = { %s },\n"):format(f.op, table.concat(takes, ", "))
end
lua[#lua + 1] = "}\n\nreturn { enums = enums, install = install, signatures = signatures }\n"
write("ops.lua", table.concat(lua))

local library = { "---@meta\n", made, "\n---@class Tensor\nlocal Tensor = {}\n" }
for _, f in ipairs(ops) do
  library[#library + 1] = ("\n%s\nfunction Tensor.%s(%s) end\n"):format(annotations(f), f.op,
    signature(f))
end
library[#library + 1] = "\nreturn Tensor\n"
write("library.lua", table.concat(library))

-- One manual entry: title, text, parameters.
local function entry(f)
  local lines = {}
  lines[1] = f.op and ("Tensor.%s(%s)"):format(f.op, signature(f)) or f.name
  lines[2] = "\n" .. table.concat(f.doc.about, "\n") .. "\n"
  for _, p in ipairs(f.op and f.args or f.params) do
    local about = p.about or f.doc.param[p.name]
    if about and about ~= "" then lines[#lines + 1] = ("- `%s`: %s"):format(p.name, about) end
  end
  if f.doc.result then lines[#lines + 1] = "- returns " .. f.doc.result end
  local body = table.concat(lines, "\n", 2):gsub("%s+$", "")
  return lines[1], body .. "\n\n```c\n" .. f.text .. "\n```\n"
end

local names, manual, section = { made, "\nreturn {\n" }, { "# C and operations\n" }, nil
for _, f in ipairs(functions) do
  if f.section ~= section then
    section = f.section
    manual[#manual + 1] = "\n## " .. section .. "\n"
  end
  local title, body = entry(f)
  manual[#manual + 1] = ("\n### %s\n%s"):format(title, body)
  names[#names + 1] = ("  [%q] = %q,\n"):format(f.op or f.name, title .. "\n" .. body)
end
for _, enum in ipairs(enums) do
  local text = { enum.name, "\n", table.concat(enum.doc.about, "\n"), "\n" }
  for i, constant in ipairs(enum.constants) do
    text[#text + 1] = ("- `%s` (`\"%s\"`)\n"):format(constant, enum.names[i])
  end
  names[#names + 1] = ("  [%q] = %q,\n"):format(enum.name, table.concat(text))
end
names[#names + 1] = "}\n"
write("names.lua", table.concat(names))
write("manual.md", table.concat(manual))
