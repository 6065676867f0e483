--- A run's folder as a recipe would leave it, made of chance: a model that gets better from round
--- to round, in the blocks world. For tests of what looks at runs.

package.path = "recipes/?.lua;" .. package.path

local events = require "tain.events"
local image = require "tain.image"
local json = require "tain.json"
local world = require "blocks.world"

local synthetic = {}

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

--- @param folder string made
--- @param options table seed, rounds, prompts, images, probes, steps, text (what a prompt becomes)
function synthetic.make(folder, options)
  local r = world.rng(options.seed or 1)
  os.execute("mkdir -p " .. folder .. "/images")
  local text = options.text or function(prompt) return prompt end
  options.text = nil
  local log, pictures = events.open(folder .. "/events.jsonl", true), 0
  local function event(row) log:add(row) end

  local function draw(prompt, right, noise)
    local shown = prompt
    if not right then
      local objects = world.realise(r, prompt)
      shown = world.perturb(r, prompt, objects) or prompt
      right = shown == prompt
    end
    local pixels = world.render(world.realise(r, shown), { noise = noise, rng = r })
    local made = image.image(32, 32)
    for i = 0, 32 * 32 * 3 - 1 do made:pixels()[i] = pixels[i] end
    pictures = pictures + 1
    local path = ("images/%05d.png"):format(pictures)
    write(folder .. "/" .. path, made:png())
    return path, right
  end

  -- One image with its verdicts; the judge inside is right `skill` of the time.
  local function look(kind, round, prompt, seed, level, skill)
    local path, right = draw(prompt, r:uniform() < level, 26 - 6 * round)
    local says = r:uniform() < skill
    if not says then says = not right else says = right end
    local p = says and 1 - 0.45 * r:uniform() ^ 2 or 0.45 * r:uniform() ^ 2
    local row = { kind = kind, round = round, prompt = text(prompt.text), category = prompt.category,
      seed = seed, image = path, p_yes = p, own = p > 0.5 and "accepted" or "rejected",
      exact = right and "accepted" or "rejected" }
    event(row)
    return row
  end

  local probes, prompts = {}, {}
  for i = 1, options.probes do
    local category = world.categories[(i - 1) % #world.categories + 1]
    probes[i] = world.sample(r, category, "heldout")
  end
  for i = 1, options.prompts do
    local category = world.categories[(i - 1) % #world.categories + 1]
    prompts[i] = world.sample(r, category, "train")
  end

  event { kind = "options", options = options }
  local step, pool = 0, prompts
  for round = 0, options.rounds do
    local level, skill = 0.86 - 0.62 * 0.62 ^ round, 0.88 - 0.1 * 0.7 ^ round
    for i, prompt in ipairs(probes) do look("probe", round, prompt, 1000 + i, level, skill) end
    if round < options.rounds then
      local waiting = {}
      local tried = pool
      for i, prompt in ipairs(tried) do
        local best, worst
        for k = 1, options.images do
          local row = look("candidate", round + 1, prompt, 10 * i + k, level, skill)
          if row.own == "accepted" and (not best or row.p_yes > best.p_yes) then best = row end
          if row.own == "rejected" and (not worst or row.p_yes < worst.p_yes) then worst = row end
        end
        if best and worst then
          event { kind = "pair", round = round + 1, prompt = best.prompt, chosen = best.image,
            rejected = worst.image, p_chosen = best.p_yes, p_rejected = worst.p_yes,
            exact_chosen = best.exact, exact_rejected = worst.exact }
        end
        if not best then waiting[#waiting + 1] = prompt end
      end
      event { kind = "pool", round = round + 1, tried = #tried, recovered = #tried - #waiting,
        waiting = #waiting }
      pool = waiting
      for _ = 1, options.steps do
        step = step + 1
        local t = step / (options.steps * options.rounds)
        local margin = 1.7 * (1 - math.exp(-3 * t)) + 0.5 * (r:uniform() - 0.5)
        event { kind = "step", round = round + 1, global_step = step, epoch = round + 1,
          loss = math.log(1 + math.exp(-margin)) + 0.02, learning_rate = 1e-4 * (1 - t),
          grad_norm = 1.2 * math.exp(-t) + 0.4 * r:uniform(), ["rewards/margins"] = margin,
          ["rewards/chosen"] = 0.3 * margin + 0.1 * (r:uniform() - 0.5),
          ["rewards/rejected"] = -0.7 * margin + 0.1 * (r:uniform() - 0.5),
          ["rewards/accuracies"] = math.min(1, 0.5 + 0.25 * margin),
          ["logps/chosen"] = -182 + 20 * t + 3 * r:uniform(),
          ["logps/rejected"] = -190 - 14 * t + 3 * r:uniform() }
      end
      event { kind = "checkpoint", step = step, folder = "checkpoint-" .. step }
    end
  end

  log:close()
  write(folder .. "/run.json", json.encode {
    version = "0.1.0", seed = options.seed or 1, recipe = "dpo.lua", options = options,
    device = "llvmpipe (LLVM 15.0.6, 256 bits), Vulkan 1.3.230, Mesa 22.3.6",
    model = { folder = "models/blocks", files = json.array { {
      name = "model.safetensors", bytes = 4194304,
      sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" } } },
  })
end

return synthetic
