--- The pixel judge of the blocks world, compared with vectors or measured on scenes of its own.
---
---     tain recipes/blocks/judge.lua FOLDER
---     tain recipes/blocks/judge.lua --measure 300
---
--- FOLDER holds images.safetensors, scenes.jsonl and texts.json. Whatever differs is printed, then
--- how much agrees; the exit status is 1 unless all does. Without FOLDER, or with --measure N, it
--- draws N scenes a category (default 300), clean and with noise of 8 grey levels, and prints for
--- each category the per cent of true prompts judged true, of pictures not readable, and of wrong
--- prompts judged true. Also runs under plain luajit.

local home = (arg[0] or ""):match "^(.*)blocks/judge%.lua$" or "recipes/"
package.path = home .. "?.lua;" .. package.path

local function compare(folder)
  local counts = require "blocks.vectors".compare(folder, print)
  local parts, all = {}, true
  for _, name in ipairs { "scenes", "captions", "verdicts", "splits", "illegal" } do
    local count = counts[name] or { 0, 0 }
    parts[#parts + 1] = string.format("%s %d/%d", name, count[1], count[2])
    all = all and count[1] == count[2] and count[2] > 0
  end
  print(table.concat(parts, "  "))
  return all
end

local function measure(scenes)
  local rates = require "blocks.measure"
  local columns = { { name = "clean", noise = 0 }, { name = "noise 8", noise = 8 } }
  print(string.format("%-10s  %-24s%s", "", "clean TP / unclear / FP", "noise 8"))
  for _, column in ipairs(columns) do
    column.rates = rates { scenes = scenes, noise = column.noise, seed = 301 }
  end
  local sums = {}
  local function show(name, find)
    local line = string.format("%-10s", name)
    for i in ipairs(columns) do
      local rate = find(i)
      local cell = string.format("%.1f / %.1f / %.2f", 100 * rate.tp, 100 * rate.unclear,
        100 * rate.fp)
      line = line .. string.format("  %-22s", cell)
    end
    print((line:gsub(" +$", "")))
  end
  local categories = require "blocks.prompts".categories
  for _, category in ipairs(categories) do
    show(category, function(i)
      local rate = columns[i].rates[category]
      local sum = sums[i] or { tp = 0, unclear = 0, fp = 0 }
      for name, value in pairs(rate) do sum[name] = sum[name] + value / #categories end
      sums[i] = sum
      return rate
    end)
  end
  show("overall", function(i) return sums[i] end)
end

if arg[1] and arg[1] ~= "--measure" then
  if arg[1] == "--help" then
    for line in io.lines(arg[0]) do
      local text = line:match "^%-%-%- ?(.*)"
      if not text then break end
      print(text)
    end
    os.exit(0)
  end
  local ok, all = pcall(compare, arg[1])
  if not ok then
    io.stderr:write("judge: ", tostring(all), "\n")
    os.exit(1)
  end
  os.exit(all and 0 or 1)
end

local scenes = tonumber(arg[2] or 300)
if not scenes or scenes < 1 or scenes % 1 ~= 0 then
  io.stderr:write("judge: --measure wants a number of scenes, not ", tostring(arg[2]), "\n")
  os.exit(1)
end
measure(scenes)
