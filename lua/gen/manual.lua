--- Joins the manual, and makes what `tain help NAME` knows of Lua.
---
---     luajit lua/gen/manual.lua BUILD FILE ...
---
--- FILE is a Lua module (the --- comments above its functions), a recipe (the comment at its top)
--- or a README.md (a chapter). Writes BUILD/lua/tain/topics.lua and BUILD/manual.md; the part about
--- C was written by bind.lua.

local build = arg[1]

local function read(path)
  local file = assert(io.open(path))
  local text = file:read("*a")
  file:close()
  return text
end

-- The names that recipes may use, from the table in lua/tain/init.lua: module -> set of functions.
local public = {}
for module, names in read("lua/tain/init.lua"):match("local parts = (%b{})"):gmatch('([%w_]+) = "([^"]*)"') do
  public[module] = {}
  for name in names:gmatch("%S+") do public[module][name] = true end
end
local whole = {}   -- modules that recipes see as they are: tain.json.decode
for module in read("lua/tain/init.lua"):match("local modules = (%b{})"):gmatch("([%w_]+) = true") do
  whole[module] = true
end

-- Text and parameters of a comment's lines.
local function describe(lines)
  local about, params = {}, {}
  local last = about
  for _, line in ipairs(lines) do
    local kind, rest = line:match("^@(%a+)%s*(.*)$")
    if kind == "param" then
      local name, type_, more = rest:match("^(%S+)%s+(%S+)%s*(.*)$")
      params[#params + 1] = ("- `%s` (%s) %s"):format(name or rest, type_ or "", more or "")
      last = params
    elseif kind == "return" then
      params[#params + 1] = "- returns " .. rest:gsub("^(%S+)%s*#?%s*(.*)$", "(%1) %2")
      last = params
    elseif not kind then
      if last == params then params[#params] = params[#params] .. " " .. line:gsub("^%s+", "")
      else about[#about + 1] = line end
    end
  end
  while about[#about] == "" do about[#about] = nil end
  local text = table.concat(about, "\n")
  if #params > 0 then
    text = text .. "\n\n" .. table.concat(params, "\n"):gsub("%s+\n", "\n"):gsub("%s+$", "")
  end
  return text
end

local topics, reference, recipes, chapters = {}, {}, {}, {}

local function module(path, text)
  local name = path:match("([^/]+)%.lua$")
  local lines, entries = {}, {}
  for line in text:gmatch("([^\n]*)\n") do
    local comment = line:match("^%-%-%- ?(.*)$")
    if comment then
      lines[#lines + 1] = comment
    else
      local owner, mark, fn, parameters = line:match("^function ([%w_]+)([.:])([%w_]+)(%b())")
      local class = owner and owner:find("^%u")
      local prefix = whole[name] and owner == name and "tain." .. name .. "." or "tain."
      if fn and #lines > 0 and not fn:find("^__")
        and (class or (whole[name] and owner == name) or (public[name] and public[name][fn])) then
        local title = (class and owner:lower() .. mark or prefix) .. fn .. parameters
        local body = describe(lines)
        entries[#entries + 1] = ("\n### %s\n\n%s\n"):format(title, body)
        topics[#topics + 1] = { (class and owner .. ":" or prefix) .. fn, title .. "\n\n" .. body
          .. "\n" }
      end
      if not line:find("^%s*$") or #lines == 0 then lines = {} end
      if line:find("^%s*$") then lines = {} end
    end
  end
  if #entries > 0 then
    reference[#reference + 1] = ("\n## %s\n\n%s\n"):format(name,
      (text:match("^(%-%-%-.-)\n[^-]") or "")
      :gsub("%-%-%- ?", "")) .. table.concat(entries)
  end
end

for i = 2, #arg do
  local path = arg[i]
  local text = read(path)
  if path:find("README%.md$") then
    topics[#topics + 1] = { path:match("^(.*)/README%.md$") or "README", text }
    chapters[#chapters + 1] = "\n" .. text:gsub("\n#", "\n##"):gsub("^#", "##")
  elseif path:find("^recipes/") then
    local comment = text:match("^(%-%-%-[^\n]*\n[^\n]*)")
      and (text .. "\n"):match("^([-].-)\n[^-]") or ""
    comment = comment:gsub("%-%-%- ?", "")
    topics[#topics + 1] = { path:match("^recipes/(.*)%.lua$"), path .. "\n\n" .. comment .. "\n" }
    recipes[#recipes + 1] = ("\n### %s\n\n%s\n"):format(path, comment)
  else
    module(path, text)
  end
end

table.sort(topics, function(a, b) return a[1] < b[1] end)
local file = assert(io.open(build .. "/lua/tain/topics.lua", "w"))
file:write("-- Made by lua/gen/manual.lua.\n\nreturn {\n")
for _, topic in ipairs(topics) do file:write(("  [%q] = %q,\n"):format(topic[1], topic[2])) end
file:write("}\n")
file:close()

file = assert(io.open(build .. "/manual.md", "w"))
file:write("# The manual of tain\n", "\n## Recipes\n", table.concat(recipes), "\n# Lua\n",
  table.concat(reference), "\n", read(build .. "/lua/tain/manual.md"), "\n# The source\n",
    table.concat(chapters))
file:close()
