--- Tables on the terminal: rows of figures, each with what it was counted from.
---
--- A cell is a number, a text, a share (tain.measure.share) or a gain; under --json each row is one
--- log line, in which a share is name, name_k, name_n, name_low and name_high.

local check = require "tain.check"
local log = require "tain.log"
local measure = require "tain.measure"
local progress = require "tain.progress"
local settings = require "tain.settings"

local sheet = {}

local function is_share(value) return type(value) == "table" and value.n ~= nil end
local function is_gain(value) return type(value) == "table" and value.gain ~= nil end

--- A row as plain numbers and texts, for logs and events.
---
--- @param row table name -> number, text, share or gain
--- @return table
function sheet.flat(row)
  local flat = {}
  for name, value in pairs(row) do
    if is_share(value) then
      flat[name], flat[name .. "_k"], flat[name .. "_n"] = value.share, value.k, value.n
      if value.n > 0 then flat[name .. "_low"], flat[name .. "_high"] = value.low, value.high end
    elseif is_gain(value) then
      flat[name], flat[name .. "_low"], flat[name .. "_high"] = value.gain, value.low, value.high
    elseif type(value) ~= "table" then
      flat[name] = value
    end
  end
  return flat
end

local function text(value)
  if value == nil then return "" end
  if is_share(value) then
    if value.n == 0 then return (value.even and "50" or "-") .. "  0/0" end
    return ("%.1f  %d/%d  %.0f–%.0f"):format(100 * value.share, value.k, value.n,
      100 * value.low, 100 * value.high)
  elseif is_gain(value) then
    return measure.show_gain(value)
  elseif type(value) == "number" then
    return value % 1 == 0 and ("%.0f"):format(value) or ("%.3f"):format(value)
  end
  return tostring(value)
end

-- Columns on a terminal, not bytes.
local function width(s) return select(2, s:gsub("[^\128-\191]", "")) end

--- Prints a table.
---
--- @param columns table[] each { name, title }; the first is at the left, all others at the right
--- @param rows table[] name -> cell
--- @param options? table title
function sheet.show(columns, rows, options)
  options = check.options("sheet.show", options, { title = { "string", optional = true } })
  if settings.json or settings.quiet then
    for _, row in ipairs(rows) do log.log(sheet.flat(row)) end
    return
  end
  local lines, widths, shares = { {} }, {}, false
  for i, column in ipairs(columns) do lines[1][i] = column[2] or column[1] end
  for _, row in ipairs(rows) do
    local line = {}
    for i, column in ipairs(columns) do line[i] = text(row[column[1]]) end
    for _, column in ipairs(columns) do shares = shares or is_share(row[column[1]]) end
    lines[#lines + 1] = line
  end
  for i = 1, #columns do
    widths[i] = 0
    for _, line in ipairs(lines) do widths[i] = math.max(widths[i], width(line[i])) end
  end
  progress.clear()
  if options.title then io.stdout:write("\n", options.title, "\n\n") end
  for _, line in ipairs(lines) do
    local parts = {}
    for i, cell in ipairs(line) do
      local space = (" "):rep(widths[i] - width(cell))
      parts[i] = i == 1 and cell .. space or space .. cell
    end
    io.stdout:write("  ", (table.concat(parts, "  "):gsub(" +$", "")), "\n")
  end
  if shares then io.stdout:write("  (per cent, counts, 95 % interval)\n") end
  io.stdout:flush()
end

return sheet
