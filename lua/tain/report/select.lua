--- The part of the page with sliders: what other thresholds would have selected from the same scores,
--- and how a loss looks at how far apart chosen and rejected are.

local chart = require "tain.report.chart"
local facts = require "tain.report.facts"
local h = require "tain.report.html"

local select = {}

local STEPS = 200   -- dots of the run's own steps

-- ---- Numbers ----

local function softplus(x) return x > 30 and x or math.log(1 + math.exp(x)) end
local function s(x) return 1 / (1 + math.exp(-x)) end

-- Losses that are functions of x = beta * d, d the log-ratio of chosen to rejected against the start.
select.losses = {
  { "sigmoid", function(x) return softplus(-x) end },
  { "hinge", function(x) return math.max(0, 1 - x) end },
  { "robust", function(x) return (0.9 * softplus(-x) - 0.1 * softplus(x)) / 0.8 end },
  { "exo_pair", function(x)
    return s(x) * (-softplus(-x) - math.log(0.999)) + s(-x) * (-softplus(x) - math.log(0.001))
  end },
  { "discopop", function(x)
    local m = x / 0.05
    return math.exp(math.min(80, -softplus(-m) - x)) + softplus(-x) * s(-m)
  end },
}

local function option(self, name, default)
  local value = self.options[name]
  return type(value) == "number" and value or default
end

local function code(verdict)
  if verdict == "accepted" then return 1 elseif verdict == "rejected" then return 0 end
  return verdict and 2 or -1
end

--- What the script works on, as JSON in which nothing can end a script element: numbers only.
---
--- @return string json
--- @return table rounds the numbers, in the order of the page
function select.scores(self)
  local rounds, texts = {}, {}
  for r, round in ipairs(facts.sorted(self.candidates)) do
    rounds[r] = { round = round }
    local prompts = {}
    for p, list in ipairs(self.candidates[round]) do
      local candidates = {}
      for i, event in ipairs(list) do
        local own, exact = facts.verdict(event.own), facts.verdict(event.exact)
        candidates[i] = ("[%.9g,%d,%d]"):format(tonumber(event.p_yes) or 0, code(own),
          exact == "unclear" and 0 or code(exact))
      end
      prompts[p] = "[" .. table.concat(candidates, ",") .. "]"
    end
    texts[r] = "[" .. table.concat(prompts, ",") .. "]"
  end
  return "[" .. table.concat(texts, ",") .. "]", rounds
end

--- The pairs that these rules make of a prompt's candidates, as tain.preferences makes them.
---
--- @param list table[] events of candidates
--- @param rules table above, below, pairs
--- @return integer[] yes places in the list, surest first
--- @return integer[] no
--- @return integer pairs
function select.choose(list, rules)
  local yes, no = {}, {}
  for i, event in ipairs(list) do
    local own, p = facts.verdict(event.own), tonumber(event.p_yes) or 0
    if own == "accepted" and p >= rules.above then yes[#yes + 1] = i end
    if own == "rejected" and p <= rules.below then no[#no + 1] = i end
  end
  local function by(sign)
    return function(a, b)
      local x, y = tonumber(list[a].p_yes) or 0, tonumber(list[b].p_yes) or 0
      if x ~= y then return sign * x > sign * y end
      return a < b
    end
  end
  table.sort(yes, by(1))
  table.sort(no, by(-1))
  return yes, no, math.min(rules.pairs, #yes, #no)
end

-- ---- The page ----

local function rules_of(self)
  return { above = option(self, "above", 0), below = option(self, "below", 1),
    pairs = math.max(1, option(self, "pairs", 1)) }
end

local function share(k, n) return n > 0 and ("%.0f %%"):format(100 * k / n) or "–" end

local function counts(self, rules)
  local rows = {}
  for r, round in ipairs(facts.sorted(self.candidates)) do
    local images, used, waiting, made, judged, right, turned = 0, 0, 0, 0, 0, 0, 0
    for _, list in ipairs(self.candidates[round]) do
      local yes, no, n = select.choose(list, rules)
      images, made = images + #yes, made + n
      if #yes > 0 then used = used + 1 else waiting = waiting + 1 end
      for i = 1, n do
        local a, b = facts.verdict(list[yes[i]].exact), facts.verdict(list[no[i]].exact)
        if a and b then
          a, b = a == "accepted" and 1 or 0, b == "accepted" and 1 or 0
          judged = judged + 1
          if a > b then right = right + 1 elseif a < b then turned = turned + 1 end
        end
      end
    end
    local cells = { round == 0 and "at first" or "round " .. chart.number(round) }
    for i, value in ipairs { images, used, waiting, made, share(right, judged), share(turned, judged) } do
      cells[i + 1] = h.span { id = ("r%d-%d"):format(r - 1, i - 1), value }
    end
    rows[r] = cells
  end
  return rows
end

local function slider(id, name, about, spec)
  return h.label { h.b { name }, " ", h.output { id = spec.shows, spec.text }, h.br {},
    h.input { id = id, type = "range", min = spec.min, max = spec.max, step = spec.step,
      value = spec.value, ["data-first"] = spec.value }, h.br {}, h.small { about } }
end

-- The loss over the log-ratio, with a dot for each step of the run.
local function curve(self, beta, name)
  local loss
  for _, one in ipairs(select.losses) do if one[1] == name then loss = one[2] end end
  if not loss then name, loss = select.losses[1][1], select.losses[1][2] end
  local all, d = {}, {}
  for _, step in ipairs(self.steps) do
    local margin = step["rewards/margins"]
    if type(margin) == "number" and math.abs(margin) < 1e6 then all[#all + 1] = margin / beta end
  end
  local most = math.min(STEPS, #all)
  for i = 1, most do d[i] = all[math.floor((i - 1) * #all / most) + 1] end
  local reach = 2 / beta
  for _, one in ipairs(d) do reach = math.max(reach, 1.1 * math.abs(one)) end
  local box = { left = 44, right = 430, top = 12, bottom = 214, from = -reach, to = reach, high = 4 }
  local function x(v) return box.left + (v - box.from) / (box.to - box.from) * (box.right - box.left) end
  local function y(v)
    return box.bottom - math.min(box.high, math.max(0, loss(beta * v))) / box.high * (box.bottom - box.top)
  end
  local body, points, sum = {}, {}, 0
  for v = 0, 4 do
    local at = box.bottom - v / box.high * (box.bottom - box.top)
    body[#body + 1] = h.line { class = v == 0 and "axis" or "rule", x1 = box.left, x2 = box.right,
      y1 = at, y2 = at }
    body[#body + 1] = h.text_ { class = "tick", x = box.left - 7, y = at + 4, ["text-anchor"] = "end", v }
  end
  body[#body + 1] = h.line { class = "mark", x1 = x(0), x2 = x(0), y1 = box.top, y2 = box.bottom }
  for _, v in ipairs { -reach, -reach / 2, 0, reach / 2, reach } do
    body[#body + 1] = h.text_ { class = "tick", x = ("%.1f"):format(x(v)), y = box.bottom + 17,
      ["text-anchor"] = v == reach and "end" or "middle", chart.number(tonumber(("%.2g"):format(v))) }
  end
  body[#body + 1] = h.text_ { class = "tick", x = (box.left + box.right) / 2, y = box.bottom + 35,
    ["text-anchor"] = "middle", "d: how much more the chosen image gained (nats)" }
  for i = 0, 80 do
    local v = box.from + (box.to - box.from) * i / 80
    points[i + 1] = ("%.1f,%.1f"):format(x(v), y(v))
  end
  body[#body + 1] = h.g { class = "s1", h.polyline { id = "loss-curve", class = "curve",
    points = table.concat(points, " ") } }
  local dots = { class = "dots" }
  for i, one in ipairs(d) do
    sum = sum + loss(beta * one)
    dots[#dots + 1] = h.circle { id = "d" .. i - 1, cx = ("%.1f"):format(x(one)),
      cy = ("%.1f"):format(y(one)), r = 3 }
  end
  body[#body + 1] = h.g(dots)
  local choices = { id = "loss", ["data-first"] = name }
  for _, one in ipairs(select.losses) do
    choices[#choices + 1] = h.option { value = one[1], selected = one[1] == name or nil, one[1] }
  end
  local exponent = math.log10(beta)
  local values = {}
  for i, one in ipairs(d) do values[i] = ("%.6g"):format(one) end
  local json = ('{"left":%d,"right":%d,"top":%d,"bottom":%d,"from":%.9g,"to":%.9g,"high":%d}'):format(box.left,
    box.right, box.top, box.bottom, box.from, box.to, box.high)
  return h.div { class = "two",
    h.div { class = "controls live", hidden = true,
      slider("beta", "β", "how much a log-ratio counts: less lets the model go farther from the start",
        { shows = "beta-is", text = ("%.2g"):format(beta), min = math.min(-3, exponent),
          max = math.max(1, exponent), step = 0.01, value = ("%.4g"):format(exponent) }),
      h.label { h.b "loss", " ", h.select(choices), h.br {},
        h.small "as in tain.loss; all of these look at β·d only" } },
    h.figure { class = "card", h.figcaption { h.b "What the loss asks for ", h.span { class = "soft",
      "Where the curve is steep, a step pushes hard; where it is flat, the pair is learned. Dots are the "
      .. "steps of this run; their mean is ", h.span { id = "loss-mean", #d > 0
        and ("%.3g"):format(sum / #d) or "–" }, "." } },
      h.svg { viewBox = "0 0 440 255", role = "img",
        ["aria-label"] = "The loss over the log-ratio of chosen to rejected", body } } },
    json, "[" .. table.concat(values, ",") .. "]"
end

--- The section, or nil where no candidates were recorded.
function select.section(self)
  if not next(self.candidates) then return nil end
  local rules = rules_of(self)
  local scores = select.scores(self)
  local figure, box, d
  if #self.steps > 0 and self.steps[1]["rewards/margins"] then
    figure, box, d = curve(self, option(self, "beta", 0.1), tostring(self.options.loss or "sigmoid"))
  end
  local function fixed(v) return ("%.2f"):format(v) end
  return h.section { id = "select", h.h2 { "What other thresholds would have selected" },
    h.p { class = "soft", "From the same scores, by the rule of tain.preferences: a prompt's surest "
      .. "accepted image over its surest rejected one. Stricter thresholds give fewer and surer pairs; "
      .. "whether surer is righter, the outside judge says.", h.span { class = "live", hidden = true,
        " Move the sliders; the candidates further down change their parts." } },
    h.div { class = "controls live", hidden = true,
      slider("above", "least p(yes) to be chosen", "higher: fewer accepted images, more prompts wait",
        { shows = "above-is", text = fixed(rules.above), min = 0, max = 1, step = 0.01,
          value = fixed(rules.above) }),
      slider("below", "greatest p(yes) to be rejected", "lower: only images that are surely wrong",
        { shows = "below-is", text = fixed(rules.below), min = 0, max = 1, step = 0.01,
          value = fixed(rules.below) }),
      slider("pairs-a-prompt", "pairs a prompt", "surest with surest, then the second surest",
        { shows = "pairs-is", text = rules.pairs, min = 1, max = math.max(8, rules.pairs), step = 1,
          value = rules.pairs }),
      h.label { h.button { id = "again", type = "button", "as in the run" } } },
    h.grid({ "round", "images that SFT would use", "prompts used", "prompts that wait", "pairs",
      "of pairs, outside judge agrees", "outside judge says the opposite" }, counts(self, rules),
      "numbers"),
    figure,
    h.script { id = "scores", type = "application/json", h.raw(('{"rounds":%s,"chart":%s,"d":%s}'):format(
      scores, box or "null", d or "[]")) } }
end

return select
