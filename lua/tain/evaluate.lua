--- What a model draws for given prompts, what it thinks of that, and what an outside judge says.
---
---     local looks = tain.evaluate(model, prompts, { seed = 1, outside = require "blocks.outside" })
---     local overall, categories = tain.summary(looks)
---
--- Equal prompts and seeds are drawn with equal random numbers, so that the images of two models
--- or of two rounds can be laid side by side. An outside judge is a function of an image and a
--- prompt that gives true, false, or nil when it cannot say.

local check = require "tain.check"
local judge = require "tain.judge"
local measure = require "tain.measure"

local evaluate = {}

local ROUND = 255   -- the stream of numbers that training never uses

--- Draws and judges one image a prompt, or several.
---
--- @param model Model draws, and judges unless another does
--- @param prompts table[] items { prompt =, id =, category = }
--- @param options? table images, seed, guidance, temperature, label, outside, by (another model
---   judges), run and key (see tain.judge)
--- @return table[] looks candidates, each with `exact`, what the outside judge says, if `outside`
function evaluate.evaluate(model, prompts, options)
  local given = {}
  for name, value in pairs(options or {}) do given[name] = value end
  local outside = given.outside
  given.outside, given.round = nil, ROUND
  if outside ~= nil then check["function"]("evaluate", "outside", outside) end
  local looks, images = {}, {}
  for _, each in ipairs(judge.judge(model, prompts, given)) do
    for _, candidate in ipairs(each.all) do
      looks[#looks + 1], images[#images + 1] = candidate, candidate.image
    end
  end
  if outside then
    model:decode(images)   -- all at once
    for _, look in ipairs(looks) do
      look.exact, look.outside = outside(look.image, look.prompt), true
    end
  end
  return looks
end

-- The shares of some looks.
local function sum_up(looks, outside)
  local verdicts, exact = {}, {}
  for i, look in ipairs(looks) do verdicts[i], exact[i] = look.verdict, look.exact end
  local row = { n = #looks }
  row.non, row.unclear = measure.gap(verdicts)
  if outside then
    row.gen = measure.rate(exact, #looks)
    row.agree = measure.agreement(verdicts, exact)
    row.weak = measure.blame(verdicts, exact)
    local believed = {}
    for i, verdict in ipairs(verdicts) do
      if verdict == "accepted" then believed[#believed + 1] = exact[i] ~= true end
    end
    row.fooled = measure.rate(believed, #believed)
  end
  return row
end

--- Counts looks: n, non (rejected of those with a verdict), unclear; where an outside judge was
--- asked also gen (right), agree (verdicts that are its own), weak (rejected by both, of those
--- rejected: weak generation, the rest is misunderstanding), fooled (wrong, of those accepted).
---
--- @param looks table[]
--- @return table overall
--- @return table[] categories rows in the order of their names, each with `category`
function evaluate.summary(looks)
  local by, names, outside = {}, {}, false
  for _, look in ipairs(looks) do
    outside = outside or look.outside == true
    if look.category then
      if not by[look.category] then
        by[look.category], names[#names + 1] = {}, look.category
      end
      table.insert(by[look.category], look)
    end
  end
  table.sort(names)
  local rows = {}
  for i, name in ipairs(names) do
    rows[i] = sum_up(by[name], outside)
    rows[i].category = name
  end
  return sum_up(looks, outside), rows
end

return evaluate
