--- What a run's events say: counts by round, with 95% intervals. Nothing here knows of pages.

local files = require "tain.files"
local json = require "tain.json"
local log = require "tain.events"

local facts = {}

-- ---- Reading ----

--- The events of a run's folder, as far as they are whole: a run that is still going on may be
--- looked at, and so may one that was killed.
---
--- @param folder string
--- @return table[] events
function facts.events(folder)
  local events, path = {}, folder .. "/events.jsonl"
  if not files.exists(path) then return events end
  local opened = log.open(path, false)
  for i = 1, opened.recorded do events[i] = opened:get(i) end
  opened:close()
  return events
end

--- What was decided, however it was written: "accepted", "rejected", "unclear", or nil.
function facts.verdict(value)
  if value == nil then return nil end
  if value == true or value == 1 or value == "accepted" or value == "yes" then return "accepted" end
  if value == false or value == 0 or value == "rejected" or value == "no" then return "rejected" end
  return "unclear"
end

-- ---- Shares ----

--- Wilson's 95% interval of k in n.
---
--- @param k number
--- @param n number
--- @return number low
--- @return number high
function facts.interval(k, n)
  if n <= 0 then return 0, 1 end
  local z, p = 1.959964, k / n
  local middle, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
  local whole = 1 + z * z / n
  return math.max(0, (middle - spread) / whole), math.min(1, (middle + spread) / whole)
end

--- k in n as { value =, low =, high =, k =, n = }, or nil when n is 0.
function facts.share(k, n)
  if not k or not n or n <= 0 then return nil end
  local low, high = facts.interval(k, n)
  return { value = k / n, low = low, high = high, k = k, n = n }
end

local function counter()
  return { images = 0, accepted = 0, rejected = 0, unclear = 0, judged = 0, right = 0, both = 0,
    agree = 0, believed = 0, fooled = 0, disowned = 0, weak = 0, p = 0, ps = 0 }
end

-- Counts one image: the model's own verdict, and the outside judge's where there is one.
local function count(c, event)
  local own, exact = facts.verdict(event.own), facts.verdict(event.exact)
  c.images = c.images + 1
  if own then c[own] = c[own] + 1 end
  if type(event.p_yes) == "number" then c.p, c.ps = c.p + event.p_yes, c.ps + 1 end
  if exact then
    c.judged = c.judged + 1
    if exact == "accepted" then c.right = c.right + 1 end
    if own == "accepted" or own == "rejected" then
      c.both = c.both + 1
      if own == exact or (own == "rejected" and exact == "unclear") then c.agree = c.agree + 1 end
    end
    if own == "accepted" then
      c.believed = c.believed + 1
      if exact ~= "accepted" then c.fooled = c.fooled + 1 end
    elseif own == "rejected" then
      c.disowned = c.disowned + 1
      if exact ~= "accepted" then c.weak = c.weak + 1 end
    end
  end
end

-- The shares that counts stand for.
local function shares(c)
  return {
    images = c.images, unclear = c.unclear,
    gap = facts.share(c.rejected, c.accepted + c.rejected),
    accepted = facts.share(c.accepted, c.accepted + c.rejected),
    judge = facts.share(c.right, c.judged),
    agreement = facts.share(c.agree, c.both),
    fooled = facts.share(c.fooled, c.believed), weak = facts.share(c.weak, c.disowned),
    p_yes = c.ps > 0 and c.p / c.ps or nil,
  }
end

-- An evaluation's numbers: name_k of name_n where it says so, else a share of its n images.
local function evaluated(event)
  local function of(name)
    local share, n = event[name], event[name .. "_n"] or event.n
    if type(share) ~= "number" or type(n) ~= "number" then return nil end
    return facts.share(event[name .. "_k"] or share * n, n)
  end
  local gap = of "non"
  return {
    round = event.round, method = event.method, category = event.category, images = event.n,
    gap = gap, accepted = gap and facts.share(gap.n - gap.k, gap.n), judge = of "gen",
    agreement = of "agree" or of "und", fooled = of "fooled", weak = of "weak", win = of "win",
  }
end

local function sorted(set)
  local list = {}
  for key in pairs(set) do list[#list + 1] = key end
  table.sort(list, function(a, b)
    if type(a) ~= type(b) then return type(a) == "number" end
    return a < b
  end)
  return list
end
facts.sorted = sorted

local function of(map, key, make)
  if map[key] == nil then map[key] = make() end
  return map[key]
end

-- The rows of the table and the points of the curves: from evaluations where there are any, else
-- counted from the held-out images, else from all candidates.
local function by_round(self)
  local rows = {}
  for _, one in ipairs(self.evaluations) do
    if not one.category and type(one.round) == "number" then rows[#rows + 1] = one end
  end
  if #rows > 0 then return rows, "evaluate" end
  for _, source in ipairs { "probe", "candidate" } do
    for _, round in ipairs(sorted(self.counts[source])) do
      local row = shares(self.counts[source][round])
      row.round = round
      rows[#rows + 1] = row
    end
    if #rows > 0 then return rows, source end
  end
  return rows
end

local function list() return {} end

-- Two readings of one round's movement that must not be taken for success.
local function alarms(self)
  local first, last = self.rounds[1], self.rounds[#self.rounds]
  if not first or first == last or not (first.gap and last.gap and first.judge and last.judge) then
    return
  end
  if last.gap.value < first.gap.value and last.judge.value < first.judge.value then
    self.warnings[#self.warnings + 1] = { round = last.round, text =
      "The model agrees with itself more than it did at the start, but the outside judge accepts "
      .. "fewer of its images: both halves may be getting worse together." }
  end
end

--- Everything that the page shows.
---
--- @param folder string
--- @return table
function facts.read(folder)
  local self = {
    folder = folder, run = {}, events = facts.events(folder), options = {}, steps = {}, pools = {},
    pairs = {}, warnings = {}, checkpoints = {}, evaluations = {}, probes = {}, prompts = {},
    counts = { probe = {}, candidate = {} }, candidates = {}, of_prompt = {}, categories = {}, kinds = {},
  }
  if files.exists(folder .. "/run.json") then
    local run = json.decode(files.read(folder .. "/run.json"))
    if type(run) == "table" then self.run = run end
  end
  self.options = type(self.run.options) == "table" and self.run.options or {}

  for _, event in ipairs(self.events) do
    local kind, round = event.kind, type(event.round) == "number" and event.round or 0
    self.kinds[kind or "?"] = (self.kinds[kind or "?"] or 0) + 1
    if kind == "options" and type(event.options) == "table" and not next(self.options) then
      self.options = event.options
    elseif kind == "step" then
      self.steps[#self.steps + 1] = event
    elseif kind == "pool" then
      self.pools[#self.pools + 1] = event
    elseif kind == "pair" then
      table.insert(of(self.pairs, round, list), event)
    elseif kind == "warning" then
      self.warnings[#self.warnings + 1] = event
    elseif kind == "checkpoint" then
      self.checkpoints[#self.checkpoints + 1] = event
    elseif kind == "evaluate" then
      self.evaluations[#self.evaluations + 1] = evaluated(event)
    elseif kind == "candidate" or kind == "probe" then
      count(of(self.counts[kind], round, counter), event)
      if kind == "candidate" then
        -- The candidates of a prompt are one list; lists stand in the order they were begun in.
        local key = round .. "\0" .. tostring(event.prompt)
        if not self.of_prompt[key] then
          self.of_prompt[key] = {}
          table.insert(of(self.candidates, round, list), self.of_prompt[key])
        end
        table.insert(self.of_prompt[key], event)
        local category = of(self.categories, tostring(event.category or ""), list)
        count(of(category, round, counter), event)
      else
        -- One row of pictures a prompt and seed, so that every round stands beside the others.
        local key = tostring(event.prompt) .. "\0" .. tostring(event.seed)
        if not self.probes[key] then
          self.probes[key] = { prompt = event.prompt, seed = event.seed, category = event.category,
            rounds = {} }
          self.prompts[#self.prompts + 1] = self.probes[key]
        end
        self.probes[key].rounds[round] = event
      end
    end
  end

  self.rounds, self.source = by_round(self)
  alarms(self)
  return self
end

--- The shares of each category by round: of evaluations where they have categories, else of
--- candidates.
---
--- @return table[] rows category, rounds (round -> shares)
--- @return integer[] rounds
--- @return string source "evaluate" or "candidate"
function facts.of_categories(self)
  local rows, rounds, of_name = {}, {}, {}
  for _, one in ipairs(self.evaluations) do
    if one.category and type(one.round) == "number" then
      if not of_name[one.category] then
        of_name[one.category] = { category = one.category, rounds = {} }
        rows[#rows + 1] = of_name[one.category]
      end
      of_name[one.category].rounds[one.round], rounds[one.round] = one, true
    end
  end
  if #rows > 0 then
    table.sort(rows, function(a, b) return tostring(a.category) < tostring(b.category) end)
    return rows, sorted(rounds), "evaluate"
  end
  for _, category in ipairs(sorted(self.categories)) do
    local of_round = {}
    for round, counts in pairs(self.categories[category]) do of_round[round] = shares(counts) end
    rows[#rows + 1] = { category = category, rounds = of_round }
  end
  return rows, sorted(self.counts.candidate), "candidate"
end

return facts
