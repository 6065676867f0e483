--- What luacheck says of the Lua: nothing. Its settings are in .luacheckrc.
local t = require "expect"

local pipe = io.popen "command -v luacheck > /dev/null && luacheck --no-color -q lua recipes tests 2>&1; echo =$?"
local text = pipe:read "*a"
pipe:close()
local said, code = text:match "^(.*)=(%d+)\n$"
if code ~= "0" and said == "" then t.skip "there is no luacheck: install lua-check" end
t.that(code == "0" and said:find "0 warnings / 0 errors in %d%d+ files", said)
