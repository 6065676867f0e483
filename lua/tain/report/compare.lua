--- Several runs side by side on one page: what differs in their options, how they began and ended, and
--- the same held-out prompts as each draws them at its end.

local chart = require "tain.report.chart"
local facts = require "tain.report.facts"
local files = require "tain.files"
local h = require "tain.report.html"
local json = require "tain.json"

local compare = {}

local PROMPTS = 16
local LINES = 8   -- of a recipe that are shown

local function name_of(folder) return folder:gsub("/+$", ""):match "([^/]+)$" or folder end

local function show(value)
  if value == nil then return "–" end
  if type(value) == "table" then return json.encode(value) end
  return type(value) == "number" and ("%.14g"):format(value) or tostring(value)
end

-- Names that tell the runs apart: their folders', with a number where two are equal.
local function names_of(runs)
  local names, count = {}, {}
  for i, run in ipairs(runs) do
    local name = name_of(run.folder)
    count[name] = (count[name] or 0) + 1
    names[i] = count[name] > 1 and ("%s (%d)"):format(name, count[name]) or name
  end
  return names
end

-- The lines of each run's recipe that not every recipe has; nil if there are none.
local function own_lines(runs)
  local each, holders = {}, {}
  for i, run in ipairs(runs) do
    local path, seen = run.folder .. "/recipe.lua", {}
    each[i] = {}
    for line in (files.exists(path) and files.read(path) or ""):gmatch "[^\n]+" do
      if line:find "%S" and not seen[line] then
        seen[line], each[i][#each[i] + 1] = true, line
        holders[line] = (holders[line] or 0) + 1
      end
    end
  end
  local cells, any = { "lines of the recipe" }, false
  for i, lines in ipairs(each) do
    local own, count = {}, 0
    for _, line in ipairs(lines) do
      if holders[line] < #runs then
        count = count + 1
        if count <= LINES then own[#own + 1] = { h.code { line:match "^%s*(.-)%s*$" }, h.br {} } end
      end
    end
    if count > LINES then own[#own + 1] = ("and %d more"):format(count - LINES) end
    cells[i + 1], any = count > 0 and own or "–", any or count > 0
  end
  return any and cells or nil
end

-- Rows of what is not the same in all runs: options, and the recipe's text.
local function differences(runs)
  local known, rows = {}, {}
  for _, run in ipairs(runs) do
    for name in pairs(run.options) do known[name] = true end
  end
  local function add(name, value)
    local cells, differ = { h.code { name } }, false
    for i, run in ipairs(runs) do
      local text = show(value(run))
      cells[i + 1] = h.code { text }
      differ = differ or text ~= show(value(runs[1]))
    end
    if differ then rows[#rows + 1] = cells end
  end
  add("recipe", function(run) return run.run.recipe end)
  add("device", function(run) return run.run.device end)
  add("version", function(run) return run.run.version end)
  for _, name in ipairs(facts.sorted(known)) do
    add(name, function(run) return run.options[name] end)
  end
  rows[#rows + 1] = own_lines(runs)
  return rows
end

local function cell(share)
  if not share then return "–" end
  return { h.b { chart.number(share.value, true) }, h.br {}, h.small {
    ("%.0f/%d · %.0f–%.0f %%"):format(share.k, share.n, 100 * share.low, 100 * share.high) } }
end

local function series_of(runs, names, field)
  local series = {}
  for i, run in ipairs(runs) do
    local points = {}
    for _, row in ipairs(run.rounds) do
      local s = row[field]
      if s and type(row.round) == "number" then
        points[#points + 1] = { row.round, s.value, low = s.low, high = s.high }
      end
    end
    series[i] = { name = names[i], points = points, class = (i - 1) % 4 + 1 }
  end
  return series
end

--- The inside of the page.
---
--- @param runs table[] what facts.read gave of each
--- @param tools table shot, meanings, sentence: what the page about one run is made with
--- @return table node
function compare.body(runs, tools)
  local names = names_of(runs)
  local fields, figures = { "gap", "judge", "agreement", "fooled" }, {}
  local head, rows = { "run" }, {}
  for _, field in ipairs(fields) do
    local meaning = tools.meanings[field]
    head[#head + 1] = meaning[1] .. ", at first"
    head[#head + 1] = "at the end"
    figures[#figures + 1] = chart.lines { title = meaning[1], percent = true, integers = true,
      x = "round (0 is before training)", series = series_of(runs, names, field),
      about = tools.sentence(meaning[3]) .. " " .. tools.sentence(meaning[2]) }
  end
  for i, run in ipairs(runs) do
    local first, last = run.rounds[1] or {}, run.rounds[#run.rounds] or {}
    rows[i] = { names[i] }
    for _, field in ipairs(fields) do
      table.insert(rows[i], cell(first[field]))
      table.insert(rows[i], cell(last[field]))
    end
  end

  -- Prompts that every run drew, at its last round.
  local pictures = {}
  for _, probe in ipairs(runs[1].prompts) do
    local row = { { h.bdi { probe.prompt } } }
    for i, run in ipairs(runs) do
      local rounds = facts.sorted(run.counts.probe)
      for _, other in ipairs(run.prompts) do
        if other.prompt == probe.prompt and not row[i + 1] then
          local event = other.rounds[rounds[#rounds]]
          row[i + 1] = event and tools.shot(run, event, event.image) or nil
        end
      end
    end
    if #row == #runs + 1 and #pictures < PROMPTS then pictures[#pictures + 1] = row end
  end
  local options = differences(runs)
  local with_names = { "" }
  for i, name in ipairs(names) do with_names[i + 1] = name end
  return {
    h.header { h.h1 { #runs, " runs side by side" }, h.p { class = "soft", table.concat(names, " · ") } },
    h.section { id = "ends", h.h2 "How they ended", h.p { class = "soft", "Small numbers are counts and "
      .. "95 % intervals; runs whose intervals overlap may be alike." }, h.grid(head, rows, "numbers") },
    h.section { id = "differences", h.h2 "What differs", #options > 0
      and h.grid(with_names, options, "settings") or h.p "All options are the same, and so is the recipe." },
    #figures > 0 and h.section { id = "rounds", h.h2 "Round by round", h.div { class = "two", figures } },
    #pictures > 0 and h.section { id = "pictures", h.h2 "The same prompts at the end of each",
      h.grid(with_names, pictures, "pictures") },
  }
end

return compare
