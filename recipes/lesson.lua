--- Exercises about a run of recipes/steps.lua, whose answers it checks. The numbers are those of your
--- own run, so no two rooms have the same answers.
---
---     tain recipes/lesson.lua --run runs/steps
---
--- A wrong answer gets a hint, and another try; an empty one gets the answer. --answers gives them
--- all at once. The lesson around it is recipes/lesson.md.

local tain = require("tain").api "1"
local exact = require "blocks.outside"

local opt = tain.options {
  run     = { "path", help = "folder of a run of recipes/steps.lua" },
  answers = { "string", optional = true, help = "instead of asking: all answers, with commas between them" },
}

-- ---- What happened in the run ----

local by_prompt, order, candidates = {}, {}, {}
for _, event in ipairs(tain.jsonl(opt.run .. "/events.jsonl", { "kind" })) do
  if event.kind == "candidate" and event.round == 0 then
    if not by_prompt[event.prompt] then
      by_prompt[event.prompt] = {}
      order[#order + 1] = event.prompt
    end
    table.insert(by_prompt[event.prompt], event)
    candidates[#candidates + 1] = event
  end
end
if #candidates == 0 then error(opt.run .. " has no candidates: make it with tain recipes/steps.lua", 0) end

local function count(list, which)
  local n = 0
  for _, one in ipairs(list) do
    if which(one) then n = n + 1 end
  end
  return n
end

local function accepted(one) return one.own == "accepted" end

local rejected = count(candidates, function(one) return not accepted(one) end)
local first = by_prompt[order[1]]
local surest
for i, one in ipairs(first) do
  if not surest or one.p_yes > first[surest].p_yes then surest = i end
end
local as_sure = {}   -- no less sure, as far as the sheet shows
for i, one in ipairs(first) do as_sure[i] = ("%.3f"):format(one.p_yes) == ("%.3f"):format(first[surest].p_yes) end
local sure = count(first, function(one) return accepted(one) and one.p_yes >= 0.9 end)

local waiting = count(order, function(prompt) return count(by_prompt[prompt], accepted) == 0 end)
local strict = count(order, function(prompt)
  return count(by_prompt[prompt], function(one) return accepted(one) and one.p_yes >= 0.99 end) == 0
end)

local fooled, liked = 0, 0
for _, one in ipairs(candidates) do
  if accepted(one) and one.image then
    liked = liked + 1
    local picture = tain.image(opt.run .. "/" .. one.image)
    if exact(picture, one.prompt) ~= true then fooled = fooled + 1 end
    picture:free()
  end
end

local yes = #candidates - rejected
local better = math.min(#candidates, yes + math.max(1, math.floor(#candidates / 8)))
local gain = tain.measure.gain(tain.measure.share(yes, #candidates), tain.measure.share(better, #candidates))

-- ---- The exercises ----

local function sheet(list)
  for i, one in ipairs(list) do tain.say(("     %2d  p(yes) %.3f  %s"):format(i, one.p_yes, one.own)) end
end

local exercises = {
  { ("The model drew %d pictures and rejected %d. How great is its non-unification, in percent?")
    :format(#candidates, rejected), 100 * rejected / #candidates, 0.6,
    hint = "rejected pictures for each hundred pictures" },
  { ('The pictures of "%s":'):format(order[1]), surest, 0, list = first, also = as_sure,
    ask = "Which of them does the model like best?", hint = "the greatest p(yes)" },
  { ("Of the same pictures: how many may be used with --above 0.9?"), sure, 0,
    hint = "accepted, and p(yes) at least 0.9" },
  { ("Of %d prompts, how many wait in the pool, because no picture of theirs was accepted?"):format(#order),
    waiting, 0, hint = "look for prompts whose every candidate is rejected in the sheet of stage 3" },
  { "And how many would wait with --above 0.99?", strict, 0,
    hint = "a stricter rule can only put more prompts aside, never fewer" },
  { "Before the first step the log-ratios are those of the reference. How great is the loss of DPO then?",
    math.log(2), 0.006, hint = "-log s(0), where s(x) = 1 / (1 + exp(-x))" },
  { "Training has raised a pair's log-ratio by 3, and beta is 0.1. How great is the loss of that pair now?",
    math.log(1 + math.exp(-0.3)), 0.006, hint = "-log s(0.1 * 3)" },
  { "Which beta lets the model go farther from where it began: 0.1 or 0.5?", 0.1, 1e-9,
    hint = "beta multiplies the log-ratio before s; where it is small, s saturates late" },
  { ("The model accepted %d pictures. How many of those are truly wrong? (stage 6)"):format(liked), fooled, 0,
    hint = "accepted in stage 3, wrong in stage 6" },
  { ("It accepted %d of %d, and after training accepts %d of %d. Is that more than chance? (yes or no)")
    :format(yes, #candidates, better, #candidates), gain and gain.clear and "yes" or "no", 0,
    hint = ("the 95 %% interval of the gain is %s: is 0 outside it?"):format(tain.measure.show_gain(gain)) },
}

local function right(exercise, answer)
  local truth = exercise[2]
  if type(truth) == "string" then return answer:lower():find("^%s*" .. truth) ~= nil end
  local number = tonumber((answer:gsub("%%", ""):gsub(",", ".")))
  return number ~= nil and (math.abs(number - truth) <= exercise[3] or exercise.also ~= nil and exercise.also[number] == true)
end

local function show(truth)
  return type(truth) == "number" and ("%.4g"):format(truth) or truth
end

local given = {}
for answer in ((opt.answers or "") .. ","):gmatch("([^,]*),") do given[#given + 1] = answer end

local at_once = 0
for i, exercise in ipairs(exercises) do
  tain.say(("\n%d. %s"):format(i, exercise[1]))
  if exercise.list then sheet(exercise.list) end
  if exercise.ask then tain.say("   " .. exercise.ask) end
  for try = 1, 3 do
    local answer
    if opt.answers then
      answer = given[i] or ""
      tain.say("   > " .. answer)
    else
      io.write("   > ")
      io.flush()
      answer = io.read "*l"
    end
    if answer and right(exercise, answer) then
      if try == 1 then at_once = at_once + 1 end
      tain.say "   Right."
      break
    end
    if not answer or opt.answers or try == 3 or not answer:find "%S" then
      tain.say(("   The answer is %s: %s."):format(show(exercise[2]), exercise.hint))
      break
    end
    tain.say(("   Not yet. A hint: %s."):format(exercise.hint))
  end
end
tain.say(("\n%d of %d right at the first try."):format(at_once, #exercises))
if opt.answers and at_once < #exercises then os.exit(1, true) end
