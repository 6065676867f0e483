--- Curves and flows as SVG inside the page. Colours come from the page's style, so they follow
--- light and dark; series differ in marks and dashes too, and their names stand at their ends.

local h = require "tain.report.html"

local chart = {}

local W, H = 440, 250
local LEFT, RIGHT, TOP, BOTTOM = 50, 16, 14, 36

-- ---- Numbers as text ----

--- A number as the page shows it: "34 %", "0.0123", "1e-06".
---
--- @param value number
--- @param percent? boolean
--- @return string
function chart.number(value, percent)
  if value ~= value then return "no number" end
  if value == math.huge or value == -math.huge then return value > 0 and "∞" or "−∞" end
  if percent then return ("%.0f\194\160%%"):format(100 * value) end
  if value % 1 == 0 and math.abs(value) < 1e6 then
    return (("%.0f"):format(value):gsub("^-", "−"))
  end
  return (("%.3g"):format(value):gsub("^-", "−"):gsub("e%-0?", "e−"):gsub("e%+0?", "e"))
end
local number = chart.number

-- Some five round numbers from low to high.
local function ticks(low, high, integers)
  if high <= low then high = low + 1 end
  local rough = (high - low) / 5
  local size = 10 ^ math.floor(math.log10(rough))
  local step = 10 * size
  for _, m in ipairs { 1, 2, 2.5, 5 } do
    if m * size >= rough * 0.999 then step = m * size break end
  end
  if integers then step = math.max(1, math.floor(step + 0.5)) end
  local list, at = {}, math.ceil(low / step - 1e-9) * step
  while at <= high + step * 1e-6 do
    list[#list + 1] = math.abs(at) < step * 1e-6 and 0 or at
    at = at + step
  end
  return list, step
end

local function finite(x)
  return type(x) == "number" and x == x and math.abs(x) < math.huge
end

-- ---- Curves ----

-- A mark for each series, so that they are told apart without colour.
local marks = {
  function(x, y) return h.circle { cx = x, cy = y, r = 4.5 } end,
  function(x, y) return h.rect { x = x - 4, y = y - 4, width = 8, height = 8 } end,
  function(x, y)
    return h.path { d = ("M%.1f %.1fl5 9h-10z"):format(x, y - 6) }
  end,
  function(x, y)
    return h.path { d = ("M%.1f %.1fl5.5 5.5l-5.5 5.5l-5.5 -5.5z"):format(x, y - 5.5) }
  end,
}

-- No more than 240 points: longer ones become means of neighbours.
local function thinned(points)
  local n = #points
  if n <= 240 then return points end
  local list = {}
  for i = 1, 240 do
    local first, last = math.floor((i - 1) * n / 240) + 1, math.floor(i * n / 240)
    local x, y = 0, 0
    for k = first, last do x, y = x + points[k][1], y + points[k][2] end
    list[i] = { x / (last - first + 1), y / (last - first + 1) }
  end
  return list
end

-- What stays when the jumping is averaged out: straight lines through neighbours.
local function smooth(points)
  local list, n = {}, #points
  local reach = math.max(3, math.floor(n / 14))
  for i = 1, n do
    local count, x, y, xx, xy = 0, 0, 0, 0, 0
    for j = math.max(1, i - reach), math.min(n, i + reach) do
      local d = points[j][1] - points[i][1]
      count, x, y, xx, xy = count + 1, x + d, y + points[j][2], xx + d * d, xy + d * points[j][2]
    end
    local spread = count * xx - x * x
    local slope = spread > 0 and (count * xy - x * y) / spread or 0
    list[i] = { points[i][1], (y - slope * x) / count }
  end
  return list
end

local function bounds(series, percent)
  local x0, x1, y0, y1 = math.huge, -math.huge, math.huge, -math.huge
  for _, one in ipairs(series) do
    for _, p in ipairs(one.points) do
      x0, x1 = math.min(x0, p[1]), math.max(x1, p[1])
      y0, y1 = math.min(y0, p.low or p[2]), math.max(y1, p.high or p[2])
    end
  end
  if percent then
    y0 = 0
    for _, top in ipairs { 0.1, 0.2, 0.4, 0.6, 0.8, 1 } do
      if y1 <= top + 1e-9 then y1 = top break end
    end
  else
    if y0 > 0 and y0 < 0.4 * y1 then y0 = 0 end
    if y1 - y0 < 1e-12 then
      y0, y1 = y0 - 0.5 * math.abs(y0) - 1e-9, y1 + 0.5 * math.abs(y1) + 1e-9
    end
    local _, step = ticks(y0, y1)
    y0, y1 = math.floor(y0 / step + 1e-9) * step, math.ceil(y1 / step - 1e-9) * step
  end
  if x1 <= x0 then x0, x1 = x0 - 0.5, x1 + 0.5 end
  return x0, x1, y0, y1
end

local function polyline(points, class)
  local text = {}
  for i, p in ipairs(points) do text[i] = ("%.1f,%.1f"):format(p[1], p[2]) end
  return h.polyline { class = class, points = table.concat(text, " ") }
end

-- Names at the ends of their lines, moved apart where they would lie on each other.
local function names_of(ends)
  table.sort(ends, function(a, b) return a.y < b.y end)
  for i = 2, #ends do
    if ends[i].y - ends[i - 1].y < 15 then ends[i].y = ends[i - 1].y + 15 end
  end
  local over = #ends > 0 and ends[#ends].y - (H - BOTTOM) or 0
  local nodes = {}
  for i, one in ipairs(ends) do
    nodes[i] = h.text_ { class = "name c" .. one.class, x = one.x + 9,
      y = ("%.1f"):format(one.y - math.max(0, over) + 4), one.name }
  end
  return nodes
end

--- A figure with curves.
---
--- @param spec table title, about (what it means and which direction is good), x (the axis' name),
---        percent, integers (of x), dense (many points: lines without marks), series = list of
---        { name =, points = list of { x, y, low =, high =, title = } }, rules = list of
---        { x, text }
function chart.lines(spec)
  local series = {}
  for i, one in ipairs(spec.series) do
    local points = {}
    for _, p in ipairs(one.points) do
      if finite(p[1]) and finite(p[2]) then points[#points + 1] = p end
    end
    if #points > 0 then
      series[#series + 1] = { name = one.name, points = points, class = one.class or i }
    end
  end
  if #series == 0 then return nil end

  local right = RIGHT
  if #series > 1 then
    for _, one in ipairs(series) do right = math.max(right, 14 + 7 * #one.name) end
  end
  local x0, x1, y0, y1 = bounds(series, spec.percent)
  local inset = spec.dense and 0 or 14
  local function px(x)
    return LEFT + inset + (x - x0) / (x1 - x0) * (W - LEFT - right - 2 * inset)
  end
  local function py(y) return H - BOTTOM - (y - y0) / (y1 - y0) * (H - TOP - BOTTOM) end

  local body = {}
  local function add(node) body[#body + 1] = node end
  for _, y in ipairs((ticks(y0, y1))) do
    add(h.line { class = y == 0 and "axis" or "rule", x1 = LEFT, x2 = W - right,
      y1 = ("%.1f"):format(py(y)), y2 = ("%.1f"):format(py(y)) })
    add(h.text_ { class = "tick", x = LEFT - 7, y = ("%.1f"):format(py(y) + 4),
      ["text-anchor"] = "end", number(y, spec.percent) })
  end
  for _, x in ipairs((ticks(x0, x1, spec.integers))) do
    if x >= x0 and x <= x1 then
      add(h.text_ { class = "tick", x = ("%.1f"):format(px(x)), y = H - BOTTOM + 17,
        ["text-anchor"] = "middle", number(x) })
    end
  end
  add(h.text_ { class = "tick", x = LEFT + (W - LEFT - right) / 2, y = H - 3,
    ["text-anchor"] = "middle", spec.x or "" })
  for _, rule in ipairs(spec.rules or {}) do
    if rule[1] >= x0 and rule[1] <= x1 then
      add(h.line { class = "mark", x1 = ("%.1f"):format(px(rule[1])), y1 = TOP - 4, y2 = H - BOTTOM,
        x2 = ("%.1f"):format(px(rule[1])) })
      add(h.text_ { class = "small", x = ("%.1f"):format(px(rule[1]) + 3), y = TOP + 6, rule[2] })
    end
  end

  local ends = {}
  for _, one in ipairs(series) do
    local group = { class = "s" .. one.class }
    local line = {}
    for i, p in ipairs(spec.dense and thinned(one.points) or one.points) do
      line[i] = { px(p[1]), py(p[2]) }
    end
    if spec.dense and #line > 40 then
      group[#group + 1] = polyline(line, "raw")
      line = smooth(line)
    end
    group[#group + 1] = polyline(line, "curve")
    for _, p in ipairs((not spec.dense or #one.points == 1) and one.points or {}) do
      local x, y = px(p[1]), py(p[2])
      if p.low then
        group[#group + 1] = h.path { class = "whisker",
          d = ("M%.1f %.1fV%.1fM%.1f %.1fh10M%.1f %.1fh10"):format(x, py(p.low), py(p.high), x - 5,
            py(p.low), x - 5, py(p.high)) }
      end
      group[#group + 1] = h.g { class = "point", h.title(p.title or ("%s: %s"):format(number(p[1]),
        number(p[2], spec.percent))), marks[(one.class - 1) % #marks + 1](x, y) }
    end
    add(h.g(group))
    ends[#ends + 1] = { name = one.name, class = one.class, x = line[#line][1], y = line[#line][2] }
  end
  if #series > 1 then body[#body + 1] = names_of(ends) end
  return h.figure { class = "card",
    h.figcaption { h.b { spec.title }, " ", h.span { class = "soft", spec.about } },
    h.svg { viewBox = ("0 0 %d %d"):format(W, H), role = "img", ["aria-label"] = spec.title,
      body } }
end

-- ---- The pool ----

local function ribbon(x0, y0, x1, y1, thick, class)
  local middle = (x0 + x1) / 2
  local curve = "C%.1f %.1f %.1f %.1f %.1f %.1f"
  return h.path { class = class, d = ("M%.1f %.1f" .. curve .. "V%.1f" .. curve .. "Z"):format(x0,
    y0, middle, y0, middle, y1, x1, y1, y1 + thick, middle, y1 + thick, middle, y0 + thick, x0,
    y0 + thick) }
end

--- How prompts move: tried, recovered for training, waiting for the next time.
---
--- @param pools table[] round, tried, recovered, waiting
function chart.flow(pools)
  local most = 1
  for _, p in ipairs(pools) do most = math.max(most, p.tried or 0, p.waiting or 0) end
  local left, node, tall, upper = 146, 16, 104, 12
  local column = math.max(120, math.min(260, (1100 - left) / #pools))
  local lower = upper + tall + 22
  local scale = tall / most
  local function size(n) return n > 0 and math.max(2, n * scale) or 0 end
  local body = {}
  local function add(one) body[#body + 1] = one end
  local function write(x, y, class, ...)
    add(h.text_ { class = class, x = ("%.1f"):format(x), y = ("%.1f"):format(y), ... })
  end
  write(0, upper + 14, "name", "used for training")
  write(0, lower + 14, "name", "tried, and waiting")
  for i, p in ipairs(pools) do
    local tried, recovered, waiting = p.tried or 0, p.recovered or 0, p.waiting or 0
    local x, up = left + (i - 1) * column, size(recovered)
    local exit = x + math.min(column * 0.5, 120)
    if waiting > 0 then
      add(ribbon(x + node, lower + up, x + column, lower, size(waiting), "flow wait"))
    end
    if recovered > 0 then
      add(ribbon(x + node, lower, exit, upper, up, "flow good"))
      add(h.rect { class = "node good", x = exit, y = upper, width = node, height = up })
      write(exit + node + 6, upper + up / 2 + 5, "name", "+", recovered)
    end
    add(h.rect { class = "node", x = x, y = lower, width = node, height = size(tried) })
    write(x, lower + tall + 20, "name", p.round == 0 and "at first" or { "round ",
      number(p.round or i) })
    write(x, lower + tall + 37, "tick", tried, " tried, ", waiting, " wait")
  end
  local last = pools[#pools]
  local x = left + #pools * column
  if (last.waiting or 0) > 0 then
    add(h.rect { class = "node wait", x = x, y = lower, width = node, height = size(last.waiting) })
    write(x + node + 6, lower + size(last.waiting) / 2 + 5, "name", last.waiting, " wait")
  end
  local width = x + 80
  return h.svg { class = "flow", viewBox = ("0 0 %.0f %.0f"):format(width, lower + tall + 44),
    style = ("max-width: %.0fpx"):format(width * 1.05), role = "img",
    ["aria-label"] = "How prompts move between the pool and training", body }
end

return chart
