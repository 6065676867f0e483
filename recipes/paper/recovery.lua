--- Discarded prompts tried again: with both halves improved, with only the drawing half, with only
--- the judging half, and with neither, which tells how much is luck.

local tain = require "tain"

local recovery = {}

local ROUND = 200   -- random numbers that neither training nor looking uses

--- @param one table trial
--- @param made table what trial.train gave
--- @return table # name -> { recovered = share of prompts, right = share of their accepted images }
function recovery.measure(one, made)
  local outside = require "blocks.outside"
  local _, pool = tain.approved(one.judged, tain.rules(one.opt))
  local result = { discarded = #pool }
  for _, way in ipairs {
    { "both", made.model, made.model }, { "generation", made.model, one.model },
    { "understanding", one.model, made.model }, { "neither", one.model, one.model },
  } do
    local name, draws, judges = way[1], way[2], way[3]
    local recovered, accepted, right = 0, 0, 0
    local judged = tain.judge(draws, pool, { images = one.size.images, seed = one.seed, round = ROUND,
      guidance = one.opt.guidance, by = judges, run = made.run, key = "recovery " .. name, label = "recovery" })
    for _, each in ipairs(judged) do
      if #each.accepted > 0 then recovered = recovered + 1 end
      for _, candidate in ipairs(each.accepted) do
        accepted = accepted + 1
        if outside(candidate.image, each.prompt) then right = right + 1 end
      end
    end
    result[name] = { recovered = tain.measure.share(recovered, #pool), right = tain.measure.share(right, accepted) }
  end
  return result
end

return recovery
