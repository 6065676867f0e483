--- One page that shows what a run did: pictures first, then numbers with their intervals, then how
--- it came about. No network and no other file; complete without its script, which only lets a
--- reader select again from the stored scores. Everything a run recorded is escaped.

local chart = require "tain.report.chart"
local check = require "tain.check"
local compare = require "tain.report.compare"
local facts = require "tain.report.facts"
local files = require "tain.files"
local h = require "tain.report.html"
local image = require "tain.image"
local json = require "tain.json"
local script = require "tain.report.script"
local select = require "tain.report.select"
local style = require "tain.report.style"

local report = {}

local SIDE = 128         -- pixels of a picture on the page; larger ones are made smaller
local COLUMNS = 10       -- rounds that stand side by side
local PAIRS = 6          -- pairs shown of a round
local STRIPS = 4         -- prompts of a round whose candidates are shown

local number = chart.number
local verdict = facts.verdict

-- ---- Meanings: the one text about each number ----

local meanings = {
  gap = { "Gap (non-unification)", "lower is better",
    "the share of the model's own images that its own understanding rejects" },
  accepted = { "Own acceptance", "says little alone",
    "the share of its own images that the model accepts; 1 − gap" },
  judge = { "Outside judge", "higher is better",
    "the share of the model's images that a judge from outside finds right" },
  agreement = { "Agreement", "higher is better",
    "how often the model's verdict on its image is the outside judge's" },
  fooled = { "False positives", "lower is better",
    "of the images the model accepts, the share that the outside judge does not" },
  weak = { "Weak generation", "says whose fault the gap is",
    "of the images the model rejects, the share that the outside judge does not find right either; "
    .. "the rest is misunderstanding" },
  win = { "Win rate", "above 50 % is better",
    "where the trained model and the model before training judge an image differently, how often "
    .. "the trained one is right" },
  p_yes = { "Mean p(yes)", "says little alone",
    "how probable the model finds it, on average, that its image is right" },
}
local columns = { "gap", "accepted", "judge", "agreement", "fooled", "weak", "win" }

local curves = {
  { "loss", "Loss",
    "What training brings down. Lower is better as long as the outside judge agrees." },
  { "rewards/margins", "Reward margin",
    "β × how much more the chosen image gained than the rejected one. Higher is better." },
  { "rewards/accuracies", "Pairs in the right order",
    "How often the chosen image gained more than the rejected one. Higher is better.", true },
  { { "rewards/chosen", "rewards/rejected" }, "Rewards",
    "β × the change of log-probability. Apart is good; both falling means that the chosen image, "
    .. "too, becomes less likely." },
  { { "logps/chosen", "logps/rejected" }, "Log-probabilities",
    "How likely the images are to the model. Higher is likelier." },
  { "nll_loss", "Likelihood term", "The share of the loss that keeps the chosen images likely. "
    .. "Lower is better." },
  { "grad_norm", "Gradient norm",
    "How far a step would go, before clipping. No sudden jumps is good." },
  { "learning_rate", "Learning rate", "As planned." },
}

-- ---- Pictures ----

local function picture(self, path)
  local address = self.pictures[path]
  if address == nil then
    address = false
    if type(path) == "string" and not path:find("^/") and not path:find("..", 1, true)
      and files.exists(self.folder .. "/" .. path) then
      local ok, made = pcall(image.image, self.folder .. "/" .. path)
      if ok then
        local width, height = made:size()
        local larger = math.max(width, height)
        if larger > SIDE then
          made = made:resize(math.max(1, math.floor(width * SIDE / larger + 0.5)),
            math.max(1, math.floor(height * SIDE / larger + 0.5)))
        end
        address = h.data_uri(made:png())
      end
    end
    self.pictures[path] = address
  end
  return address
end

local own_words = { accepted = "accepts", rejected = "rejects", unclear = "unclear" }
local judge_words = { accepted = "✓ right", rejected = "✗ wrong", unclear = "? unclear" }

-- A picture with the model's verdict as its border and in words, and the outside judge's below.
local function shot(self, event, path, extra)
  local own, exact = verdict(event.own), verdict(event.exact)
  local apart = own and exact and own ~= "unclear" and (own == "accepted") ~= (exact == "accepted")
  local address = path and picture(self, path)
  local alt = ("%s; round %s; own verdict %s%s; outside judge: %s"):format(tostring(event.prompt),
    tostring(event.round), own or "none",
    type(event.p_yes) == "number" and (", p(yes) %.2f"):format(event.p_yes) or "", exact or "none")
  return h.figure { class = "shot " .. (own or ""),
    address and h.img { src = address, alt = alt, title = alt, width = 112, height = 112 }
      or h.div { class = "lost", "no picture" },
    h.figcaption {
      own and { own_words[own], " " },
      type(event.p_yes) == "number" and h.b { ("%.2f"):format(event.p_yes) },
      exact and { h.br {}, h.span { class = apart and "apart" or nil, "judge ",
        judge_words[exact] } },
      extra and { h.br {}, extra },
    } }
end

local key = h.div { class = "key",
  h.span { h.i { class = "accepted" }, "the model accepts its image" },
  h.span { h.i { class = "rejected" }, "the model rejects it" },
  h.span { h.i { class = "unclear" }, "its answer fits neither" },
  h.span { "the number is p(yes)" },
  h.span { "✓ ✗ the outside judge; marked where the two differ" } }

-- Rounds of drawing and rounds of measuring begin with 0, which is before any training.
local function round_name(round) return round == 0 and "at first" or "round " .. number(round) end

-- At most `most` of a list, the first and the last among them.
local function spread(list, most)
  if #list <= most then return list end
  local some = {}
  for i = 1, most do some[i] = list[math.floor((i - 1) * (#list - 1) / (most - 1) + 0.5) + 1] end
  return some
end

-- ---- Parts of the page ----

local function name_of(folder)
  return folder:gsub("/+$", ""):match("([^/]+)$") or folder
end

local function sentence(text) return (text:gsub("^%l", string.upper)) .. "." end

local function share_text(s)
  return s and number(s.value, true) or "–"
end

local function interval_text(s)
  if not s then return "" end
  return ("%.0f of %d; 95 %%: %.0f–%.0f %%"):format(s.k, s.n, 100 * s.low, 100 * s.high)
end

-- Whether two intervals leave no doubt about who is greater.
local function apart(a, b) return a.high < b.low or b.high < a.low end

local function card(self, field)
  local meaning = meanings[field]
  local first, last
  for _, row in ipairs(self.rounds) do
    if row[field] then first, last = first or row, row end
  end
  if not first then return nil end
  local a, b = first[field], last[field]
  local word
  if first ~= last and a.value ~= b.value then
    local up = b.value > a.value
    local good = up == (meaning[2] == "higher is better")
    word = h.span { class = good and "better" or "worse", good and "better" or "worse",
      not apart(a, b) and ", but the intervals overlap" or nil }
  end
  return h.div { class = "card",
    h.div { h.b { meaning[1] } },
    h.div { class = "big", first ~= last and h.span { class = "from", share_text(a), " → " }
      or nil, share_text(b) },
    h.p { class = "note", word and { word, ". " }, sentence(meaning[2]), " ",
      sentence(meaning[3]) },
    h.p { class = "note", interval_text(b) } }
end

local function headline(self)
  local first, last = self.rounds[1], self.rounds[#self.rounds]
  if not first then return h.p { class = "lead", "Nothing has been measured yet." } end
  local function moved(field)
    local a, b = first[field], last[field]
    if not (a and b) then return nil end
    if first == last then return { "is ", h.b { share_text(b) } } end
    local verb = math.abs(a.value - b.value) < 5e-4 and "stayed at " or b.value < a.value
      and "fell from " or "rose from "
    return { verb, h.b { share_text(a) },
      verb ~= "stayed at " and { " to ", h.b { share_text(b) } } }
  end
  local rounds = #self.rounds - 1
  local gap, judge = moved "gap", moved "judge"
  return h.p { class = "lead",
    rounds > 0 and { "After ", rounds, rounds == 1 and " round" or " rounds", " of training, the " }
      or "The ",
    gap and { "share of its own images that the model rejects ", gap } or "gap was not measured",
    judge and { rounds > 0 and "; the share that an outside judge finds right "
      or ", and the share that an outside judge finds right ", judge },
    "." }
end

local function header(self)
  local run = self.run
  local line = {}
  local function add(...) line[#line + 1] = #line > 0 and { " · ", ... } or { ... } end
  if run.recipe then add("recipe ", h.b { name_of(tostring(run.recipe)) }) end
  if type(run.model) == "table" and run.model.folder then
    add("model ", h.b { name_of(tostring(run.model.folder)) })
  end
  if run.seed then add("seed ", h.b { run.seed }) end
  if run.device then add((tostring(run.device):gsub(" |.*", ""))) end   -- all of it is in settings
  if run.version then add("tain ", run.version) end
  return h.header { h.h1 { name_of(self.folder) }, h.p { class = "soft", line }, headline(self) }
end

local function warnings(self)
  local list = {}
  for i, w in ipairs(self.warnings) do
    list[i] = h.div { class = "warning", h.b { "Warning",
      w.round and { ", round ", w.round } or nil, ". " }, w.text or w.message or "" }
  end
  return list
end

local function grid(self)
  if #self.prompts == 0 then return nil end
  local rounds = spread(facts.sorted(self.counts.probe), COLUMNS)
  local prompts = spread(self.prompts, self.most)
  local head, rows = { "prompt" }, {}
  for i, round in ipairs(rounds) do head[i + 1] = round_name(round) end
  for i, probe in ipairs(prompts) do
    rows[i] = { { h.bdi { probe.prompt }, h.span { class = "soft", probe.category or "",
      probe.seed and { probe.category and ", " or "", "seed ", probe.seed } } } }
    for k, round in ipairs(rounds) do
      local event = probe.rounds[round]
      rows[i][k + 1] = event and shot(self, event, event.image) or "–"
    end
  end
  return h.section { id = "pictures", h.h2 { "The same prompts in every round" },
    h.p { class = "soft", "Held-out prompts, never trained on. The seed of a row is the same in "
      .. "every round, so what changes is the model.",
      #prompts < #self.prompts and (" %d of %d prompts are shown."):format(#prompts, #self.prompts)
        or nil },
    key, h.grid(head, rows, "pictures") }
end

local function points(rows, field)
  local list = {}
  for _, row in ipairs(rows) do
    local s = row[field]
    if s and type(row.round) == "number" then
      list[#list + 1] = { row.round, s.value, low = s.low, high = s.high,
        title = ("round %s: %s (%s)"):format(number(row.round), number(s.value, true),
          interval_text(s)) }
    end
  end
  return list
end

-- One series, or one for each method.
local function by_method(self, field)
  local names, of, series = {}, {}, {}
  for _, row in ipairs(self.rounds) do
    local name = tostring(row.method or "")
    if not of[name] then names[#names + 1], of[name] = name, {} end
    table.insert(of[name], row)
  end
  if #names > 4 then names, of = { "" }, { [""] = self.rounds } end
  for i, name in ipairs(names) do series[i] = { name = name, points = points(of[name], field) } end
  return series
end

local sources = {
  evaluate = "Measured on all held-out prompts.",
  probe = "Counted from the held-out prompts above.",
  candidate = "Counted from all candidates, which are of training prompts: no held-out prompts "
    .. "were drawn.",
}

local function gap(self)
  if #self.rounds == 0 then return nil end
  local figures = {}
  for _, field in ipairs { "gap", "judge", "agreement", "fooled" } do
    local series, longest, meaning = by_method(self, field), 0, meanings[field]
    for _, one in ipairs(series) do longest = math.max(longest, #one.points) end
    if longest > 1 then
      figures[#figures + 1] = chart.lines { title = meaning[1], percent = true, integers = true,
        x = "round (0 is before training)", series = series, about = sentence(meaning[3]) .. " "
          .. sentence(meaning[2]) }
    end
  end
  local rows, head, used = {}, { "round" }, {}
  for _, field in ipairs(columns) do
    for _, row in ipairs(self.rounds) do used[field] = used[field] or row[field] ~= nil end
    if used[field] then head[#head + 1] = meanings[field][1] end
  end
  for i, row in ipairs(self.rounds) do
    rows[i] = { { row.round == 0 and "at first" or number(row.round or 0),
      row.method and { " ", h.small { row.method } } } }
    for _, field in ipairs(columns) do
      if used[field] then
        local s = row[field]
        rows[i][#rows[i] + 1] = s and { h.b { share_text(s) }, h.br {}, h.small {
          ("%.0f/%d · %.0f–%.0f %%"):format(s.k, s.n, 100 * s.low, 100 * s.high) } } or "–"
      end
    end
  end
  return h.section { id = "gap", h.h2 { "The gap, and whether to believe it" },
    h.p { class = "soft", sources[self.source], " Whiskers and small numbers are 95 % intervals "
      .. "(Wilson). A gap that falls is good news only if the outside judge does not fall with "
      .. "it." },
    h.div { class = "two", figures }, h.grid(head, rows, "numbers") }
end

local function categories(self)
  local all, rounds, source = facts.of_categories(self)
  rounds = spread(rounds, COLUMNS)
  if #all < 2 or #rounds == 0 then return nil end
  local head, rows = { "category" }, {}
  for i, round in ipairs(rounds) do head[i + 1] = round_name(round) end
  for i, one in ipairs(all) do
    rows[i] = { one.category == "" and "–" or one.category }
    for k, round in ipairs(rounds) do
      local s = one.rounds[round]
      rows[i][k + 1] = s and { h.b { share_text(s.gap) }, s.judge and { " · judge ",
        share_text(s.judge) }, h.br {}, h.small { s.images, s.images == 1 and " image" or " images" } } or "–"
    end
  end
  return h.section { id = "categories", h.h2 { "By category" },
    h.p { class = "soft", source == "evaluate" and "The gap on held-out prompts"
      or "The gap of the candidates drawn from training prompts", " (lower is better), and the "
      .. "share that the outside judge finds right (higher is better)." },
    h.grid(head, rows, "numbers") }
end

local function pool(self)
  if #self.pools == 0 then return nil end
  local rows = {}
  for i, p in ipairs(self.pools) do
    rows[i] = { p.round == 0 and "at first" or number(p.round or i), p.tried or "–",
      p.recovered or "–", p.waiting or "–" }
  end
  return h.section { id = "pool", h.h2 { "Prompts that wait" },
    h.p { class = "soft", "A prompt of which the model accepts no image teaches nothing yet. It "
      .. "goes into the pool and is tried again later, when the model may be able to draw it." },
    h.div { class = "card scroll", chart.flow(self.pools) },
    h.grid({ "round", "tried", "recovered for training", "still waiting" }, rows, "numbers") }
end

local function training(self)
  if #self.steps == 0 then return nil end
  local rules, before = {}, nil
  for i, step in ipairs(self.steps) do
    local part = step.round or step.epoch
    if part ~= before and type(part) == "number" and part % 1 == 0 then
      rules[#rules + 1] = { step.global_step or i, (step.round and "round " or "epoch ")
        .. number(part) }
    end
    before = part
  end
  if #rules > 6 or #rules < 2 then rules = {} end
  local figures = {}
  for _, curve in ipairs(curves) do
    local names = type(curve[1]) == "table" and curve[1] or { curve[1] }
    local series = {}
    for i, name in ipairs(names) do
      local list = {}
      for k, step in ipairs(self.steps) do
        if type(step[name]) == "number" then
          list[#list + 1] = { step.global_step or k, step[name] }
        end
      end
      if #list > 0 then
        series[#series + 1] = { name = name:match("[^/]+$"), points = list, class = i }
      end
    end
    if #series == #names then
      figures[#figures + 1] = chart.lines { title = curve[2], about = curve[3], x = "step",
        percent = curve[4], integers = true, dense = true, series = series, rules = rules }
    end
  end
  return h.section { id = "training", h.h2 { "Training" },
    h.p { class = "soft", #self.steps, " steps. The faint line is every step, the strong one what "
      .. "stays when the jumping is averaged out." }, h.div { class = "wide", figures } }
end

local function pairs_of(self)
  local rounds = facts.sorted(self.pairs)
  local parts = {}
  for _, round in ipairs(spread(rounds, 4)) do
    local list, visible, shown = self.pairs[round], {}, {}
    for _, pair in ipairs(list) do
      if pair.chosen and pair.rejected then visible[#visible + 1] = pair end
    end
    for i, pair in ipairs(spread(visible, PAIRS)) do
      local function side(name, own)
        return shot(self, { prompt = pair.prompt, round = round, own = own,
          p_yes = pair["p_" .. name], exact = pair["exact_" .. name] }, pair[name],
          h.b { name })
      end
      shown[i] = h.div { class = "card", h.p { h.bdi { pair.prompt } },
        h.div { class = "pair", side("chosen", "accepted"), h.span { class = "over", "over" },
          side("rejected", "rejected") } }
    end
    parts[#parts + 1] = #shown > 0 and { h.h3 { round_name(round):gsub("^%l", string.upper), ": ",
      #list, #list == 1 and " pair" or " pairs",
      #shown < #list and (", %d of them shown"):format(#shown) or nil },
      h.div { class = "duos", shown } } or nil
  end
  if #parts == 0 then return nil end
  return h.section { id = "pairs", h.h2 { "What it learned from" },
    h.p { class = "soft", "Each pair is an image that the model accepted over one of the same "
      .. "prompt that it rejected, by its own judgement. The outside judge had no say in it." },
    parts }
end

-- What became of a prompt's candidates, in one sentence.
local function fate(self, round, prompt, list)
  local yes, no = 0, 0
  for _, event in ipairs(list) do
    local own = verdict(event.own)
    if own == "accepted" then yes = yes + 1 elseif own == "rejected" then no = no + 1 end
  end
  for _, pair in ipairs(self.pairs[round] or {}) do
    if pair.prompt == prompt then
      return ("%d of %d accepted: the surest of each kind became a pair."):format(yes, #list)
    end
  end
  if yes == 0 then return "None accepted: the prompt teaches nothing yet." end
  if self.pairs[round] then
    return no == 0 and ("All %d accepted: nothing to prefer them to."):format(#list)
      or ("%d of %d accepted; no pair was made."):format(yes, #list)
  end
  return ("%d of %d accepted."):format(yes, #list)
end

local function candidates(self)
  local rounds = facts.sorted(self.candidates)
  local parts = {}
  for _, r in ipairs(#rounds > 1 and { 1, #rounds } or { #rounds > 0 and 1 or nil }) do
    local round, strips, visible = rounds[r], {}, {}
    for place, list in ipairs(self.candidates[round]) do
      if list[1].image then visible[#visible + 1] = { place = place, list = list } end
    end
    for i, one in ipairs(spread(visible, STRIPS)) do
      local list = one.list
      local prompt, shots, roles = list[1].prompt, {}, {}
      for _, pair in ipairs(self.pairs[round] or {}) do
        if pair.chosen then roles[pair.chosen] = "chosen" end
        if pair.rejected then roles[pair.rejected] = "rejected in the pair" end
      end
      local place_of = {}
      for k, event in ipairs(list) do place_of[event] = k - 1 end
      for k, event in ipairs(spread(list, 12)) do
        shots[k] = shot(self, event, event.image, h.b { ["data-candidate"] = place_of[event],
          event.image and roles[event.image] })
      end
      strips[i] = h.div { class = "strip", ["data-strip"] = ("%d %d"):format(r - 1, one.place - 1),
        h.p { h.b { h.bdi { prompt } }, " ",
        h.span { class = "soft", fate(self, round, prompt, list) } },
        h.div { class = "row", shots } }
    end
    parts[#parts + 1] = #strips > 0 and { h.h3 { round_name(round):gsub("^%l", string.upper), "" },
      strips } or nil
  end
  if #parts == 0 then return nil end
  return h.section { id = "candidates", h.h2 { "How prompts were decided" },
    h.p { class = "soft", "The candidates of a few training prompts, in the order of their "
      .. "seeds." },
    key, parts }
end

local function show(value)
  if type(value) == "table" then
    local ok, text = pcall(json.encode, value)
    return ok and text or "a table"
  end
  return type(value) == "number" and ("%.14g"):format(value) or tostring(value)
end

local function settings(self)
  local run, rows = self.run, {}
  for _, name in ipairs(facts.sorted(self.options)) do
    rows[#rows + 1] = { h.code { name }, h.code { show(self.options[name]) } }
  end
  local about = {}
  local function add(name, value)
    if value ~= nil then about[#about + 1] = { name, h.code { show(value) } } end
  end
  add("device", run.device)
  add("tain", run.version)
  add("recipe", run.recipe)
  add("seed", run.seed)
  if type(run.model) == "table" then
    add("model", run.model.folder)
    for _, file in ipairs(type(run.model.files) == "table" and run.model.files or {}) do
      add(tostring(file.name), ("%s bytes, sha256 %s"):format(show(file.bytes), show(file.sha256)))
    end
  end
  local kinds = {}
  for i, kind in ipairs(facts.sorted(self.kinds)) do kinds[i] = kind .. " " .. self.kinds[kind] end
  add("events", table.concat(kinds, ", "))
  local last = self.checkpoints[#self.checkpoints]
  if last then add("latest checkpoint", last.folder or last.step) end
  return h.section { id = "settings", h.h2 { "Settings and files" },
    #rows > 0 and h.grid({ "option", "value" }, rows, "settings") or nil,
    h.grid({ "this run", "" }, about, "settings") }
end

local function glossary()
  local rows = {}
  for i, field in ipairs { "gap", "accepted", "judge", "agreement", "fooled", "weak", "win",
    "p_yes" } do
    local m = meanings[field]
    rows[i] = { m[1], sentence(m[3]), m[2] }
  end
  for _, curve in ipairs(curves) do
    rows[#rows + 1] = { curve[2], curve[3], h.code { type(curve[1]) == "table"
      and table.concat(curve[1], " ") or curve[1] } }
  end
  return h.section { id = "meanings", h.h2 { "What the numbers mean" },
    h.grid({ "number", "meaning", "direction, or name in the log" }, rows, "meanings") }
end

-- ---- The page ----

local function bytes_of(digits)
  return (digits:gsub("%x%x", function(two) return string.char(tonumber(two, 16)) end))
end

-- A page of its own, from its title and what is in its body.
local function whole(title, body)
  return "<!DOCTYPE html>\n" .. h.text(h.html { lang = "en",
    h.head { h.meta { charset = "utf-8" },
      h.meta { name = "viewport", content = "width=device-width, initial-scale=1" },
      h.meta { ["http-equiv"] = "Content-Security-Policy",
        content = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-"
          .. files.base64(bytes_of(files.digest(script))) .. "'" },
      h.title { title, " · tain" }, h.style { h.raw(style) } }, h.body(body) }) .. "\n"
end

local options_of = {
  prompts = { "integer", default = 48, min = 1 },
}

--- The page about a run's folder. Equal folders give equal pages.
---
--- @param folder string
--- @param options? table prompts (held-out ones, at most so many)
--- @return string html
function report.page(folder, options)
  options = check.options("report", options, options_of)
  local self = facts.read(folder)
  self.pictures, self.most = {}, options.prompts
  local cards, n = {}, 0
  for _, field in ipairs { "gap", "judge", "agreement", "fooled" } do
    n = n + 1
    cards[n] = card(self, field) or false
  end
  local links, sections = {}, {}
  for _, part in ipairs { { "pictures", grid }, { "gap", gap }, { "categories", categories },
    { "pool", pool }, { "training", training }, { "pairs", pairs_of }, { "select", select.section },
    { "candidates", candidates },
    { "settings", settings }, { "meanings", glossary } } do
    local section = part[2](self)
    if section then
      sections[#sections + 1] = section
      links[#links + 1] = h.a { href = "#" .. part[1], part[1] }
    end
  end
  return whole(name_of(self.folder), {
    h.main { header(self), warnings(self), h.div { class = "cards", cards },
      h.nav(links), sections,
      h.footer { "Made by tain from ", #self.events, " events. This page needs no network, and all that "
        .. "its script does is to select again." } },
    next(self.candidates) and h.script { h.raw(script) } })
end

--- Writes FOLDER/report.html.
---
--- @param folder string
--- @return string path
function report.write(folder)
  local path = folder .. "/report.html"
  files.write(path, report.page(folder))
  return path
end

--- A page about several runs, side by side.
---
--- @param folders string[]
--- @return string html
function report.compare(folders)
  local runs = {}
  for i, folder in ipairs(folders) do
    runs[i] = facts.read(folder)
    runs[i].pictures = {}
  end
  return whole(#runs .. " runs", { h.main { compare.body(runs, { shot = shot, meanings = meanings,
    sentence = sentence }), glossary() } })
end

return report
