--- The page about a run: whole in itself, and what a run recorded stays text and stays true.
local t = require "expect"
local facts = require "tain.report.facts"
local host = require "tain.host"
local report = require "tain.report"
local synthetic = require "synthetic"
local tags = require "tags"

local folder = os.tmpname()
os.remove(folder)
local size = { rounds = 2, prompts = 10, images = 3, probes = 8, steps = 12 }

local function make(name, seed, text)
  local options = { seed = seed, text = text }
  for key, value in pairs(size) do options[key] = value end
  synthetic.make(folder .. "/" .. name, options)
  return folder .. "/" .. name
end

-- Nothing is fetched and nothing lies elsewhere; a page is the same whenever it is made.
local run = make("run", 1)
local page = report.page(run)
t.that(page == report.page(run), "two pages of one run differ")
local _, text, elements = tags.scan(page)
for _, element in ipairs(elements) do
  for name, value in pairs(element.attributes) do
    if name == "src" then t.that(value:find "^data:image/png;base64,[%w+/=]+$", "an image from elsewhere") end
    if name == "href" then t.that(value:find "^#%l+$", "a link to elsewhere: " .. value) end
    t.that(not name:find "^on" and name ~= "srcset" and name ~= "action", name)
  end
  t.that(not ("link iframe object embed form base audio video"):find(element.name, 1, true)
    or #element.name < 4, "an element " .. element.name)
  if element.name == "style" then
    t.that(not element.text:find "url%(" and not element.text:find "@import", "a style from elsewhere")
  end
  if element.name == "img" then t.that(#element.attributes.alt > 10, "an image without words") end
end
t.that(not page:find("https?:"), "an address")

-- What is opened is closed, in order; links lead somewhere; no name stands twice.
local stack, ids = {}, {}
local void = { img = true, meta = true, br = true, line = true, circle = true, rect = true, path = true,
  polyline = true, input = true, ["!doctype"] = true }
for i, element in ipairs(elements) do
  if element.name:sub(1, 1) == "/" then
    t.equal(table.remove(stack), element.name:sub(2))
  elseif not void[element.name] or element.name ~= "meta" and elements[i + 1].name == "title" then
    stack[#stack + 1] = element.name
  end
  local id = element.attributes.id
  if id then
    t.that(not ids[id], "a second " .. id)
    ids[id] = true
  end
end
t.equal(#stack, 0)
for _, element in ipairs(elements) do
  if element.name == "a" then t.that(ids[element.attributes.href:sub(2)], element.attributes.href) end
end

-- The numbers are those of the events.
local counts = {}
for _, event in ipairs(facts.events(run)) do
  if event.kind == "probe" then
    local c = counts[event.round] or { n = 0, rejected = 0, right = 0 }
    counts[event.round] = c
    c.n = c.n + 1
    if event.own == "rejected" then c.rejected = c.rejected + 1 end
    if event.exact == "accepted" then c.right = c.right + 1 end
    t.that(text:find(event.prompt, 1, true), event.prompt)
    t.that(text:find(("%.2f"):format(event.p_yes), 1, true))
  end
end
for round = 0, size.rounds do
  local c = counts[round]
  for _, k in ipairs { c.rejected, c.right } do
    local low, high = facts.interval(k, c.n)
    t.that(text:find(("%d/%d · %.0f–%.0f %%"):format(k, c.n, 100 * low, 100 * high), 1, true),
      ("%d of %d of round %d"):format(k, c.n, round))
  end
end
local last = counts[size.rounds]
t.that(text:find(("fell from %.0f"):format(100 * counts[0].rejected / counts[0].n), 1, true)
  or text:find(("rose from %.0f"):format(100 * counts[0].rejected / counts[0].n), 1, true))
t.that(text:find(("%d of %d; 95 %%"):format(last.rejected, last.n), 1, true))

-- Prompts are never more than text.
local random = require("blocks.world").rng(7)
local pieces = { "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</style>", "</title>", "</svg>",
  "-->", "<!--", "]]>", "<![CDATA[", "javascript:alert(1)", "'", '"', "\\", "&", "&lt;", "&#60;", "<", ">", "`",
  "\0", "\1", "\27[31m", "\127", "\n", "\r", "\t", "</p>", "<svg/onload=1>", "{{x}}", "${x}", "%s", "%1", "=",
  "\226\128\174", "\239\187\191", "é", "日本", "🦁", "</script", "<", "< b", "<b", "//", "http://x",
  "url(http://x)", "]]", "style=", " onclick=", "\226\128\168", ("x"):rep(300) }
for seed = 2, 5 do
  local plain = report.page(make("plain" .. seed, seed))
  local known = {}
  local hostile = report.page(make("hostile" .. seed, seed, function(prompt)
    if not known[prompt] then
      local parts = { prompt }
      for i = 1, 1 + math.floor(random:uniform() * 6) do
        parts[i] = pieces[1 + math.floor(random:uniform() * #pieces)]
      end
      parts[#parts + 1] = prompt
      known[prompt] = table.concat(parts)
    end
    return known[prompt]
  end))
  t.equal((tags.scan(hostile)), (tags.scan(plain)))
  t.that(not hostile:find "[%z\1-\8\11-\31\127]", "a control character")
end

-- A run that was killed has a page too, and so has one of which little is known.
local events = io.open(run .. "/events.jsonl", "rb"):read("*a")
local function write(name, content)
  local file = assert(io.open(name, "wb"))
  file:write(content)
  file:close()
end
os.execute("mkdir -p " .. folder .. "/part")
for _, bytes in ipairs { 0, 20, 5000, 20000, #events - 3 } do
  write(folder .. "/part/events.jsonl", events:sub(1, bytes))
  tags.scan(report.page(folder .. "/part"))
end

-- The command.
local function sh(arguments)
  local pipe = io.popen(("%s/tain report %s 2>&1; echo =$?"):format(host.folder, arguments))
  local said = pipe:read("*a")
  pipe:close()
  return said
end
t.equal(sh(run), run .. "/report.html\n=0\n")
t.that(sh(folder .. "/nosuch"):find("is not the folder of a run", 1, true))
t.that(io.open(run .. "/report.html"):read("*a") == page, "the file is another page")

-- The story of a pair: the run's own numbers, and nothing that a terminal would obey.
for place, seed in ipairs { 2, 3 } do
  local hostile = folder .. "/hostile" .. seed
  local pair = {}
  for _, event in ipairs(facts.events(hostile)) do
    if event.kind == "pair" then pair[#pair + 1] = event end
  end
  local pipe = io.popen(("%s/tain explain %s %d"):format(host.folder, hostile, place))
  local story = pipe:read "*a"
  pipe:close()
  t.that(story:find(("Pair %d of %d"):format(place, #pair), 1, true), story)
  t.that(story:find(("p(yes) %.4f over %.4f"):format(pair[place].p_chosen, pair[place].p_rejected), 1, true), story)
  t.equal({ select(2, story:gsub("  chosen", "")), select(2, story:gsub("  rejected; ", "")) }, { 1, 1 })
  t.that(not story:find "[%z\1-\9\11-\31\127]", story)
end

-- Several runs: each with its own numbers, whatever their prompts are.
local both = folder .. "/both.html"
t.equal(sh(("%s %s/plain2 --out %s"):format(run, folder, both)), both .. "\n=0\n")
local together = report.compare { run, folder .. "/plain2" }
t.that(io.open(both):read("*a") == together)
text = select(2, tags.scan(together))
for _, one in ipairs { run, folder .. "/plain2" } do
  local rounds = facts.read(one).rounds
  for _, share in ipairs { rounds[1].gap, rounds[#rounds].gap } do
    t.that(text:find(("%.0f/%d · %.0f–%.0f %%"):format(share.k, share.n, 100 * share.low, 100 * share.high), 1, true))
  end
end

-- What the recipes say differently, as text.
for name, line in pairs { recipe_a = "return a < b", recipe_b = "return '<b>'" } do
  os.execute(("cp -r %s/plain2 %s/%s"):format(folder, folder, name))
  local file = assert(io.open(("%s/%s/recipe.lua"):format(folder, name), "w"))
  file:write("local same = 1\n", line, "\n")
  file:close()
end
local recipes = report.compare { folder .. "/recipe_a", folder .. "/recipe_b" }
t.that(recipes:find("return a &lt; b", 1, true) and recipes:find("&lt;b&gt;", 1, true), recipes)
t.that(not recipes:find("local same", 1, true))
t.equal((tags.scan(report.compare { folder .. "/hostile2", folder .. "/hostile2" })),
  (tags.scan(report.compare { folder .. "/plain2", folder .. "/plain2" })))
os.execute("rm -r " .. folder)
