--- A recipe of chance that goes through everything a run does, in pure Lua and a second or two. The
--- test of tain.run kills it at random moments.

local ffi = require "ffi"
local tain = require "tain"

local opt = tain.options {
  out = { "path", new = true },
  resume = { "boolean" },
  rounds = { "integer", default = 2 },
  seed = { "integer", default = 1 },
  odd = { "boolean", help = "says something else the second time" },
}

local run = tain.run { out = opt.out, resume = opt.resume, options = opt, device = false,
  model = "recipes/blocks/model", may_change = { "odd" } }

-- What training changes: three numbers.
local weights = { 0, 0, 0 }
run:keeps(function(folder)
  local file = assert(io.open(folder .. "/weights.json", "wb"))
  file:write(tain.json.encode(weights), "\n")
  file:close()
end, function(folder)
  local file = assert(io.open(folder .. "/weights.json", "rb"))
  weights = tain.json.decode(file:read "*a")
  file:close()
end)

-- An image depends on the weights, so whoever draws with the wrong ones is found out.
local function draw(seed)
  local random, picture = tain.random(seed), tain.image(4, 4)
  local pixels = picture:pixels()
  for i = 0, 47 do pixels[i] = (random:integer(200) + math.floor(50 * weights[i % 3 + 1])) % 256 end
  return picture, random:uniform()
end

local pool = { "a", "b", "c", "d", "e", "f" }
for round = 0, opt.rounds do
  for i = 1, 3 do
    run:once(("look %d/%d"):format(round, i), function()
      local picture, p = draw(900 + i)
      run:event { kind = "probe", round = round, prompt = "prompt " .. i, seed = 900 + i,
        image = run:image(picture), p_yes = p, own = p > 0.5 and "accepted" or "rejected",
        exact = i % 2 == 0 }
    end)
  end
  if round == opt.rounds then break end

  local data, waiting = {}, {}
  for i, prompt in ipairs(pool) do
    local judged = run:once(("judge %d/%s"):format(round, prompt), function()
      local list = {}
      for k = 1, 3 do
        local picture, p = draw(100 * round + 10 * i + k)
        list[k] = { image = run:image(picture), p = p }
        run:event { kind = "candidate", round = round + 1, prompt = prompt, seed = k, p_yes = p,
          image = list[k].image, own = p > 0.7 and "accepted" or "rejected" }
      end
      return list
    end)
    local used = false
    for _, one in ipairs(judged) do
      if one.p > 0.7 then
        data[#data + 1], used = { prompt = prompt, image = one.image, p = one.p }, true
      end
    end
    if not used then waiting[#waiting + 1] = prompt end
  end
  run:event { kind = "pool", round = round + 1, tried = #pool, recovered = #pool - #waiting,
    waiting = #waiting }
  pool = waiting

  for step, batch in run:train("round " .. round + 1, { every = 4, batches = function(from)
    return tain.batches(data, { size = 1, epochs = 8, seed = opt.seed + round, from = from })
  end }) do
    weights[step % 3 + 1] = weights[step % 3 + 1] * 0.9 + batch.p[1]
    run:metrics { loss = 1 / (1 + weights[1]), epoch = round + 1,
      learning_rate = 1e-4, ["time/train"] = os.clock() }
    ffi.cdef "int usleep(unsigned);"
    ffi.C.usleep(1000)
  end
  if opt.odd then run:event { kind = "odd", time = os.clock() } end
end
run:once("end", function() return { weights = weights } end)
