--- Pictures on the terminal: read back from what is written, pixel by pixel; nothing into a pipe.
local t = require "expect"
local host = require "tain.host"
local pty = require "pty"
local tain = require "tain"
local terminal = require "tain.terminal"

local program = host.folder .. "/tain"
local folder = os.tmpname()
os.remove(folder)
os.execute("mkdir -p " .. folder)

local function picture(width, height, of)
  local made = tain.image(width, height)
  local p = made:pixels()
  for y = 0, height - 1 do
    for x = 0, width - 1 do
      for c = 0, 2 do p[3 * (y * width + x) + c] = of(x, y, c) end
    end
  end
  return made
end

local noise = picture(13, 7, function(x, y, c) return (x * 71 + y * 113 + c * 57) % 256 end)
local few = picture(40, 20, function(x, y, c) return (math.floor(x / 9) * 80 + math.floor(y / 4) * 40 + 20 * c) % 256 end)
local smooth = picture(64, 48, function(x, y, c) return c == 0 and 4 * x or c == 1 and 5 * y or 128 end)

-- Half blocks: the colours above and below of every character.
for _, made in ipairs { noise, few } do
  local width, height = made:size()
  local lines = terminal.blocks(made, { columns = 80 })
  t.equal(#lines, math.ceil(height / 2))
  for row, line in ipairs(lines) do
    t.that(line:find "\27%[0m$", "a line leaves its colours behind")
    local x, above, below = 0, nil, nil
    for escape, rest in line:gmatch "\27%[([%d;]*)m([^\27]*)" do
      local ground, r, g, b = escape:match "^(%d)8;2;(%d+);(%d+);(%d+)$"
      local colour = ground and { tonumber(r), tonumber(g), tonumber(b) }
      if ground == "3" then above = colour elseif ground == "4" then below = colour end
      for _ in rest:gmatch "▀" do
        t.equal(above, { made:pixel(x, 2 * row - 2) })
        if 2 * row - 1 < height then t.equal(below, { made:pixel(x, 2 * row - 1) }) end
        x = x + 1
      end
    end
    t.equal(x, width)
  end
end
t.equal(#terminal.blocks(smooth, { columns = 16 }), 6)
for _, line in ipairs(terminal.blocks(noise, { colours = "256" })) do t.that(not line:find(";2;", 1, true)) end

-- Sixels: a decoder of what a terminal reads.
local function decode(text)
  local wide, high, body = text:match '^\27P0;1q"1;1;(%d+);(%d+)(.*)\27\\$'
  local pixels, palette, x, y, colour, at = {}, {}, 0, 0, nil, 1
  while at <= #body do
    local c = body:sub(at, at)
    local index, r, g, b = body:match("^#(%d+);2;(%d+);(%d+);(%d+)", at)
    if index then
      palette[tonumber(index)] = { tonumber(r), tonumber(g), tonumber(b) }
      at = at + #body:match("^#[%d;]+", at)
    elseif c == "#" then
      colour = tonumber(body:match("^#(%d+)", at))
      at = at + #body:match("^#%d+", at)
    elseif c == "$" then x, at = 0, at + 1
    elseif c == "-" then x, y, at = 0, y + 6, at + 1
    else
      local count, six = body:match("^!(%d+)(.)", at)
      at = at + (count and #count + 2 or 1)
      six = (six or c):byte() - 63
      t.that(six >= 0 and six < 64, "no sixel")
      for _ = 1, tonumber(count or 1) do
        for k = 0, 5 do
          if math.floor(six / 2 ^ k) % 2 == 1 then pixels[(y + k) * tonumber(wide) + x] = palette[colour] end
        end
        x = x + 1
      end
    end
  end
  return tonumber(wide), tonumber(high), pixels
end
for made, tolerance in pairs { [few] = 0.6, [noise] = 0.6, [smooth] = 21 } do
  local width, height, pixels = decode(terminal.sixel(made))
  t.equal({ width, height }, { made:size() })
  for y = 0, height - 1 do
    for x = 0, width - 1 do
      local got, want = pixels[y * width + x], { made:pixel(x, y) }
      for c = 1, 3 do t.close(got[c], want[c] / 2.55, tolerance) end
    end
  end
end

-- The two that take files.
local function unbase64(text)
  local digits, out = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", {}
  for a, b, c, d in text:gmatch "(.)(.)(.)(.)" do
    local n = 0
    for _, digit in ipairs { a, b, c, d } do n = 64 * n + (digits:find(digit, 1, true) or 1) - 1 end
    local bytes = string.char(math.floor(n / 65536), math.floor(n / 256) % 256, n % 256)
    out[#out + 1] = bytes:sub(1, d == "=" and (c == "=" and 1 or 2) or 3)
  end
  return table.concat(out)
end
local large = picture(150, 100, function(x, y, c) return (x * x * 7 + y * 31 * x + c * 99) % 256 end)
local pieces = {}
for head, body in terminal.kitty(large, 20):gmatch "\27_G([^;]*);([^\27]*)\27\\" do
  t.that(#body <= 4096 and (head:find "m=0" or #body % 4 == 0), head)
  pieces[#pieces + 1] = body
end
t.that(#pieces > 2)
t.equal(unbase64(table.concat(pieces)), large:png())
t.equal(unbase64(terminal.iterm(large, 20):match ":([^:\7]*)\7$"), large:png())

-- What is said of itself by which terminal.
local function announced(environment) return terminal.announced(function(name) return environment[name] end) end
t.equal(announced { TERM = "xterm-kitty" }, "kitty")
t.equal(announced { TERM = "xterm-kitty", TMUX = "/x" }, "blocks")
t.equal(announced { TERM = "xterm-256color", TERM_PROGRAM = "iTerm.app" }, "iterm")
t.equal(announced { TERM = "foot" }, "sixel")
t.equal(announced { TERM = "dumb" }, "off")
t.equal(announced {}, "off")
t.equal(announced { TERM = "xterm-256color" }, nil)
t.equal(announced { TERM = "foot", TAIN_PICTURES = "blocks" }, "blocks")

-- Widths.
t.equal(terminal.padded("abc", 5), "abc  ")
t.equal(terminal.padded("abcdefg", 5), "abcd…")
t.equal(terminal.padded("日本語", 5), "日本…")
t.equal(terminal.plain "a\27[31mb\194\155c\n", "a [31mb c ")

-- Into a pipe: words only.
noise:save(folder .. "/a.png")
few:save(folder .. "/b.png")
local function sh(command)
  local pipe = io.popen(("%s/tain show %s 2>&1; echo =$?"):format(host.folder, command))
  local said = pipe:read "*a"
  pipe:close()
  t.that(not said:find "[%z\1-\9\11-\31]", said)
  return said
end
t.equal(sh(folder .. "/a.png"), "image of 13 x 7\n=0\n")
t.equal(sh(folder), "image of 13 x 7: a.png\nimage of 40 x 20: b.png\n=0\n")
t.that(sh(folder .. "/none.png"):find("none.png", 1, true))
t.that(sh "":find "takes files")

-- A run: each prompt with its rounds; what a prompt holds is never obeyed.
local synthetic = require "synthetic"
synthetic.make(folder .. "/run", { seed = 1, rounds = 1, prompts = 2, images = 2, probes = 3, steps = 2,
  text = function(prompt) return prompt .. "\27]0;x\7" end })
local said = sh(folder .. "/run")
t.equal(select(2, said:gsub("image of 32 x 32: at first %a+ %d%.%d%d [✓✗]", "")), 3)
t.equal(select(2, said:gsub("image of 32 x 32: round 1", "")), 3)

-- On a terminal: one that answers that it has sixels, one that answers that it has nothing, one that
-- says nothing at all.
local plain = { TERM = "xterm-256color", COLORTERM = "truecolor", TERM_PROGRAM = false, TMUX = false, STY = false,
  KITTY_WINDOW_ID = false, KONSOLE_VERSION = false, LC_TERMINAL = false, TAIN_PICTURES = false }
for answer, begins in pairs {
  ["\27[?62;4;22c"] = "\27P0;1q", ["\27[?62;22c"] = "▀", ["\27[?64c"] = "▀", [""] = "▀",
  ["\27_Gi=31;OK\27\\\27[?62;c"] = "\27_Ga=T", ["\27[?4c"] = "▀",
} do
  local p = pty.start({ program, "show", folder .. "/b.png" }, plain, { columns = 90, width = 900, height = 600 })
  p:expect "\27[c"
  p:send(answer)
  p:expect(begins)
  t.equal(p:close(), 0)
end
plain.TAIN_PICTURES = "off"
local p = pty.start({ program, "show", folder .. "/b.png" }, plain)
p:expect "image of 40 x 20"
t.equal(p:close(), 0)
os.execute("rm -r " .. folder)
