--- Candidates of prompts, judged by the model that drew them: what to train on, and what to leave.
---
---     local judged = tain.judge(model, prompts, { images = 8, seed = 1 })
---     local data, pool = tain.approved(judged, { select = "mixed" })
---     local pairs, pool = tain.preferences(judged, { above = 0.9 })
---
--- A candidate is { prompt, category, id, image, seed, stream, p_yes, mass, verdict }. What may be
--- left to taste is an option here (`judge.rule_options`), and few enough lines to be copied and bent.

local bit = require "bit"
local ffi = require "ffi"
local check = require "tain.check"
local image = require "tain.image"
local own = require "tain.own"

local C = ffi.C
local judge = {}

-- ---- Which random numbers ----

-- FNV-1a of 32 bits.
local function hash(text)
  local h = 0x811C9DC5
  for i = 1, #text do
    h = bit.bxor(h, text:byte(i)) % 2 ^ 32
    h = (h % 0x10000 * 0x01000193 + math.floor(h / 0x10000) * 0x01000193 % 0x10000 * 0x10000) % 2 ^ 32
  end
  return h
end

--- The stream of a candidate's random numbers. It depends on the prompt, on what the image is for
--- and on its number, not on which other prompts there are, so that it can be drawn again alone.
---
--- @param item string|table a prompt, or what has an id or a prompt
--- @param round integer 0 to 255: 0 at first, then one for each time that the prompt is tried again
--- @param index integer 1 to 4095
--- @return integer
function judge.stream(item, round, index)
  check.integer("stream", "round", round, 0, 255)
  check.integer("stream", "index", index, 1, 4095)
  local name = type(item) == "table" and (item.id or item.prompt) or item
  return hash(tostring(name)) * 2 ^ 20 + round * 2 ^ 12 + index
end

-- ---- Drawing and judging ----

local options_of = {
  images = { "integer", default = 1, min = 1, max = 4095 },
  seed = { "integer", default = 1, min = 0 },
  round = { "integer", default = 0, min = 0, max = 255 },
  guidance = { "number", optional = true, min = 0 },
  temperature = { "number", default = 1, min = 1e-6 },
  batch = { "integer", default = 512, min = 1 },
  label = { "string", optional = true },
  run = { "any", optional = true },
  key = { "string", default = "judge" },
  by = { "any", optional = true },
}

-- Items as tables, and whether there was one alone.
local function items_of(prompts)
  if type(prompts) == "string" then return { { prompt = prompts } }, true end
  check.table("judge", "prompts", prompts)
  if type(prompts.prompt) == "string" then return { prompts }, true end
  local items = {}
  for i = 1, #prompts do
    local item = prompts[i]
    items[i] = type(item) == "string" and { prompt = item } or item
    if type(items[i]) ~= "table" or type(items[i].prompt) ~= "string" then
      check.raise("judge: prompts[%d] must be a prompt, not %s", i, check.show(item))
    end
  end
  return items
end

-- Draws and scores rows of { item, stream }.
local function draw(model, rows, options)
  local prompts, streams = {}, {}
  for i, row in ipairs(rows) do prompts[i], streams[i] = row.item.prompt, row.stream end
  local images = model:generate(prompts, { seed = options.seed, streams = streams,
    guidance = options.guidance, temperature = options.temperature, label = options.label })
  local kept = {}
  for i, score in ipairs((options.by or model):score(images, prompts)) do
    kept[i] = { image = images[i], p_yes = score.p_yes, mass = score.mass,
      verdict = score.verdict }
  end
  return kept
end

-- The same, once in a run: what is recorded is an image's codes, which are all there is to it.
local function draw_once(model, rows, options, first)
  local recorded = options.run:once(("%s %d"):format(options.key, first), function()
    local plain = {}
    for i, one in ipairs(draw(model, rows, options)) do
      plain[i] = { codes = one.image:codes(), p_yes = one.p_yes, mass = one.mass,
        verdict = one.verdict }
      one.image:free()   -- of its pixels, which come back when they are asked for
    end
    return plain
  end)
  local size = C.tain_model_image_size((own.handle(model)))
  for _, one in ipairs(recorded) do
    local codes = one.codes
    one.codes = nil
    one.image = image.of_codes { codes = ffi.new("int32_t[?]", #codes, codes), count = #codes,
      model = model, width = size, height = size }
  end
  return recorded
end

local function surest_first(list, sign)
  table.sort(list, function(a, b)
    if a.p_yes ~= b.p_yes then return sign * a.p_yes > sign * b.p_yes end
    return a.index < b.index
  end)
end

--- Draws candidates of prompts and has the model judge them, all prompts in a few batches.
---
--- @param model Model
--- @param prompts string|table|table[] a prompt, an item { prompt =, id =, category = }, or a list
--- @param options? table images (a prompt), seed, round, guidance, temperature, batch, label; run
---   and key: with them a run keeps the result and draws nothing again; by: another model judges
--- @return table|table[] # for each prompt { item =, prompt =, all =, accepted =, rejected =,
---   unclear = }; accepted by falling, rejected by rising probability of yes, all in order
function judge.judge(model, prompts, options)
  options = check.options("judge", options, options_of)
  local items, one = items_of(prompts)
  local judged, rows = {}, {}
  for i, item in ipairs(items) do
    judged[i] = { item = item, prompt = item.prompt, all = {}, accepted = {}, rejected = {},
      unclear = {} }
    for index = 1, options.images do
      rows[#rows + 1] = { item = item, stream = judge.stream(item, options.round, index),
        into = judged[i], index = index }
    end
  end
  for first = 1, #rows, options.batch do
    local part = {}
    for i = first, math.min(first + options.batch - 1, #rows) do part[#part + 1] = rows[i] end
    local kept = options.run and draw_once(model, part, options, first)
      or draw(model, part, options)
    for i, row in ipairs(part) do
      local candidate = kept[i]
      candidate.prompt, candidate.category, candidate.id = row.item.prompt, row.item.category,
        row.item.id
      candidate.seed, candidate.stream, candidate.round, candidate.index = options.seed,
        row.stream, options.round, row.index
      table.insert(row.into.all, candidate)
      table.insert(row.into[candidate.verdict], candidate)
    end
  end
  for _, each in ipairs(judged) do
    surest_first(each.accepted, 1)
    surest_first(each.rejected, -1)
  end
  return one and judged[1] or judged
end

-- ---- Choosing ----

--- The selection rules, as options of a recipe.
judge.rule_options = {
  select = { "choice", choices = { "accepted", "mixed" }, default = "accepted",
    help = "whose accepted images are used: of every prompt, or of those with a rejected one too" },
  top = { "integer", default = 0, min = 0, help = "only that many surest images a prompt; 0: all" },
  above = { "number", default = 0, min = 0, max = 1, help = "least probability of yes to be used" },
  below = { "number", default = 1, min = 0, max = 1,
    help = "greatest probability of yes to count as rejected" },
}

-- The accepted and rejected candidates of a prompt that are sure enough.
local function sure(each, rules)
  local accepted, rejected = {}, {}
  for _, candidate in ipairs(each.accepted) do
    if candidate.p_yes >= rules.above then accepted[#accepted + 1] = candidate end
  end
  for _, candidate in ipairs(each.rejected) do
    if candidate.p_yes <= rules.below then rejected[#rejected + 1] = candidate end
  end
  return accepted, rejected
end

local function rules_of(fn, rules, more)
  local specs = {}
  for name, spec in pairs(judge.rule_options) do specs[name] = spec end
  for name, spec in pairs(more or {}) do specs[name] = spec end
  local given = {}
  for name in pairs(specs) do given[name] = rules and rawget(rules, name) end
  for name in pairs(rules or {}) do
    if not specs[name] then
      check.raise("%s: unknown rule %s%s", fn, tostring(name), check.suggest(name, specs))
    end
  end
  return check.options(fn, given, specs)
end

--- The selection rules among a recipe's options.
---
--- @param opt table
--- @return table # for tain.approved and tain.preferences
function judge.rules(opt)
  local rules = { pairs = rawget(opt, "pairs") }
  for name in pairs(judge.rule_options) do rules[name] = rawget(opt, name) end
  return rules
end

--- The images to train on: accepted, by a rule. A prompt without one goes to the pool.
---
--- @param judged table[] what tain.judge gave
--- @param rules? table select, top, above, below
--- @return table[] data candidates
--- @return table[] pool items
function judge.approved(judged, rules)
  rules = rules_of("approved", rules)
  local chosen, pool = {}, {}
  for _, each in ipairs(judged) do
    local accepted, rejected = sure(each, rules)
    if #accepted == 0 then
      pool[#pool + 1] = each.item
    elseif rules.select == "accepted" or #rejected > 0 then
      for i = 1, rules.top > 0 and math.min(rules.top, #accepted) or #accepted do
        chosen[#chosen + 1] = accepted[i]
      end
    end
  end
  return chosen, pool
end

--- Pairs to prefer one of: the surest accepted over the surest rejected image of a prompt, then the
--- second surest of both, and so on. A prompt without an accepted image goes to the pool.
---
--- @param judged table[] what tain.judge gave
--- @param rules? table pairs (how many a prompt, 1), above, below
--- @return table[] pairs { prompt, category, id, chosen, rejected (images), p_chosen, p_rejected,
---   surer }
--- @return table[] pool items
function judge.preferences(judged, rules)
  rules = rules_of("preferences", rules, { pairs = { "integer", default = 1, min = 1 } })
  local ranked, pool = {}, {}
  for _, each in ipairs(judged) do
    local accepted, rejected = sure(each, rules)
    if #accepted == 0 then pool[#pool + 1] = each.item end
    for i = 1, math.min(rules.pairs, #accepted, #rejected) do
      local yes, no = accepted[i], rejected[i]
      ranked[#ranked + 1] = { prompt = each.prompt, category = yes.category, id = yes.id,
        chosen = yes.image, rejected = no.image, p_chosen = yes.p_yes, p_rejected = no.p_yes,
        surer = yes.p_yes - no.p_yes, chosen_index = yes.index, rejected_index = no.index,
        round = yes.round }
    end
  end
  return ranked, pool
end

return judge
