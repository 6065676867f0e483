--- tain help: what there is, and what one thing does.

local main = require "tain.main"
local help = require "tain.help"

local function overview()
  print "tain                                  a prompt: lines of Lua, values and images shown"
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
  about = "this list, or what a function, an operation, a recipe or a folder does",
  run = function(arguments)
    local name = arguments[1]
    if not name then return overview() end
    local text, near = help.find(name)
    if not text then
      io.stderr:write("tain: nothing is called ", name, near, "\n")
      return 2
    end
    io.write(text, text:find("\n$") and "" or "\n")
  end,
}
