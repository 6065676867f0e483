--- tain audit: a person judges what the model judged, and sees how far to trust it.
---
--- Training copies the mistakes of the judge, above all the wrong images that it accepts. Half of the
--- images asked about were accepted and half rejected, so that both kinds of mistakes are seen; the
--- rates of each kind are of that kind alone.

local facts = require "tain.report.facts"
local fail = require "tain.fail"
local files = require "tain.files"
local image = require "tain.image"
local json = require "tain.json"
local measure = require "tain.measure"
local pause = require "tain.pause"
local random = require "tain.random"
local settings = require "tain.settings"
local terminal = require "tain.terminal"

local function say(format, ...)
  io.stdout:write(format:format(...), "\n")
  io.stdout:flush()
end

-- Judged images of a run that are there: accepted, rejected.
local function judged(folder)
  local run, of = facts.read(folder), { accepted = {}, rejected = {} }
  for _, event in ipairs(run.events) do
    local own = (event.kind == "candidate" or event.kind == "probe") and facts.verdict(event.own)
    if of[own] and type(event.image) == "string" and not event.image:find("..", 1, true)
      and files.exists(folder .. "/" .. event.image) then
      table.insert(of[own], event)
    end
  end
  return of
end

local function sample(of, count, seed)
  local rng, some = random.random(seed), {}
  local half = math.floor(count / 2)
  local take = { accepted = math.min(#of.accepted, math.max(half, count - #of.rejected)) }
  take.rejected = math.min(#of.rejected, count - take.accepted)
  for _, own in ipairs { "accepted", "rejected" } do
    local order = rng:order(#of[own])
    for i = 1, take[own] do some[#some + 1] = { own = own, event = of[own][order[i]] } end
  end
  local mixed = {}
  for i, place in ipairs(rng:order(#some)) do mixed[i] = some[place] end
  return mixed
end

local function tell(list, of)
  local n, yes = { accepted = 0, rejected = 0 }, { accepted = 0, rejected = 0 }
  for _, one in ipairs(list) do
    if one.human ~= nil then
      n[one.own] = n[one.own] + 1
      if one.human then yes[one.own] = yes[one.own] + 1 end
    end
  end
  local total = n.accepted + n.rejected
  local agree = measure.share(yes.accepted + n.rejected - yes.rejected, total)
  local false_positive = measure.share(n.accepted - yes.accepted, n.accepted)
  local false_negative = measure.share(yes.rejected, n.rejected)
  if settings.json then
    say("%s", json.encode { judged = total, agreement = agree, false_positive = false_positive,
      false_negative = false_negative })
    return
  end
  say("\nYou and the model agree on %s.", measure.show(agree))
  say("Of what it accepted, you call wrong:  %s   (training copies these)", measure.show(false_positive))
  say("Of what it rejected, you call right:  %s   (training misses these)", measure.show(false_negative))
  say("In the run it accepted %d and rejected %d images that can be looked at.", #of.accepted, #of.rejected)
end

local function audit(folder, count, seed)
  local of = judged(folder)
  if #of.accepted + #of.rejected == 0 then return fail("%s has no judged images", folder) end
  local list = sample(of, count, seed)
  if not settings.json then
    say("%d images. Does each show its prompt? y yes, n no, s skip, q end. What the model said comes after.", #list)
  end
  local record = assert(io.open(folder .. "/audit.jsonl", "a"))
  for i, one in ipairs(list) do
    local event = one.event
    local picture = image.image(folder .. "/" .. event.image)
    if not settings.json then
      say("\n%d of %d: %s", i, #list, terminal.plain(event.prompt))
      terminal.show(picture, { captions = { event.image } })
    end
    picture:free()
    local typed = pause.key "ynsqYNSQ"
    typed = typed and typed:lower()
    if not typed or typed == "q" then break end
    if typed ~= "s" then
      one.human = typed == "y"
      record:write(json.encode { prompt = event.prompt, image = event.image, own = one.own,
        p_yes = event.p_yes, human = one.human and "accepted" or "rejected" }, "\n")
      record:flush()
      if not settings.json then
        say("you: %s; the model: %s, p(yes) %.2f", one.human and "yes" or "no",
          one.own == "accepted" and "yes" or "no", tonumber(event.p_yes) or 0)
      end
    end
  end
  record:close()
  tell(list, of)
end

return {
  usage = "RUN",
  about = "judge images of a run yourself (y, n): how far the model's verdicts agree (--count 20, --seed 1)",
  run = function(arguments)
    local folder, numbers = nil, { count = 20, seed = 1 }
    local i = 1
    while i <= #arguments do
      local name = arguments[i]:match "^%-%-(%a+)$"
      if name and numbers[name] then
        local value = tonumber(arguments[i + 1])
        if not value or value % 1 ~= 0 or value < 1 then
          return fail("audit: --%s takes a whole number from 1, not %s", name, arguments[i + 1] or "nothing")
        end
        numbers[name], i = value, i + 1
      elseif arguments[i]:find "^%-" then
        return fail("audit has no option %s", arguments[i])
      elseif folder then
        return fail("audit takes one run, and was given %s and %s", folder, arguments[i])
      else
        folder = arguments[i]:gsub("(.)/+$", "%1")
      end
      i = i + 1
    end
    if not folder then return fail "audit takes the folder of a run" end
    if not files.exists(folder .. "/events.jsonl") then return fail("%s is not the folder of a run", folder) end
    return audit(folder, numbers.count, numbers.seed)
  end,
}
