--- What a recipe may rely on.
---
---     local tain = require("tain").api "1"
---
--- says which names a recipe was written for. What has these names goes on to have them, with the same
--- meaning, as long as the number is known; a name that is changed all the same is kept for one more
--- number, and says once what it is called now.

local check = require "tain.check"
local log = require "tain.log"

-- renamed: old name -> new name, for those that are on their way out.
local api = { renamed = {} }

local KNOWN = { ["1"] = true }
local NEWEST = "1"
local warned = {}

--- Asks for a version of the names in tain.
---
--- @param version string "1"
--- @return table tain
function api.api(version)
  check.string("api", "version", version)
  if not KNOWN[version] then
    check.raise('api: this tain knows version %s and the recipe asks for "%s": %s', NEWEST, version,
      (tonumber(version) or 0) > tonumber(NEWEST) and "a newer tain is needed" or "there is no such version")
  end
  return require "tain.init"
end

--- Says once that a name is on its way out.
---
--- @param old string
--- @param new string
--- @return string new
function api.warn(old, new)
  if not warned[old] then
    warned[old] = true
    log.log { "warning", warning = ("tain.%s is called tain.%s now"):format(old, new) }
  end
  return new
end

return api
