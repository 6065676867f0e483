--- The prompt: `tain` alone. Lines are Lua; values are shown without asking, images drawn; names made
--- here need no `local` and stay. An error or Ctrl-C ends the line and nothing else.
---
--- Through a pipe the same, without a prompt: each line's values on standard output, errors on
--- standard error and exit code 1 at the end.

local complete = require "tain.complete"
local echo = require "tain.echo"
local files = require "tain.files"
local help = require "tain.help"
local host = require "tain.host"
local progress = require "tain.progress"
local terminal = require "tain.terminal"

local repl = {}

local CHUNK = "=prompt"
local PATIENCE = 0.3   -- seconds in which a loop that calls nothing of tain's may end by itself
local KEPT = 2000      -- lines of history

-- ---- Lines ----

-- Whether the message of load says that more is to come.
local function unfinished(message)
  return message and (message:find("near '<eof>'", 1, true)
    or message:find("unfinished long string", 1, true)
    or message:find("unfinished long comment", 1, true)) ~= nil
end

-- Names stay from line to line, so `local` at the beginning of a line is left out.
local function global(text)
  local rest = text:match "^%s*local%s+(.*)$"
  if not rest then return text end
  if rest:find "^function[%s(]" then return rest end
  local names, more = rest:match "^([%a_][%w_]*[%w_,%s]*)(=?.*)$"
  if not names then return text end
  if more:find "^=" then return rest end
  if more:find "^%s*;?%s*$" then return names .. " = nil" .. more end
  return text
end

--- Reads a line of the prompt.
---
--- @param text string
--- @return function? chunk nil when it is not whole, or wrong
--- @return string? message
--- @return boolean more whether the line goes on
function repl.read(text)
  local topic = text:match "^%s*%?%s*([%w_.:/]*)%s*$"
  if topic then text = ("help(%q)"):format(topic):gsub('help%(""%)', "help()") end
  local chunk = load("return " .. text:gsub(";%s*$", ""), CHUNK, "t")
  if chunk then return chunk, nil, false end
  local message
  chunk, message = load(global(text), CHUNK, "t")
  return chunk, message, not chunk and unfinished(message) or false
end

-- ---- What is kept between sessions ----

local function history_path()
  local state, home = os.getenv "XDG_STATE_HOME", os.getenv "HOME"
  if state and state ~= "" then return state .. "/tain/history" end
  return home and home ~= "" and home .. "/.local/state/tain/history" or nil
end

local function load_history(path)
  local lines = {}
  local file = path and io.open(path, "r")
  if not file then return end
  for line in file:lines() do lines[#lines + 1] = line end
  file:close()
  local first = math.max(1, #lines - KEPT + 1)
  for i = first, #lines do if lines[i] ~= "" then host.edit_add(lines[i]) end end
  if #lines > 2 * KEPT then
    pcall(files.write, path, table.concat(lines, "\n", first) .. "\n")
  end
end

local function remember(path, entry)
  local line = entry:gsub("%s*\n%s*", entry:find "%-%-" and "\n" or " ")
  for one in line:gmatch "[^\n]+" do
    host.edit_add(one)
    if path then
      local file = io.open(path, "a")
      if file then
        file:write(one, "\n")
        file:close()
      end
    end
  end
end

-- ---- The names ----

local function environment(make)
  local env = make "."
  local meta = debug.getmetatable(env)
  debug.setmetatable(env, {   -- names may be made
    __index = function(self, name)
      if name == "_" then return nil end   -- the latest value was nil
      return meta.__index(self, name)
    end,
    __metatable = false,
  })
  env.tain = require "tain.init"
  env.help = function(value)
    io.stdout:write(help.about(value))
    io.stdout:flush()
  end
  return env
end

-- ---- Doing ----

-- Runs a line; returns whether it went well.
local function run(chunk, env, quiet, attempt)
  local function done(ok, ...)
    progress.clear()
    if not ok then
      local text, interrupted = ...
      io.stdout:flush()
      io.stderr:write(interrupted and "interrupted" or (text:gsub("^prompt:1: ", "")), "\n")
      return false
    end
    if select("#", ...) > 0 then
      rawset(env, "_", (...))
      if not quiet then echo.echo(...) end
    end
    return true
  end
  jit.off(chunk, true)   -- interpreted, so that Ctrl-C ends even `while true do end`
  setfenv(chunk, env)
  local results = { n = 0 }
  local function collect(ok, ...)
    results = { n = select("#", ...), ok, ... }
  end
  collect(attempt(chunk))
  if host.interrupted() > 0 then host.forget(PATIENCE) end
  local ok, went = attempt(done, unpack(results, 1, results.n + 1))   -- showing may fail, too
  if host.interrupted() > 0 then host.forget(PATIENCE) end
  if not ok then io.stderr:write((tostring(went):gsub("^prompt:1: ", "")), "\n") end
  return ok and went
end

local function leaves(text) return text:find "^%s*exit%s*$" or text:find "^%s*quit%s*$" end

local function interactive(env, attempt)
  local path = history_path()
  if path then pcall(files.make_folder, path:match "^(.*)/") end
  load_history(path)
  print(("tain %s. help() helps, Tab completes, Ctrl-D leaves."):format(host.version))
  local entry
  while true do
    local line = host.edit_line(entry and ">> " or "> ")
    if line == nil then break end
    if line == false then
      host.forget(PATIENCE)
      io.stdout:write("^C\n")
      entry = nil
    else
      entry = entry and entry .. "\n" .. line or line
      if not entry:find "%S" then
        entry = nil
      elseif leaves(entry) then
        break
      else
        local chunk, message, more = repl.read(entry)
        if not more then
          remember(path, entry)
          if chunk then
            run(chunk, env, entry:find ";%s*$", attempt)
          else
            io.stderr:write((message:gsub("^prompt:1: ", "")), "\n")
          end
          entry = nil
        end
      end
    end
  end
  io.stdout:write "\n"
  return 0
end

local function piped(env, attempt)
  local code, entry = 0, nil
  for line in io.stdin:lines() do
    entry = entry and entry .. "\n" .. line or line
    local chunk, message, more = repl.read(entry)
    if not entry:find "%S" then
      entry = nil
    elseif leaves(entry) then
      entry = nil
      break
    elseif not more then
      if chunk then
        if not run(chunk, env, entry:find ";%s*$", attempt) then code = 1 end
      else
        io.stderr:write((message:gsub("^prompt:1: ", "")), "\n")
        code = 1
      end
      entry = nil
    end
  end
  if entry then
    io.stderr:write("tain: the input ends in the middle of a statement\n")
    code = 1
  end
  return code
end

--- Reads lines until there are no more.
---
--- @param make function of a folder: the names recipes there have
--- @param attempt function as xpcall: runs a function; false, the message, and whether it was Ctrl-C
--- @return integer # exit code
function repl.run(make, attempt)
  local env = environment(make)
  host.forget(PATIENCE)
  local code
  if host.terminal(0) and host.terminal(1) and os.getenv "TERM" ~= "dumb"
    and host.edit_open(function(line) return complete.complete(env, line) end) then
    terminal.kind()   -- asks, if it must, before anything is typed
    code = interactive(env, attempt)
    host.edit_close()
  else
    code = piped(env, attempt)
  end
  local runs = package.loaded["tain.run"]
  if runs then
    local ok, text = attempt(runs.finish)
    if not ok then
      io.stderr:write(text, "\n")
      code = 1
    end
  end
  return code
end

return repl
