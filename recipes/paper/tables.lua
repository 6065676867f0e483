--- What the experiment found, as rows: for paper.json, and for people.
---
--- gen: drawn right by the exact judge. und: own verdicts on the pictures of the model before
--- training that are the exact judge's. non: own pictures that it rejects itself. win: where the
--- verdict on such a picture has changed, how often the new one is right. Every share is counted.

local tain = require "tain"
local files = require "tain.files"

local tables = {}

local METHODS = { "pretrained", "sft", "csft", "dpo", "cdpo" }
local TITLES = { pretrained = "pre-trained", sft = "SFT", csft = "C-SFT", dpo = "DPO", cdpo = "C-DPO" }
local SHARES = { "gen", "und", "non", "win", "weak", "clean" }

local Book = {}
Book.__index = Book

function tables.new()
  return setmetatable({ rows = {}, overall = {}, first = {}, replays = {}, warnings = {},
    recovery = {}, dynamics = {} }, Book)
end

-- The shares of the looks whose category it is; nil: of all.
local function row_of(first, made, category)
  local own, exact, before, after, truth = {}, {}, {}, {}, {}
  local n = 0
  for i, look in ipairs(made.looks) do
    if category == nil or look.category == category then
      n = n + 1
      own[n], exact[n] = look.verdict, look.exact == true
      before[n], after[n], truth[n] = first.verdicts[i], made.verdicts[i], first.looks[i].exact == true
    end
  end
  return { n = n, gen = tain.measure.rate(exact, n), und = tain.measure.agreement(after, truth),
    non = tain.measure.gap(own), win = tain.measure.win(before, after, truth),
    weak = tain.measure.blame(own, exact) }
end

--- Adds what was seen of a method.
function Book:add(seed, method, made)
  if method == "pretrained" then self.first[seed] = made end
  local first = self.first[seed]
  local seen, categories = {}, {}
  for _, look in ipairs(made.looks) do
    if look.category and not seen[look.category] then
      seen[look.category], categories[#categories + 1] = true, look.category
    end
  end
  for _, category in ipairs(categories) do
    local row = row_of(first, made, category)
    row.method, row.seed, row.category = method, seed, category
    self.rows[#self.rows + 1] = row
  end
  local row = row_of(first, made)
  row.method, row.seed, row.category, row.clean = method, seed, "overall", made.clean
  self.overall[#self.overall + 1] = row
  for _, text in ipairs(made.warnings or {}) do
    self.warnings[#self.warnings + 1] = { method = method, seed = seed, text = text }
  end
  for _, replay in ipairs(made.replays or {}) do
    self.replays[#self.replays + 1] = { method = method, seed = seed, epoch = replay.epoch, recovered = replay.share }
  end
end

-- ---- Over all seeds ----

local function together(rows, method, category)
  local sums = { n = 0 }
  for _, row in ipairs(rows) do
    if row.method == method and row.category == category then
      sums.n = sums.n + row.n
      for _, name in ipairs(SHARES) do
        if row[name] then
          local sum = sums[name] or { k = 0, n = 0 }
          sum.k, sum.n = sum.k + row[name].k, sum.n + row[name].n
          sums[name] = sum
        end
      end
    end
  end
  for _, name in ipairs(SHARES) do
    if sums[name] then sums[name] = tain.measure.share(sums[name].k, sums[name].n) end
  end
  return sums
end

function Book:categories()
  local list, seen = {}, {}
  for _, row in ipairs(self.rows) do
    if not seen[row.category] then seen[row.category], list[#list + 1] = true, row.category end
  end
  table.sort(list)
  return list
end

--- Whether a category gains more the wider its gap was: over categories, trained methods and seeds.
function Book:correlation()
  local start, gaps, gains = {}, {}, {}
  for _, row in ipairs(self.rows) do
    if row.method == "pretrained" then start[row.seed .. row.category] = row end
  end
  for _, row in ipairs(self.rows) do
    local before = start[row.seed .. row.category]
    if row.method ~= "pretrained" and before.non.share then
      gaps[#gaps + 1], gains[#gains + 1] = before.non.share, row.gen.share - before.gen.share
    end
  end
  return { n = #gaps, pearson = tain.measure.pearson(gaps, gains), spearman = tain.measure.spearman(gaps, gains) }
end

-- ---- Out ----

local function flat(rows)
  local list = {}
  for i, row in ipairs(rows) do
    list[i] = tain.sheet.flat(row)
    if row.win and row.win.even then list[i].win = 0.5 end
  end
  return list
end

local function flat_recovery(recovery)
  local list = {}
  for seed, each in ipairs(recovery) do
    local row = { seed = seed, discarded = each.discarded }
    for _, name in ipairs { "both", "generation", "understanding", "neither" } do
      row[name] = tain.sheet.flat(each[name])
    end
    list[seed] = row
  end
  return list
end

--- @param path string
--- @param size table how large the experiment was
function Book:write(path, size)
  files.write(path, tain.json.encode {
    size = size, rows = flat(self.rows), overall = flat(self.overall), replays = flat(self.replays),
    recovery = flat_recovery(self.recovery), dynamics = self.dynamics, correlation = self:correlation(),
    warnings = self.warnings,
  } .. "\n")
end

local function by_category(self, name, title)
  local columns, rows = { { "category" } }, {}
  for _, method in ipairs(METHODS) do columns[#columns + 1] = { method, TITLES[method] } end
  for _, category in ipairs(self:categories()) do
    local row = { category = category }
    for _, method in ipairs(METHODS) do row[method] = together(self.rows, method, category)[name] end
    rows[#rows + 1] = row
  end
  local row = { category = "overall" }
  for _, method in ipairs(METHODS) do row[method] = together(self.overall, method, "overall")[name] end
  rows[#rows + 1] = row
  tain.sheet.show(columns, rows, { title = title })
end

local function show_overall(self)
  local start, rows = together(self.overall, "pretrained", "overall"), {}
  for i, method in ipairs(METHODS) do
    local row = together(self.overall, method, "overall")
    row.method = TITLES[method]
    if i > 1 then
      row.gen_gain, row.non_gain = tain.measure.gain(start.gen, row.gen), tain.measure.gain(start.non, row.non)
    else
      row.win = nil
    end
    rows[i] = row
  end
  tain.sheet.show({ { "method" }, { "gen", "Gen" }, { "gen_gain", "gain" }, { "non", "Non" }, { "non_gain", "gain" },
    { "clean", "clean pictures judged" }, { "weak", "weak generation" } }, rows, { title = "All seeds together" })
  tain.sheet.show({ { "method" }, { "und", "Und" }, { "win", "win rate" } }, rows,
    { title = "Understanding, on the pictures before training" })
end

local function show_recovery(self)
  local rows = {}
  for _, name in ipairs { "both", "generation", "understanding", "neither" } do
    local k, n, right, accepted = 0, 0, 0, 0
    for _, each in ipairs(self.recovery) do
      k, n = k + each[name].recovered.k, n + each[name].recovered.n
      right, accepted = right + each[name].right.k, accepted + each[name].right.n
    end
    rows[#rows + 1] = { improved = name, recovered = tain.measure.share(k, n), right = tain.measure.share(right, accepted) }
  end
  tain.sheet.show({ { "improved" }, { "recovered", "prompts recovered" }, { "right", "accepted images right" } }, rows,
    { title = "Discarded prompts tried again after SFT" })
end

-- A quantity of a group over all seeds: "-12.3 ± 4.5 (24)".
local function pooled(self, group, part, name)
  local values = {}
  for _, each in ipairs(self.dynamics) do
    local at = each[group][part] and each[group][part][name]
    for _, value in ipairs(at and at.values or {}) do values[#values + 1] = value end
  end
  if #values == 0 then return "- (0)" end
  local mean, deviation = tain.measure.mean(values)
  return ("%.3f ± %.3f (%d)"):format(mean, deviation, #values)
end

local function show_dynamics(self)
  local rows = {}
  for _, each in ipairs {
    { "ΔG  log p(image | prompt)", "change", "drawing" }, { "ΔU  log p(prompt | image)", "change", "describing" },
    { "ΔA  log p(yes | prompt, image)", "change", "accepting" }, { "kernel, same prompt", "kernel", "same" },
    { "kernel, other prompt", "kernel", "other" }, { "kernel, judging and drawing", "kernel", "across" },
  } do
    rows[#rows + 1] = { what = each[1], corrected = pooled(self, "corrected", each[2], each[3]),
      others = pooled(self, "others", each[2], each[3]) }
  end
  tain.sheet.show({ { "what", "mean ± deviation (samples)" }, { "corrected", "corrected false positives" }, { "others" } },
    rows, { title = "Learning dynamics of SFT" })
end

function Book:show()
  by_category(self, "gen", "Gen: drawn right")
  by_category(self, "und", "Und: verdicts that are right, on the pictures before training")
  by_category(self, "non", "Non: own pictures rejected; less is better")
  show_overall(self)
  local replays = {}
  for i, each in ipairs(self.replays) do
    replays[i] = { method = TITLES[each.method], seed = each.seed, epoch = each.epoch, recovered = each.recovered }
  end
  if #replays > 0 then
    tain.sheet.show({ { "method" }, { "seed" }, { "epoch" }, { "recovered", "prompts recovered" } }, replays,
      { title = "Replay" })
  end
  show_recovery(self)
  show_dynamics(self)
  local found = self:correlation()
  tain.log { correlation_of = "gap and gain", n = found.n, spearman = found.spearman, pearson = found.pearson }
end

return tables
