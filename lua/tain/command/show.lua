--- tain show: pictures on the terminal, of files, of a folder, or of a run.

local facts = require "tain.report.facts"
local fail = require "tain.fail"
local files = require "tain.files"
local image = require "tain.image"
local settings = require "tain.settings"
local terminal = require "tain.terminal"

local PROMPTS, ROUNDS = 12, 4   -- of a run, unless --all

-- At most `most` of a list, the first and the last among them.
local function spread(list, most)
  if #list <= most then return list end
  local some = {}
  for i = 1, most do some[i] = list[math.floor((i - 1) * (#list - 1) / (most - 1) + 0.5) + 1] end
  return some
end

local words = { accepted = "accepts", rejected = "rejects", unclear = "unclear" }
local marks = { accepted = "✓", rejected = "✗", unclear = "?" }

local function caption(round, event)
  local parts = { round == 0 and "at first" or "round " .. round }
  local own, exact = facts.verdict(event.own), facts.verdict(event.exact)
  parts[2] = own and words[own] or ""
  if type(event.p_yes) == "number" then parts[3] = ("%.2f"):format(event.p_yes) end
  parts[#parts + 1] = exact and marks[exact] or nil
  return table.concat(parts, " ")
end

local function show_run(folder, all)
  local run = facts.read(folder)
  if #run.prompts == 0 then return fail("%s has no pictures of held-out prompts", folder) end
  local rounds = spread(facts.sorted(run.counts.probe), all and math.huge or ROUNDS)
  local prompts = spread(run.prompts, all and math.huge or PROMPTS)
  for i, probe in ipairs(prompts) do
    local pictures, captions = {}, {}
    for _, round in ipairs(rounds) do
      local event = probe.rounds[round]
      local path = event and type(event.image) == "string" and folder .. "/" .. event.image
      if path and not event.image:find("..", 1, true) and files.exists(path) then
        pictures[#pictures + 1] = image.image(path)
        captions[#captions + 1] = caption(round, event)
      end
    end
    if i > 1 then io.stdout:write "\n" end
    io.stdout:write(terminal.plain(probe.prompt), "\n")
    if #pictures > 0 then
      terminal.show(pictures, { captions = captions,
        across = terminal.kind() ~= "off" and #pictures * 20 <= terminal.columns() + 2 and #pictures
          or nil })
    end
  end
  if #prompts < #run.prompts or #rounds < #facts.sorted(run.counts.probe) then
    io.stdout:write(("\n%d of %d prompts, %d of %d rounds; --all shows the rest\n"):format(#prompts,
      #run.prompts, #rounds, #facts.sorted(run.counts.probe)))
  end
  if not settings.quiet then
    io.stdout:write "\n✓ ✗ the outside judge; the number is the model's own p(yes)\n"
  end
end

local function show_folder(folder)
  local pictures, names = {}, {}
  for _, name in ipairs(files.list(folder)) do
    if name:lower():find "%.png$" or name:lower():find "%.jpe?g$" or name:lower():find "%.ppm$" then
      pictures[#pictures + 1], names[#names + 1] = image.image(folder .. "/" .. name), name
    end
  end
  if #pictures == 0 then return fail("%s has no images and is not the folder of a run", folder) end
  terminal.show(pictures, { captions = names })
end

return {
  usage = "FILE|RUN …",
  about = "images on the terminal: of a file, a folder, or the held-out prompts of a run (--all)",
  run = function(arguments)
    local pictures, names, folders, all = {}, {}, {}, false
    for _, path in ipairs(arguments) do
      if path == "--all" then
        all = true
      elseif path:find "^%-" then
        return fail("show has no option %s", path)
      elseif files.folder_exists(path) then
        folders[#folders + 1] = path:gsub("(.)/+$", "%1")
      else
        pictures[#pictures + 1], names[#names + 1] = image.image(path), path:match "[^/]+$"
      end
    end
    if #pictures + #folders == 0 then return fail("show takes files or folders of runs") end
    if #pictures > 0 then
      terminal.show(pictures, { captions = #pictures > 1 and names or nil })
    end
    local code = 0
    for _, folder in ipairs(folders) do
      local run = files.exists(folder .. "/events.jsonl")
      code = math.max(code, (run and show_run(folder, all) or not run and show_folder(folder)) or 0)
    end
    return code
  end,
}
