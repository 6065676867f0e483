--- Pictures on the terminal, as well as it can show them: kitty's protocol, iTerm2's, sixels, or half
--- blocks, two pixels in each character. Never an escape into a pipe.
---
---     tain.show(picture)
---     tain.show({ a, b, c }, { captions = { "one", "two", "three" } })
---
--- TAIN_PICTURES=kitty|iterm|sixel|blocks|off says it instead of the terminal.

local bit = require "bit"
local ffi = require "ffi"
local check = require "tain.check"
local files = require "tain.files"
local host = require "tain.host"
local image = require "tain.image"
local progress = require "tain.progress"

local terminal = {}

-- ---- What the terminal can do ----

local kinds = { kitty = true, iterm = true, sixel = true, blocks = true, off = true }

--- What the environment says: "kitty", "iterm", "sixel", "blocks", "off", or nil where only asking
--- could tell.
---
--- @param env function of a variable's name, as os.getenv
--- @return string?
function terminal.announced(env)
  local wish, term = env "TAIN_PICTURES", env "TERM" or ""
  local program = env "TERM_PROGRAM" or ""
  if wish and kinds[wish] then return wish end
  if term == "" or term == "dumb" then return "off" end
  if env "TMUX" or env "STY" or term:find "^screen" or term:find "^tmux" then return "blocks" end
  if env "KITTY_WINDOW_ID" or term:find "kitty" or term:find "ghostty" or program == "ghostty"
    or (tonumber(env "KONSOLE_VERSION") or 0) >= 220400 then
    return "kitty"
  end
  if program == "iTerm.app" or program == "WezTerm" or env "LC_TERMINAL" == "iTerm2" then
    return "iterm"
  end
  if term:find "sixel" or term:find "^foot" or term:find "^mlterm" or term:find "^yaft" then
    return "sixel"
  end
  if term == "linux" or term:find "^vt" then return "blocks" end
end

local kind   -- once it is known

--- How pictures are shown on standard output; "off" when it is not a terminal.
---
--- @return string "kitty", "iterm", "sixel", "blocks" or "off"
function terminal.kind()
  if not host.terminal(1) then return "off" end
  if kind then return kind end
  kind = terminal.announced(os.getenv)
  if not kind then   -- a question that only some understand, and one that all answer
    local answer = host.ask("\27_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\27\\\27[c", "c", 0.3) or ""
    kind = answer:find("_Gi=31;OK", 1, true) and "kitty"
      or (answer:match "%[%?([%d;]*)c" or ""):gsub("^%d+", ""):gsub("$", ";"):find(";4;", 1, true)
        and "sixel" or "blocks"
  end
  return kind
end

--- Columns of standard output.
---
--- @return integer
function terminal.columns()
  local columns = host.window(1)
  return columns and columns > 0 and columns or tonumber(os.getenv "COLUMNS") or 80
end

-- How many pixels a character is wide and high.
local function cell()
  local columns, rows, width, height = host.window(1)
  if columns and columns > 0 and rows > 0 and width > 0 and height > 0 then
    return width / columns, height / rows
  end
  return 10, 20
end

--- Text of which nothing is obeyed by a terminal.
---
--- @param text any
--- @return string
function terminal.plain(text)
  return (tostring(text):gsub("[%z\1-\31\127]", " "):gsub("\194[\128-\159]", " "))
end

-- ---- Sizes ----

-- As many times larger as whole numbers allow, with sharp edges.
local function enlarged(picture, times)
  if times <= 1 then return picture end
  local width, height = picture:size()
  local from, made = picture:pixels(), image.image(width * times, height * times)
  local to = made:pixels()
  for y = 0, height * times - 1 do
    for x = 0, width * times - 1 do
      local a, b = 3 * (math.floor(y / times) * width + math.floor(x / times)),
        3 * (y * width * times + x)
      to[b], to[b + 1], to[b + 2] = from[a], from[a + 1], from[a + 2]
    end
  end
  return made
end

-- No larger than this.
local function fitted(picture, most_wide, most_high)
  local width, height = picture:size()
  local scale = math.min(1, most_wide / width, most_high / height)
  if scale == 1 then return picture end
  return picture:resize(math.max(1, math.floor(width * scale + 0.5)),
    math.max(1, math.floor(height * scale + 0.5)))
end

-- ---- Half blocks ----

local function colour24(r, g, b, ground)
  return ("%d;2;%d;%d;%d"):format(ground and 48 or 38, r, g, b)
end

-- The nearest of the 6 x 6 x 6 colours and 24 greys that terminals with 256 colours have.
local function colour256(r, g, b, ground)
  local function level(v) return v < 48 and 0 or v < 115 and 1 or math.floor((v - 35) / 40) end
  local function value(l) return l == 0 and 0 or 55 + 40 * l end
  local lr, lg, lb = level(r), level(g), level(b)
  local grey = math.max(0, math.min(23, math.floor(((r + g + b) / 3 - 3) / 10)))
  local function far(x, y, z) return (r - x) ^ 2 + (g - y) ^ 2 + (b - z) ^ 2 end
  local shade = 8 + 10 * grey
  local index = far(shade, shade, shade) < far(value(lr), value(lg), value(lb)) and 232 + grey
    or 16 + 36 * lr + 6 * lg + lb
  return ("%d;5;%d"):format(ground and 48 or 38, index)
end

--- A picture as lines of half blocks: two pixels above each other in a character.
---
--- @param picture Image
--- @param options? table columns (at most, 80), colours ("24" bits or "256")
--- @return string[] lines
function terminal.blocks(picture, options)
  options = check.options("blocks", options, {
    columns = { "integer", default = 80, min = 1 },
    colours = { "choice", choices = { "24", "256" }, default = "24" },
  })
  picture = fitted(picture, options.columns, 4 * options.columns)
  local colour = options.colours == "24" and colour24 or colour256
  local width, height = picture:size()
  local p, lines = picture:pixels(), {}
  for y = 0, height - 1, 2 do
    local line, above, below = {}, nil, nil
    for x = 0, width - 1 do
      local i = 3 * (y * width + x)
      local a = colour(p[i], p[i + 1], p[i + 2])
      local b = false
      if y + 1 < height then
        local k = i + 3 * width
        b = colour(p[k], p[k + 1], p[k + 2], true)
      end
      if a ~= above then line[#line + 1] = "\27[" .. a .. "m" end
      if b ~= below and b then line[#line + 1] = "\27[" .. b .. "m" end
      above, below = a, b
      line[#line + 1] = "▀"
    end
    lines[#lines + 1] = table.concat(line) .. "\27[0m"
  end
  return lines
end

-- ---- Protocols ----

--- kitty's: PNG in pieces, as wide as some columns.
function terminal.kitty(picture, columns)
  local text, parts = files.base64(picture:png()), {}
  for at = 1, #text, 4096 do
    local more = at + 4096 <= #text and 1 or 0
    parts[#parts + 1] = ("\27_G%sm=%d;%s\27\\"):format(
      at == 1 and ("a=T,f=100,q=2,c=%d,"):format(columns) or "", more, text:sub(at, at + 4095))
  end
  return table.concat(parts)
end

--- iTerm2's: the file in one piece.
function terminal.iterm(picture, columns)
  local png = picture:png()
  return ("\27]1337;File=inline=1;size=%d;width=%d;preserveAspectRatio=1:%s\7"):format(#png, columns,
    files.base64(png))
end

-- What each pixel is in a palette of at most 252 colours: the picture's own, or else 6 x 7 x 6, mixed
-- by a pattern of 4 x 4 where a colour lies between two.
local pattern = { 0, 8, 2, 10, 12, 4, 14, 6, 3, 11, 1, 9, 15, 7, 13, 5 }

local function palette(picture)
  local width, height = picture:size()
  local p, of, list = picture:pixels(), {}, {}
  local indices = ffi.new("uint8_t[?]", width * height)
  local exact = true
  for i = 0, width * height - 1 do
    local colour = p[3 * i] * 65536 + p[3 * i + 1] * 256 + p[3 * i + 2]
    if not of[colour] then
      if #list == 252 then exact = false break end
      list[#list + 1] = { p[3 * i], p[3 * i + 1], p[3 * i + 2] }
      of[colour] = #list - 1
    end
    indices[i] = of[colour]
  end
  if exact then return indices, list end
  list = {}
  for r = 0, 5 do
    for g = 0, 6 do
      for b = 0, 5 do list[#list + 1] = { r * 51, g * 42.5, b * 51 } end
    end
  end
  for i = 0, width * height - 1 do
    local x, y = i % width, math.floor(i / width)
    local threshold = (pattern[4 * (y % 4) + x % 4 + 1] + 0.5) / 16
    local r = math.floor(p[3 * i] / 51 + threshold)
    local g = math.floor(p[3 * i + 1] / 42.5 + threshold)
    local b = math.floor(p[3 * i + 2] / 51 + threshold)
    indices[i] = 42 * math.min(r, 5) + 6 * math.min(g, 6) + math.min(b, 5)
  end
  return indices, list
end

--- Sixels: six rows at a time, one pass for each colour in them.
function terminal.sixel(picture)
  local indices, list = palette(picture)
  local width, height = picture:size()
  local out = { ('\27P0;1q"1;1;%d;%d'):format(width, height) }
  for i, c in ipairs(list) do
    out[#out + 1] = ("#%d;2;%.0f;%.0f;%.0f"):format(i - 1, c[1] / 2.55, c[2] / 2.55, c[3] / 2.55)
  end
  for top = 0, height - 1, 6 do
    local used, order = {}, {}
    for y = top, math.min(top + 5, height - 1) do
      for x = 0, width - 1 do
        local index = indices[y * width + x]
        local row = used[index]
        if not row then
          row = {}
          used[index], order[#order + 1] = row, index
        end
        row[x] = bit.bor(row[x] or 0, bit.lshift(1, y - top))
      end
    end
    for n, index in ipairs(order) do
      local row, count, last = used[index], 0, nil
      local function flush()
        if count > 3 then out[#out + 1] = "!" .. count .. string.char(63 + last)
        elseif count > 0 then out[#out + 1] = string.char(63 + last):rep(count) end
      end
      out[#out + 1] = (n > 1 and "$#" or "#") .. index
      for x = 0, width - 1 do
        local six = row[x] or 0
        if six ~= last then
          flush()
          count, last = 0, six
        end
        count = count + 1
      end
      flush()
    end
    out[#out + 1] = "-"
  end
  out[#out + 1] = "\27\\"
  return table.concat(out)
end

-- ---- Showing ----

local function many_colours()
  local colours, term = os.getenv "COLORTERM" or "", os.getenv "TERM" or ""
  return colours:find "truecolor" or colours:find "24bit" or term:find "direct" or term:find "kitty"
    or term:find "foot" or os.getenv "WT_SESSION"
end

local CHARACTER = "[%z\1-\127\194-\244][\128-\191]*"

-- Columns of a character: East Asian ones and pictures take two.
local function wide_of(character)
  local first = character:byte()
  return (first >= 0xE3 and first <= 0xED or first >= 0xF0) and 2 or 1
end

--- Columns of a text.
---
--- @param text string UTF-8
--- @return integer
function terminal.width(text)
  local width = 0
  for character in text:gmatch(CHARACTER) do width = width + wide_of(character) end
  return width
end

--- A text made as wide as some columns: cut, or with spaces after it.
---
--- @param text string UTF-8
--- @param columns integer
--- @return string
function terminal.padded(text, columns)
  if terminal.width(text) > columns then
    local parts, width = {}, 0
    for character in text:gmatch(CHARACTER) do
      width = width + wide_of(character)
      if width > columns - 1 then break end
      parts[#parts + 1] = character
    end
    text = table.concat(parts) .. "…"
  end
  return text .. (" "):rep(columns - terminal.width(text))
end

-- Pictures of one row beside each other, captions below, as text for the terminal.
local function row_of(pictures, captions, kind_, columns)
  local n = #pictures
  local each = math.max(4, math.floor((columns - 2 * (n - 1)) / n))
  local out, wide = {}, {}
  if kind_ == "blocks" then
    local lines, most = {}, 0
    for i, picture in ipairs(pictures) do
      lines[i] = terminal.blocks(picture, { columns = each, colours = many_colours() and "24" or "256" })
      wide[i] = math.min(each, (picture:size()))
      most = math.max(most, #lines[i])
    end
    for k = 1, most do
      local line = {}
      for i = 1, n do line[i] = lines[i][k] or (" "):rep(wide[i]) end
      out[#out + 1] = table.concat(line, "  ")
    end
  else
    -- One picture for the row, so that what follows stands below it in every terminal.
    local across = cell()
    local larger, most_wide, most_high = {}, 0, 0
    for i, picture in ipairs(pictures) do
      local width, height = picture:size()
      larger[i] = enlarged(fitted(picture, each * across, 8 * each * across),
        math.max(1, math.floor(math.min(160, each * across) / math.max(width, height))))
      width, height = larger[i]:size()
      most_wide, most_high = math.max(most_wide, width), math.max(most_high, height)
    end
    local gap = math.floor(2 * across)
    local slot = math.ceil(most_wide / across)
    local whole = larger[1]
    if n > 1 then
      local step = math.floor(slot * across) + gap
      whole = image.image(step * (n - 1) + most_wide, most_high)
      local to, stride = whole:pixels(), 3 * (step * (n - 1) + most_wide)
      ffi.fill(to, stride * most_high, 255)
      for i, picture in ipairs(larger) do
        local width, height = picture:size()
        local from = picture:pixels()
        for y = 0, height - 1 do
          ffi.copy(to + y * stride + 3 * step * (i - 1), from + 3 * width * y, 3 * width)
        end
      end
    end
    for i = 1, n do wide[i] = slot end
    local taken = math.max(1, math.ceil((whole:size()) / across))
    out[1] = kind_ == "sixel" and terminal.sixel(whole) or terminal[kind_](whole, taken)
  end
  if #captions > 0 then
    local line = {}
    for i = 1, n do line[i] = terminal.padded(terminal.plain(captions[i] or ""), wide[i]) end
    out[#out + 1] = (table.concat(line, "  "):gsub(" +$", ""))
  end
  return table.concat(out, "\n") .. "\n"
end

--- Pictures as the text that shows them.
---
--- @param pictures Image[]
--- @param options table kind, columns (of the terminal), captions, across (pictures in a row)
--- @return string
function terminal.text(pictures, options)
  local captions, rows = options.captions or {}, {}
  if options.kind == "off" then
    for i, picture in ipairs(pictures) do
      rows[i] = tostring(picture) .. (captions[i] and ": " .. terminal.plain(captions[i]) or "") .. "\n"
    end
    return table.concat(rows)
  end
  local widest = 1
  for _, picture in ipairs(pictures) do widest = math.max(widest, (picture:size())) end
  local across = options.across or math.max(1, math.floor((options.columns + 2)
    / (math.max(16, math.min(widest, 32)) + 2)))
  for first = 1, #pictures, across do
    local row, below = {}, {}
    for i = first, math.min(first + across - 1, #pictures) do
      row[#row + 1] = pictures[i]
      if next(captions) then below[#below + 1] = captions[i] or "" end
    end
    rows[#rows + 1] = row_of(row, below, options.kind, options.columns)
  end
  return table.concat(rows)
end

--- Shows an image, or a list of images beside each other, on the terminal. Into a pipe goes a line
--- that says what it is.
---
--- @param pictures Image|Image[]
--- @param options? table captions (list of texts), across (pictures in a row)
function terminal.show(pictures, options)
  options = check.options("show", options, {
    captions = { "strings", default = {} },
    across = { "integer", optional = true, min = 1 },
  })
  if image.is(pictures) then pictures = { pictures } end
  check.table("show", "pictures", pictures)
  for i = 1, #pictures do
    if not image.is(pictures[i]) then
      check.raise("show: pictures[%d] must be an image, not %s", i, check.show(pictures[i]))
    end
  end
  progress.clear()
  io.stdout:write(terminal.text(pictures, { kind = terminal.kind(), columns = terminal.columns(),
    captions = options.captions, across = options.across }))
  io.stdout:flush()
end

return terminal
