--- Learning dynamics: does what drawing learns move judging too, and is it the kernel that says so?
---
--- For samples (prompt y0, image x0) drawn before training, in two groups: false positives that
--- training corrected (wrong by the exact judge, accepted before, rejected after) and all others.
--- ΔG is the change of log p(x0 | y0), drawing; ΔU that of log p(y0 | x0), describing; ΔA that of
--- log p(yes | y0, x0), accepting. The paper's explanation is a kernel: inner products of gradients at
--- the start. Here they are real ones, of the weights that are trained, where the paper compares inputs:
---     same   <∇ log p(x0 | y0), ∇ log p(xu | yu)>   u: the training sample whose prompt is nearest to y0
---     other  <∇ log p(x0 | yi), ∇ log p(xu | yu)>   yi: another prompt, for the same image
---     across <∇ log p(yes | y0, x0), ∇ log p(xu | yu)>   judging and drawing
--- each divided by the lengths of both gradients.

local tain = require "tain"

local dynamics = {}

local MOST = 64                          -- samples a group whose likelihoods are compared
local DESCRIBE = "describe this image"

-- ---- Which samples ----

local function groups_of(one, made)
  local groups, looks = { corrected = {}, others = {} }, one.first.looks
  for i, look in ipairs(looks) do
    local corrected = look.exact ~= true and look.verdict == "accepted" and made.verdicts[i] == "rejected"
    local group = corrected and groups.corrected or groups.others
    -- Categories come in turn; a step of five goes through all of them.
    local other = looks[(i + 4) % #looks + 1].prompt
    if #group < MOST then group[#group + 1] = { prompt = look.prompt, image = look.image, other = other } end
  end
  return groups
end

local function words(text)
  local set, count = {}, 0
  for word in text:gmatch("%S+") do
    if not set[word] then set[word], count = true, count + 1 end
  end
  return set, count
end

-- How much two prompts have in common: shared words by all words.
local function nearness(a, b)
  local in_a, n = words(a)
  local in_b, m = words(b)
  local shared = 0
  for word in pairs(in_a) do shared = shared + (in_b[word] and 1 or 0) end
  return shared / (n + m - shared)
end

local function nearest(prompt, data)
  local best, most = nil, -1
  for _, candidate in ipairs(data) do
    local near = nearness(prompt, candidate.prompt)
    if near > most then best, most = candidate, near end
  end
  return best
end

-- ---- Likelihoods ----

local function likelihoods(model, group)
  local prompts, images, asked, yes, describe = {}, {}, {}, {}, {}
  for i, sample in ipairs(group) do
    prompts[i], images[i], asked[i] = sample.prompt, sample.image, model:ask_about(sample.prompt)
    yes[i], describe[i] = "yes", DESCRIBE
  end
  return tain.no_grad(function()
    return {
      drawing = model:logprob(prompts, images):numbers(),
      describing = model:answer(images, describe, prompts):numbers(),
      accepting = model:answer(images, asked, yes):numbers(),
    }
  end)
end

local function summary(values)
  if #values == 0 then return { n = 0 } end
  local mean, deviation = tain.measure.mean(values)
  return { mean = mean, deviation = deviation, n = #values, values = values }
end

local function changes(before, after)
  local result = {}
  for name, old in pairs(before) do
    local change = {}
    for i, value in ipairs(old) do change[i] = after[name][i] - value end
    result[name] = summary(change)
  end
  return result
end

-- ---- The kernel ----

-- The gradient of a number by all trained weights, as one vector of length 1.
local function direction(parameters, fn)
  for _, each in ipairs(parameters) do
    each:want_grad(false)
    each:want_grad(true)    -- its gradient begins at zero again
  end
  tain.backward(fn)
  return tain.no_grad(function()
    local parts = {}
    for i, each in ipairs(parameters) do
      parts[i] = (each:grad() or each * 0):reshape { -1 }   -- none: the number does not depend on it
    end
    local all = parts[1].concat(parts, 0)
    return (all / math.sqrt(math.max(all:square():sum():item(), 1e-30))):keep()
  end)
end

local function product(a, b)
  return tain.no_grad(function() return (a * b):sum():item() end)
end

local function kernel(model, parameters, group, data, count)
  local same, other, across = {}, {}, {}
  for i = 1, math.min(count, #group) do
    local sample, near = group[i], nearest(group[i].prompt, data)
    local function draw(prompt, image)
      return direction(parameters, function() return model:logprob({ prompt }, { image }):sum() end)
    end
    local u, x, y = draw(near.prompt, near.image), draw(sample.prompt, sample.image), draw(sample.other, sample.image)
    local a = direction(parameters, function()
      return model:answer({ sample.image }, { model:ask_about(sample.prompt) }, { "yes" }):sum()
    end)
    same[i], other[i], across[i] = product(x, u), product(y, u), product(a, u)
    for _, vector in ipairs { u, x, y, a } do vector:free() end
  end
  return { same = summary(same), other = summary(other), across = summary(across) }
end

--- @param one table trial
--- @param made table what trial.train gave: trained by SFT
--- @return table # corrected, others: each with change { drawing, describing, accepting } and kernel
---   { same, other, across }; every entry is { mean, deviation, n, values }
function dynamics.measure(one, made)
  return made.run:once("dynamics", function()
    local model, result = one.model, {}
    local parameters = model:parameters(tain.LANGUAGE)
    for name, group in pairs(groups_of(one, made)) do
      local part = { n = #group }
      if #group > 0 then
        part.change = changes(likelihoods(model, group), likelihoods(made.model, group))
        if #made.data > 0 then
          part.kernel = kernel(model, parameters, group, made.data, one.size.samples)
        end
      end
      result[name] = part
    end
    for _, each in ipairs(parameters) do each:want_grad(false) end
    return result
  end)
end

return dynamics
