--- tain help: what there is, and what one thing does.

local main = require "tain.main"
local check = require "tain.check"

local function overview()
  print "tain RECIPE.lua [--option value …]    runs a recipe; --help shows its options"
  print "tain -e 'CODE'                        runs a line of Lua"
  for _, name in ipairs(main.commands()) do
    local command = require("tain.command." .. name)
    print(("tain %-32s %s"):format(name .. " " .. (command.usage or ""), command.about))
  end
  print "\nThese may stand anywhere:\n"
  local names = {}
  for name in pairs(main.options) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local option = main.options[name]
    print(("  --%-18s %s"):format(name .. (option[1] == "boolean" and "" or " " .. name:upper()),
      option.help))
  end
end

return {
  usage = "[NAME]",
  about = "this list, or what an operation or function does",
  run = function(arguments)
    local name = arguments[1]
    if not name then return overview() end
    local names, topics = require "tain.names", require "tain.topics"
    local short = name:gsub("^tain[_.]", ""):gsub("^[Tt]ensor[.:]", "")
    local text = topics[name] or topics["tain." .. short] or topics["Tensor:" .. short]
      or names[name] or names[short] or names["tain_" .. short]
    if not text then
      local known = {}
      for _, from in ipairs { names, topics } do
        for one in pairs(from) do known[#known + 1] = (one:gsub("^tain[_.]", "")) end
      end
      io.stderr:write("tain: nothing is called ", name, check.suggest(short, known), "\n")
      return 2
    end
    io.write(text, text:find("\n$") and "" or "\n")
  end,
}
