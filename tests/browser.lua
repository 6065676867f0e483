--- A headless Chromium, driven over a pair of pipes by its own protocol.
---
---     local page = browser.open(path)            -- nil when there is no browser
---     page:eval "document.title"
---     page.requests, page.console                -- what it fetched, what was said

local json = require "tain.json"

local browser = {}
local Page = {}
Page.__index = Page

local function receive(self)
  local parts = {}
  while true do
    local c = self.out:read(1)
    if not c then error("the browser is gone", 0) end
    if c == "\0" then break end
    parts[#parts + 1] = c
  end
  local message = json.decode(table.concat(parts))
  local method, params = message.method, message.params
  if method == "Network.requestWillBeSent" then
    table.insert(self.requests, params.request.url)
  elseif method == "Runtime.consoleAPICalled" or method == "Log.entryAdded" or method == "Runtime.exceptionThrown" then
    table.insert(self.console, json.encode(params))
  end
  return message
end

--- Calls a method of the protocol.
function Page:call(method, params)
  self.id = self.id + 1
  self.to:write(json.encode { id = self.id, method = method, params = params, sessionId = self.session }, "\0")
  self.to:flush()
  while true do
    local message = receive(self)
    if message.id == self.id then
      if message.error then error(method .. ": " .. message.error.message, 2) end
      return message.result
    end
  end
end

--- The value of an expression in the page.
function Page:eval(expression)
  local answer = self:call("Runtime.evaluate", { expression = expression, returnByValue = true, awaitPromise = true })
  if answer.exceptionDetails then error(json.encode(answer.exceptionDetails), 2) end
  return answer.result.value
end

--- Goes to a file.
function Page:go(path)
  self:call("Page.navigate", { url = "file://" .. path })
  while receive(self).method ~= "Page.loadEventFired" do end
end

--- Opens a file in a browser of its own; nil when there is none.
---
--- @param path string absolute
--- @param options? table scripts (true), width
function browser.open(path, options)
  options = options or {}
  local which = io.popen "command -v chromium || command -v chromium-browser || command -v google-chrome"
  local program = which:read "*l"
  which:close()
  if not program then return nil end
  local folder = os.tmpname()
  os.remove(folder)
  os.execute(("mkdir -p %s && mkfifo %s/in %s/out"):format(folder, folder, folder))
  os.execute(("timeout 300 %s --headless --no-sandbox --disable-gpu --hide-scrollbars --remote-debugging-pipe "
    .. "--no-first-run --disable-background-networking --user-data-dir=%s/profile --window-size=%d,900 "
    .. "3< %s/in 4> %s/out > /dev/null 2>&1 &"):format(program, folder, options.width or 1280, folder, folder))
  local self = setmetatable({ folder = folder, id = 0, requests = {}, console = {} }, Page)
  self.to = assert(io.open(folder .. "/in", "w"))
  self.out = assert(io.open(folder .. "/out", "r"))
  local target = self:call("Target.createTarget", { url = "about:blank" }).targetId
  self.session = self:call("Target.attachToTarget", { targetId = target, flatten = true }).sessionId
  for _, domain in ipairs { "Page", "Runtime", "Network", "Log" } do self:call(domain .. ".enable") end
  if options.scripts == false then self:call("Emulation.setScriptExecutionDisabled", { value = true }) end
  self:go(path)
  return self
end

function Page:close()
  self.session = nil
  pcall(self.call, self, "Browser.close")
  self.to:close()
  self.out:close()
  os.execute(("for i in 1 2 3 4 5; do sleep 0.5; rm -rf %s 2> /dev/null && break; done"):format(self.folder))
end

return browser
