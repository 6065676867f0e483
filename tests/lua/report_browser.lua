--- The page about a run in a real browser: sliders select again, nothing is fetched, nothing is said,
--- and ten thousand hostile prompts are text.
local t = require "expect"
local browser = require "browser"
local events = require "tain.events"
local facts = require "tain.report.facts"
local json = require "tain.json"
local report = require "tain.report"
local select_ = require "tain.report.select"
local synthetic = require "synthetic"
local tain = require "tain"

local folder = os.tmpname()
os.remove(folder)
local run = folder .. "/run"
synthetic.make(run, { seed = 4, rounds = 2, prompts = 12, images = 5, probes = 8, steps = 20 })
report.write(run)
local page = browser.open(run .. "/report.html")
if not page then
  os.execute("rm -r " .. folder)
  t.skip "there is no chromium"
end
local function set(id, value)
  page:eval(("(function () { var c = document.getElementById(%q); c.value = %q; "
    .. "c.dispatchEvent(new Event('input')); })()"):format(id, tostring(value)))
end
local function cells(round)
  return page:eval(("[0, 1, 2, 3, 4, 5].map(function (i) { return document.getElementById('r%d-' + i).textContent; })")
    :format(round))
end

-- At first: as the run selected, which its pairs say.
local self = facts.read(run)
local rounds = facts.sorted(self.candidates)
for r, round in ipairs(rounds) do t.equal(cells(r - 1)[4], tostring(#(self.pairs[round] or {}))) end
local first = cells(0)
local roles = "Array.from(document.querySelectorAll('[data-candidate]')).map(function (b) { return b.textContent; }).join()"
local first_roles = page:eval(roles)

-- Sliders: what the page counts is what the rule in Lua selects.
for _, rules in ipairs { { above = 0.9, below = 1, pairs = 1 }, { above = 0.6, below = 0.2, pairs = 3 },
  { above = 0, below = 1, pairs = 8 }, { above = 1, below = 0, pairs = 1 } } do
  set("above", rules.above)
  set("below", rules.below)
  set("pairs-a-prompt", rules.pairs)
  for r, round in ipairs(rounds) do
    local images, pairs_ = 0, 0
    for _, list in ipairs(self.candidates[round]) do
      local yes, _, n = select_.choose(list, rules)
      images, pairs_ = images + #yes, pairs_ + n
    end
    local got = cells(r - 1)
    t.equal({ got[1], got[4] }, { tostring(images), tostring(pairs_) })
  end
end
t.that(page:eval(roles) ~= first_roles, "the candidates have the same parts")
page:eval "document.getElementById('again').click()"
t.equal(cells(0), first)
t.equal(page:eval((roles:gsub("used by SFT", ""))):gsub("used by SFT", ""), (first_roles:gsub("used by SFT", "")))

-- β and the loss move the curve; losses are tain's own.
local curve = "document.getElementById('loss-curve').getAttribute('points')"
local before = page:eval(curve)
set("beta", 0)
local middle = page:eval(curve)
set("loss", "hinge")
local after = page:eval(curve)
t.that(before ~= middle and middle ~= after)
local d = { -30, -2.5, -1, 0, 0.5, 1, 3, 40 }
local zeros = {}
for i = 1, #d do zeros[i] = 0 end
for _, one in ipairs(select_.losses) do
  local want = tain.loss[one[1]]({ chosen = tain.tensor(d), rejected = tain.tensor(zeros),
    ref_chosen = tain.tensor(zeros), ref_rejected = tain.tensor(zeros) }, { beta = 0.5 }):numbers()
  local got = page:eval(("%s.map(function (d) { return tain.losses.%s(0.5 * d); })"):format(json.encode(d), one[1]))
  for i = 1, #d do
    local scale = 1e-4 * math.max(1, math.abs(want[i]))
    t.close(got[i], want[i], scale)
    t.close(one[2](0.5 * d[i]), want[i], scale)
  end
end
local function silent(what)
  t.equal(what.console, {})
  for _, url in ipairs(what.requests) do
    t.that(url:find "^file:///" or url:find "^data:image/png;base64,", "it fetches " .. url:sub(1, 200))
  end
end
silent(page)

-- What a browser makes of a page: its elements with their attributes' names, in order.
local tree = [[(function () {
  var out = [];
  document.querySelectorAll("*").forEach(function (e) {
    out.push(e.nodeName + ":" + Array.from(e.attributes).map(function (a) { return a.name; }).sort().join());
  });
  return out.join("\n");
})()]]
local random = require("blocks.world").rng(11)
local pieces = { "<script>document.title='x'</script>", "<img src=x onerror=alert(1)>", "</style>", "</title>", "</svg>",
  "-->", "<!--", "]]>", "<![CDATA[", "javascript:", "'", '"', "\\", "&", "&lt;", "&#60;", "<", ">", "`", "\0", "\1",
  "\27[31m", "\127", "\n", "\r", "\t", "</p>", "<svg/onload=1>", "%s", "=", "\226\128\174", "é", "日本", "🦁", "</script",
  "<b", "//", "url(http://x)", " onclick=", "\226\128\168", "<table>", "</td>", "</bdi>", "<plaintext>", "<textarea>",
  "<template>", "<iframe src=//x>", "<base href=//x>", "<meta http-equiv=refresh content=0>", "<frameset>",
  "&#0;", "&#xD800;", "&lt", "&Tab;", "\\ud800",
  "\194\133", "\194\160", "\226\128\169", "\226\129\166", "\239\187\191", "\239\191\189",
  "\239\191\190", "\244\143\191\191", "e\204\129\204\129", "👩‍👩‍👧", "<svg><style>", "<math><mtext><table><mglyph>", "<noscript>",
  "<select><option>", "<a href='data:text/html,x'>", "\" autofocus onfocus=\"", "' style='x", "{{", "${x}", "<?xml", "<!DOCTYPE" }
-- Half a surrogate pair and bytes that are no UTF-8 do not come as far: no line of JSON holds them.
t.equal({ json.decode '"\\ud800"' }, { nil, "byte 2: half a surrogate pair" })
t.fails(json.encode, "is not UTF-8", "\237\160\128")
local function log(name, text)
  os.execute("mkdir -p " .. folder .. "/" .. name)
  local made = events.open(folder .. "/" .. name .. "/events.jsonl", true)
  for i = 1, 10000 do
    made:add { kind = "probe", round = 0, prompt = text(i), category = "color", seed = i, p_yes = i / 10001,
      own = i % 3 == 0 and "rejected" or "accepted", exact = i % 2 == 0 and "accepted" or "rejected" }
  end
  made:close()
  local path = folder .. "/" .. name .. ".html"
  local file = assert(io.open(path, "wb"))
  file:write(report.page(folder .. "/" .. name, { prompts = 10000 }))
  file:close()
  return path
end
page:go(log("plain", function(i) return "prompt " .. i end))
local want = page:eval(tree)
t.that(select(2, want:gsub("\n", "")) > 60000)
local hostile = {}
page:go(log("hostile", function(i)
  local parts = { "prompt " .. i .. " " }
  for k = 1, 1 + math.floor(random:uniform() * 5) do
    parts[k + 1] = pieces[1 + math.floor(random:uniform() * #pieces)]
  end
  if i % 500 == 0 then parts[#parts + 1] = parts[#parts]:rep(5000) end   -- very long
  hostile[i] = table.concat(parts)
  return hostile[i]
end))
t.that(page:eval(tree) == want, "a prompt became an element")
local seen = page:eval "Array.from(document.querySelectorAll('bdi')).map(function (b) { return b.textContent; })"
t.equal(#seen, 10000)
for i = 1, #seen do
  local plain = hostile[i]:gsub("[%z\1-\8\11-\31\127]", "\239\191\189")
  t.equal(seen[i], plain)
end
silent(page)
page:close()

-- With scripts off, and on paper: complete, and no control that does nothing.
page = browser.open(run .. "/report.html", { scripts = false, width = 420 })
local shown = "Array.from(document.querySelectorAll('.live')).filter(function (e) { return e.offsetParent; }).length"
t.equal(page:eval(shown), 0)
t.that(page:eval "document.getElementById('r0-3').textContent" == first[4])
t.that(page:eval "document.documentElement.scrollWidth <= document.documentElement.clientWidth", "the page is too wide")
page:call("Emulation.setEmulatedMedia", { media = "print" })
t.equal(page:eval "getComputedStyle(document.querySelector('nav')).display", "none")
silent(page)
page:close()
os.execute("rm -r " .. folder)
