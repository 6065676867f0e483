--- A guard against self-deception: it warns when a model likes its own images better while an
--- outside judge likes them less, or when its verdicts become less right.
---
---     local guard = tain.guard()
---     for _, warning in ipairs(guard:see(overall)) do tain.say(warning) end
---
--- A fall counts when it is larger than chance explains: the 95 % interval of the difference to
--- the first round does not reach zero. A fall of at least `slack` counts when it is more than its
--- standard error: better warned early than late.

local check = require "tain.check"
local measure = require "tain.measure"

local guard = {}

--- @class Guard
local Guard = {}
Guard.__index = Guard

--- Makes a guard that has seen nothing.
---
--- @param options? table slack (0.03; 1 for never)
--- @return Guard
function guard.guard(options)
  options = check.options("guard", options, { slack = { "number", default = 0.03, min = 0, max = 1 } })
  return setmetatable({ slack = options.slack }, Guard)
end

local function fell(self, before, now)
  local gain = measure.gain(before, now)
  if not gain or gain.gain >= 0 then return false end
  return gain.clear or -gain.gain >= self.slack and -gain.gain > (gain.high - gain.gain) / 2
end

local function percent(share) return ("%.1f %%"):format(100 * share.share) end

--- Looks at a round's overall row of tain.summary.
---
--- @param row table non, gen, agree, fooled
--- @return string[] warnings
function Guard:see(row)
  check.table("guard", "row", row)
  local warnings = {}
  if not row.gen then return warnings end
  local first = self.first
  if not first then
    self.first = row
    return warnings
  end
  local own_rises = first.non.share and row.non.share and row.non.share < first.non.share
  if own_rises and fell(self, first.gen, row.gen) then
    warnings[#warnings + 1] = ("the model rejects fewer of its images (%s, at first %s), but the "
      .. "outside judge finds fewer of them right (%s, at first %s): both halves may be getting "
      .. "worse together"):format(percent(row.non), percent(first.non), percent(row.gen),
      percent(first.gen))
  end
  if fell(self, first.agree, row.agree) then
    warnings[#warnings + 1] = ("the model's verdicts on its own images have become less right (%s, "
      .. "at first %s): what it accepts may not be better"):format(percent(row.agree),
      percent(first.agree))
  end
  return warnings
end

return guard
