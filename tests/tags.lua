--- A small scanner of HTML: what a page's elements are, as a browser's tokenizer would take them.

local tags = {}

local entities = { ["&amp;"] = "&", ["&lt;"] = "<", ["&gt;"] = ">", ["&quot;"] = '"', ["&#39;"] = "'" }

--- Reads a page.
---
--- @param page string
--- @return string[] tree "p class", "/p", "img alt src …": names, without values and texts
--- @return string text what stands between the tags, entities read; without styles and scripts
--- @return table[] elements { name =, attributes = }
function tags.scan(page)
  local tree, text, elements, at = {}, {}, {}, 1
  while true do
    local open = page:find("<[%a/!]", at)
    text[#text + 1] = page:sub(at, (open or #page + 1) - 1)
    if not open then break end
    local name = page:match("^/?!?[%w-]+", open + 1) or error("a tag without a name: " .. page:sub(open, open + 40))
    local element, p = { name = name:lower(), attributes = {} }, open + 1 + #name
    local names = {}
    while true do
      p = page:find("[^%s]", p) or error("the page ends in a tag")
      local c = page:sub(p, p)
      if c == ">" then p = p + 1 break end
      if c == "/" then p = p + 1 else
        local key = page:match("^[^%s=>/]+", p) or error("no attribute: " .. page:sub(p, p + 40))
        p = p + #key
        local value
        if page:sub(p, p) == "=" then
          value = page:match('^="([^"]*)"', p) or error("an attribute without quotes: " .. page:sub(p, p + 40))
          p = p + #value + 3
        end
        element.attributes[key] = value or true
        names[#names + 1] = key
      end
    end
    elements[#elements + 1] = element
    tree[#tree + 1] = table.concat({ element.name, unpack(names) }, " ")
    if element.name == "style" or element.name == "script" then
      local close = page:find("</" .. element.name, p, true) or error("no end of " .. element.name)
      element.text = page:sub(p, close - 1)
      p = close
    end
    at = p
  end
  return tree, (table.concat(text):gsub("&#?%w+;", entities)), elements
end

return tags
