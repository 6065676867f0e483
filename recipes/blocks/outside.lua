--- The exact judge as an outside judge: a function of an image and a prompt.
---
--- Recipes take `--judge blocks`, which is this module; `--judge NAME` is NAME/outside.lua beside
--- the recipe or in recipes/. It returns a function (image, prompt) -> true, false, or nil when it
--- cannot say. Outside judges measure and warn; they never choose what is trained on.

local world = require "blocks.world"

return function(image, prompt)
  local width, height = image:size()
  return world.judge(image:pixels(), width, height, prompt)
end
