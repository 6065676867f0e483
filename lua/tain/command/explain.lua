--- tain explain: the story of one pair of a run, from its prompt to what training did with it.

local facts = require "tain.report.facts"
local fail = require "tain.fail"
local files = require "tain.files"
local image = require "tain.image"
local select_ = require "tain.report.select"
local story = require "tain.story"
local terminal = require "tain.terminal"

local function say(format, ...) io.stdout:write(format:format(...), "\n") end

local judged = { accepted = "right", rejected = "wrong", unclear = "unclear" }

-- The codes of an image: of the results of tain.judge that the run kept, the one with this prompt's
-- probability of yes, which no two drawings share.
local function codes_of(self, p_yes)
  for _, event in ipairs(self.events) do
    if event.kind == "done" and type(event.result) == "table" then
      for _, one in ipairs(event.result) do
        if type(one) == "table" and one.p_yes == p_yes and type(one.codes) == "table" then return one.codes end
      end
    end
  end
end

-- What computing can tell, or nil and why not.
local function computed(self, folder, pair)
  local before = type(self.options.model) == "string" and self.options.model
  local one = { prompt = pair.prompt, chosen = codes_of(self, pair.p_chosen), rejected = codes_of(self, pair.p_rejected) }
  if not before or not files.exists(before .. "/config.json") then
    return nil, ("the model that it began with, %s, is not there"):format(tostring(before or "unknown"))
  end
  if not one.chosen or not one.rejected then return nil, "the run did not keep the codes of its images" end
  local after = folder .. "/model"
  return story.tell(before, files.exists(after .. "/config.json") and after or nil, one,
    type(self.options.beta) == "number" and self.options.beta or 0.1)
end

local function picture(folder, path)
  if type(path) == "string" and not path:find("..", 1, true) and files.exists(folder .. "/" .. path) then
    return image.image(folder .. "/" .. path)
  end
end

local function explain(folder, place)
  local self = facts.read(folder)
  local list = {}
  for _, round in ipairs(facts.sorted(self.pairs)) do
    for _, pair in ipairs(self.pairs[round]) do
      list[#list + 1] = { round = type(pair.round) == "number" and pair.round or 0, pair = pair }
    end
  end
  if #list == 0 then return fail("%s has no pairs: its recipe does not train on preferences", folder) end
  if not place or place % 1 ~= 0 or place < 1 or place > #list then
    return fail("%s has pairs 1 to %d", folder, #list)
  end
  local round, pair = list[place].round, list[place].pair
  say("Pair %d of %d, %s", place, #list, round == 0 and "made before any training" or "round " .. round)
  say("\n1. The prompt: %s", terminal.plain(pair.prompt))

  local candidates = self.of_prompt[round .. "\0" .. tostring(pair.prompt)] or {}
  say("\n2. The model drew %d images and asked itself of each whether it shows that. p(yes) is how\n"
    .. "   probable it finds \"yes\"; its verdict is what it answers.\n", #candidates)
  local yes, no = select_.choose(candidates, { above = 0, below = 1, pairs = 1 })
  local pictures, captions, words = {}, {}, {}
  for i, event in ipairs(candidates) do
    local own, exact = facts.verdict(event.own), facts.verdict(event.exact)
    local role = event.image == pair.chosen and "chosen" or event.image == pair.rejected and "rejected" or "put aside"
    local shown = picture(folder, event.image)
    if shown then pictures[#pictures + 1], captions[#captions + 1] = shown, ("%d %s"):format(i, role) end
    words[i] = ("   %2d  p(yes) %.4f  %-8s  %s%s"):format(i, tonumber(event.p_yes) or 0, own or "none", role,
      exact and ("; the outside judge: " .. judged[exact]) or "")
  end
  if #pictures > 0 and terminal.kind() ~= "off" then terminal.show(pictures, { captions = captions }) end
  for _, line in ipairs(words) do say("%s", line) end

  say("\n3. It accepted %d and rejected %d. The chosen image is one of the surest accepted, the rejected\n"
    .. "   one of the surest rejected:", #yes, #no)
  say("   p(yes) %.4f over %.4f, surer by %.4f.", tonumber(pair.p_chosen) or 0, tonumber(pair.p_rejected) or 0,
    (tonumber(pair.p_chosen) or 0) - (tonumber(pair.p_rejected) or 0))

  local told, why = computed(self, folder, pair)
  if told then
    local beta = type(self.options.beta) == "number" and self.options.beta or 0.1
    local function ratio(of) return of.chosen - of.rejected end
    say("\n4. Before training the model drew the chosen image with log-probability %.2f and the rejected\n"
      .. "   one with %.2f: a log-ratio of %.2f. Training compares with that, not with zero: the margin is 0\n"
      .. "   at first, DPO's loss -log s(0) = %.4f, and it pulls at the log-ratio by beta s(0) = %.4f.",
      told.before.chosen, told.before.rejected, ratio(told.before), math.log(2), beta / 2)
    if told.after then
      local margin = beta * (ratio(told.after) - ratio(told.before))
      say("\n   After training: %.2f and %.2f, a log-ratio of %.2f. The margin is now %.4f, the loss of this pair\n"
        .. "   %.4f, and its pull %.4f.", told.after.chosen, told.after.rejected, ratio(told.after), margin,
        math.log(1 + math.exp(-margin)), beta / (1 + math.exp(margin)))
    end
    local most = 0
    for _, part in ipairs(told.parts) do most = math.max(most, part.gradient) end
    say("\n   Where this pair pulls%s:\n", told.after and ", and how far the whole training moved the weights" or "")
    for _, part in ipairs(told.parts) do
      say("   %-26s gradient %9.2e  %-20s%s", part.name, part.gradient,
        ("#"):rep(most > 0 and math.floor(20 * part.gradient / most + 0.5) or 0),
        part.moved and (" moved %.3f %%"):format(100 * part.moved) or "")
    end
  else
    say("\n4. What it did to the weights cannot be said: %s.", why)
  end
  local first, last = self.steps[1], self.steps[#self.steps]
  if last and last["rewards/margins"] then
    say("\n5. Over %d steps the mean margin of the pairs went from %.4f to %.4f, the gradient's norm from\n"
      .. "   %.4f to %.4f. Higher margins are what was asked for; whether the images are better, the\n"
      .. "   outside judge says: tain report %s.", #self.steps, first["rewards/margins"], last["rewards/margins"],
      first.grad_norm or 0, last.grad_norm or 0, folder)
  end
end

return {
  usage = "RUN PAIR",
  about = "the story of one pair: prompt, candidates, scores, why these two, log-ratio before and after, gradient of each layer",
  run = function(arguments)
    local folder = arguments[1] and arguments[1]:gsub("(.)/+$", "%1")
    if #arguments ~= 2 then return fail "explain takes the folder of a run and the number of a pair" end
    if not files.exists(folder .. "/events.jsonl") then return fail("%s is not the folder of a run", folder) end
    return explain(folder, tonumber(arguments[2]))
  end,
}
