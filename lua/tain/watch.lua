--- Watches a model over the rounds of a run: the same held-out prompts at the same seeds, what the
--- model and an outside judge say of the images, and a guard that warns.
---
---     local watch = tain.watch(model, run, { heldout = opt.heldout, judge = require "blocks.outside" })
---     watch:round(0)

local check = require "tain.check"
local data = require "tain.data"
local evaluate = require "tain.evaluate"
local guard = require "tain.guard"
local log = require "tain.log"
local measure = require "tain.measure"
local sheet = require "tain.sheet"

local watch = {}

--- @class Watch
local Watch = {}
Watch.__index = Watch

--- Makes a watch. Without held-out prompts it does nothing.
---
--- @param model Model
--- @param run Run
--- @param options? table heldout (a file, or items), judge (a function of an image and a prompt),
---   seed, guidance (none if nil: what it adds is there to be learnt), pictures (how many are kept for
---   the report, 48)
--- @return Watch
function watch.watch(model, run, options)
  options = check.options("watch", options, {
    heldout = { "any", optional = true },
    judge = { "function", optional = true },
    seed = { "integer", default = 1, min = 0 },
    guidance = { "number", default = 1, min = 0 },
    pictures = { "integer", default = 48, min = 0 },
  })
  local items = options.heldout
  if type(items) == "string" then items = data.jsonl(items, { "prompt" }) end
  return setmetatable({ model = model, run = run, items = items, options = options,
    guard = guard.guard(), rows = {} }, Watch)
end

-- Puts a round into the run's events: pictures first, then counts.
local function record(self, round, looks, overall, categories)
  for i = 1, math.min(self.options.pictures, #looks) do
    local look = looks[i]
    local exact
    if look.outside then
      exact = look.exact == nil and "unclear" or look.exact and "accepted" or "rejected"
    end
    self.run:event { kind = "probe", round = round, prompt = look.prompt, id = look.id,
      category = look.category, seed = look.seed, stream = look.stream, own = look.verdict,
      p_yes = look.p_yes, exact = exact, image = self.run:image(look.image) }
  end
  local function say(row, category)
    local event = sheet.flat(row)
    event.kind, event.round, event.category, event.und = "evaluate", round, category, event.agree
    self.run:event(event)
  end
  for _, row in ipairs(categories) do say(row, row.category) end
  say(overall)
end

--- Draws and judges the held-out prompts, and says how that compares.
---
--- @param round integer 0 before training
--- @return table? overall the row of tain.summary
--- @return table[]? looks
function Watch:round(round)
  if not self.items then return nil end
  local looks = evaluate.evaluate(self.model, self.items, { seed = self.options.seed,
    guidance = self.options.guidance, outside = self.options.judge, run = self.run,
    key = "watch " .. round, label = "looking" })
  local overall, categories = evaluate.summary(looks)
  record(self, round, looks, overall, categories)
  overall.round = round
  self.rows[#self.rows + 1] = overall
  log.log { "round", "gap", round = round, gap = measure.show(overall.non),
    drawn_right = overall.gen and measure.show(overall.gen) or nil,
    own_verdicts_right = overall.agree and measure.show(overall.agree) or nil }
  for _, text in ipairs(self.guard:see(overall)) do
    self.run:event { kind = "warning", round = round, text = text }
    log.log { warning = text, round = round }
  end
  return overall, looks
end

local columns = { { "round" }, { "n", "images" }, { "non", "rejected by itself" } }
local outside = { { "gen", "drawn right" }, { "agree", "own verdict right" },
  { "fooled", "wrong of accepted" }, { "gain", "drawing, gain" } }

--- Prints all rounds so far.
function Watch:show()
  if #self.rows == 0 then return end
  local shown = { unpack(columns) }
  for _, column in ipairs(self.rows[1].gen and outside or {}) do shown[#shown + 1] = column end
  for i, row in ipairs(self.rows) do
    if i > 1 and row.gen then row.gain = measure.gain(self.rows[1].gen, row.gen) end
  end
  sheet.show(shown, self.rows)
end

return watch
