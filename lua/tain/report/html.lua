--- Pages as nested calls: h.p { class = "note", "text & more", h.b "bold" }. Whatever is not itself
--- a node is escaped, attributes too, so nothing that a run recorded can become markup.

local files = require "tain.files"

local html = {}

local node = {}   -- the metatable of what needs no escaping any more

local entities = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;",
  ["'"] = "&#39;" }

--- The one place where text becomes HTML. Control characters, which no browser shows, become
--- U+FFFD.
---
--- @param text any
--- @return string
function html.escape(text)
  return (tostring(text):gsub("[%z\1-\8\11-\31\127]", "\239\191\189"):gsub("[&<>\"']", entities))
end

local function put(child, out)
  if child == nil or child == false then return end
  if type(child) ~= "table" then
    out[#out + 1] = html.escape(child)
  elseif getmetatable(child) == node then
    out[#out + 1] = child.text
  else
    for i = 1, table.maxn(child) do put(child[i], out) end
  end
end

local void = { img = true, meta = true, br = true, line = true, circle = true, rect = true,
  path = true, polyline = true, polygon = true, input = true }

local function element(name, content)
  if type(content) ~= "table" or getmetatable(content) == node then content = { content } end
  local names, out = {}, { "<" .. name }
  for key in pairs(content) do
    if type(key) == "string" then names[#names + 1] = key end
  end
  table.sort(names)
  for _, key in ipairs(names) do
    local value = content[key]
    if value == true then
      out[#out + 1] = " " .. key
    elseif value then
      out[#out + 1] = (' %s="%s"'):format(key, html.escape(value))
    end
  end
  out[#out + 1] = ">"
  if not void[name] then
    put(content, out)
    out[#out + 1] = "</" .. name .. ">"
  elseif #content > 0 then   -- a shape with its title
    put(content, out)
    out[#out + 1] = "</" .. name .. ">"
  elseif name ~= "img" and name ~= "meta" and name ~= "br"
    and name ~= "input" then
    out[#out] = "/>"
  end
  return setmetatable({ text = table.concat(out) }, node)
end

--- What is markup already: only for constants.
---
--- @param text string
function html.raw(text)
  return setmetatable({ text = text }, node)
end

--- A node's text.
---
--- @param child any
--- @return string
function html.text(child)
  local out = {}
  put(child, out)
  return table.concat(out)
end

--- A table: `head` is a list of cells, `rows` a list of such lists.
function html.grid(head, rows, class)
  local top, body = {}, {}
  for i, cell in ipairs(head) do top[i] = html.th { scope = "col", cell } end
  for i, row in ipairs(rows) do
    local cells = { html.th { scope = "row", row[1] } }
    for k = 2, #head do cells[k] = html.td { row[k] } end
    body[i] = html.tr(cells)
  end
  return html.div { class = "scroll", html.table { class = class, html.thead { html.tr(top) },
    html.tbody(body) } }
end

--- A PNG file's content as an address.
---
--- @param png string
--- @return string
function html.data_uri(png)
  return "data:image/png;base64," .. files.base64(png)
end

-- Any other name is an element; `text_` is the element text, whose name is taken here.
return setmetatable(html, {
  __index = function(_, name)
    return function(content) return element((name:gsub("_$", "")), content) end
  end,
})
