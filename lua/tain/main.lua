--- The `tain` program above its C part: options, commands, recipes, and what happens when they
--- fail.
---
--- A command is a module tain.command.NAME that returns { about =, run = }; adding a command is
--- adding a file. Exit codes: 0 done, 1 a recipe's mistake, 2 a mistake on the command line, 130
--- interrupted.

local host = require "tain.host"
local check = require "tain.check"
local own = require "tain.own"
local settings = require "tain.settings"
local strict = require "tain.strict"

local main = {}

--- The options of the host itself; they may stand anywhere on the command line.
main.options = {
  device = { "string", help = "which device: its number or part of its name (see tain devices)" },
  json = { "boolean", help = "log lines are JSON" },
  ["max-memory"] = { "string", help = "device memory to take at most: 6G, 800M; what passes it is refused" },
  quiet = { "boolean", help = "no log lines and no progress" },
  sandbox = { "boolean", help = "recipes without ffi, io, os and bytecode" },
  debug = { "boolean", help = "errors with a traceback" },
}

local function usage(message, ...)
  io.stderr:write("tain: ", message:format(...), "\n")
  return 2
end

local units = { [""] = 1, k = 2 ^ 10, m = 2 ^ 20, g = 2 ^ 30, t = 2 ^ 40 }

-- Bytes of "6G", "6GiB" or "800M"; nil of anything else.
local function size_of(text)
  local number, unit = text:lower():match "^([%d.]+)%s*([kmgt]?)i?b?$"
  number = tonumber(number)
  return number and number > 0 and math.floor(number * units[unit]) or nil
end

-- Takes the host's options out of the arguments.
local function take_options(arguments)
  local rest, i = {}, 1
  while i <= #arguments do
    local argument = arguments[i]
    local name, value = argument:match("^%-%-([%w-]+)=?(.*)$")
    local spec = name and main.options[name]
    if argument == "--" then
      for j = i, #arguments do rest[#rest + 1] = arguments[j] end
      break
    elseif not spec then
      rest[#rest + 1] = argument
    elseif spec[1] == "boolean" then
      if value ~= "" then return nil, "--" .. name .. " takes no value" end
      settings[name] = true
    else
      if not argument:find("=", 1, true) then
        i = i + 1
        value = arguments[i]
      end
      if not value then return nil, "--" .. name .. " needs a value" end
      if name == "max-memory" then
        value = size_of(value)
        if not value then return nil, "--max-memory takes a size such as 6G or 800M, not " .. arguments[i] end
      end
      settings[name:gsub("%-", "_")] = value
    end
    i = i + 1
  end
  return rest
end

-- ---- Errors ----

-- The lines of the stack that are the recipe's.
local function traceback(level)
  local lines = {}
  while true do
    local info = debug.getinfo(level, "Sln")
    if not info then break end
    if info.currentline > 0 and not check.ours(info.source) then
      lines[#lines + 1] = ("  %s:%d: in %s"):format(info.source:sub(2), info.currentline,
        info.name and "'" .. info.name .. "'" or info.what == "main" and "the recipe"
          or "a function")
    end
    level = level + 1
  end
  return table.concat(lines, "\n")
end

local latest = {}   -- the latest error: { raised =, text =, traceback = }; a message is only a string

-- Keeps what there is to say about an error, where it was raised, and gives messages a position.
-- Errors pass through here on their way out of every protected call of ours. Tables with `exit` and
-- `message` are mistakes of the command line; other values are the recipe's own and stay as they
-- are.
local function describe(raised)
  if raised ~= nil and raised == latest.raised or type(raised) == "table" and raised.exit then
    return raised
  end
  local text = type(raised) == "string" and raised
    or ("an error that is not a string: %s"):format(check.show(raised))
  if text:find("^tain/[%w_/]+%.lua:%d+:") or not text:find("^[^\n]-:%d+: ") then
    text = check.position() .. text   -- raised in tain itself or in C: say for which line
  end
  if type(raised) == "string" then raised = text end
  latest = { raised = raised, text = text, traceback = traceback(3) }
  return raised
end

own.on_error = describe

-- What there is to say about an error that was raised: the sentence, and whether it is that the
-- user asked to stop.
local function sentence(raised)
  if type(raised) == "table" and raised.exit then return raised.message, false end
  local text = raised == latest.raised and latest.text or tostring(raised)
  local interrupted = host.interrupted() > 0 and text:find("interrupted", 1, true) ~= nil
    and not settings.debug
  if settings.debug and raised == latest.raised then text = text .. "\n" .. latest.traceback end
  return text, interrupted
end

--- Runs `fn` as a recipe is run: reports its error.
--- @return integer # exit code
function main.protect(fn, ...)
  local ok, raised = xpcall(fn, describe, ...)
  io.stdout:flush()
  if ok then return host.interrupted() > 0 and 130 or 0 end
  local text, interrupted = sentence(raised)
  if interrupted then text = "tain: interrupted" end
  if text ~= "" then io.stderr:write(text, "\n") end
  if type(raised) == "table" and raised.exit then return raised.exit end
  return host.interrupted() > 0 and 130 or 1
end

-- For the prompt: what `fn` returns, or false, the sentence, and whether the user asked to stop.
local function attempt(fn, ...)
  local function answer(ok, ...)
    if ok then return ok, ... end
    return false, sentence((...))
  end
  return answer(xpcall(fn, describe, ...))
end

-- ---- Recipes ----

local function folder_of(path)
  return path:match("^(.*)/[^/]*$") or "."
end

-- The environment's `require`: modules beside the recipe, in the folder above, in recipes/ beside the program or
-- above it (a build for the sanitizers lies one folder deeper). They share the recipe's environment. What is not
-- found there is left to Lua, outside a sandbox.
local function requirer(folder, sandbox)
  local above = folder:match("^(.*)/[^/.]+$") or folder:find("^[^/.]+$") and "." or folder .. "/.."
  local path = ("%s/?.lua;%s/?.lua;%s/recipes/?.lua;%s/../recipes/?.lua;%s/../../recipes/?.lua"):format(folder, above,
    host.folder, host.folder, host.folder)
  local loaded, loading = {}, {}
  local env
  local function require_(name)
    if type(name) ~= "string" then
      check.raise("require: the module's name must be a string, not %s", check.show(name))
    end
    if name == "tain" then return require "tain.init" end
    if loaded[name] ~= nil then return loaded[name] end
    if package.loaded[name] ~= nil or name:find("^tain%.") then
      if not sandbox then return require(name) end
      local kept = rawget(env, name)
      if type(kept) ~= "table" then
        check.raise("require: %s is not available under --sandbox", name)
      end
      return kept
    end
    local file = package.searchpath(name, path)
    if not file then
      if not sandbox then
        local ok, result = pcall(require, name)
        if ok then return result end
        if not result:find("^module '.-' not found") then error(result, 0) end
      end
      check.raise("require: there is no module %s beside the recipe, above it, or in recipes/",
        name)
    end
    if loading[name] then check.raise("require: %s requires itself", name) end
    loading[name] = true
    local chunk, message = loadfile((file:gsub("^%./", "")), "t")
    if not chunk then error(message, 0) end
    local ok, result = xpcall(setfenv(chunk, env), own.on_error, name)
    loading[name] = nil
    if not ok then error(result, 0) end
    loaded[name] = result == nil and true or result
    return loaded[name]
  end
  env = strict.environment(sandbox, require_)
  return env
end

local function run_chunk(chunk, message, folder, arguments)
  return main.protect(function()
    if not chunk then error(message, 0) end
    local env = requirer(folder, settings.sandbox)
    rawset(env, "arg", arguments)
    setfenv(chunk, env)(unpack(arguments))
    local run = package.loaded["tain.run"]
    if run then run.finish() end
  end)
end

--- Runs a recipe's file.
--- @return integer # exit code
function main.recipe(path, arguments)
  settings.recipe, settings.arguments = path, arguments
  local file, why = io.open(path, "r")
  local text = file and file:read("*a")
  if not text then return usage("cannot read %s", why or path) end
  file:close()
  local chunk, message = load(text:gsub("^#[^\n]*", ""), "@" .. path, "t")
  return run_chunk(chunk, message, folder_of(path), arguments)
end

-- ---- The command line ----

local function exists(path)
  local file = io.open(path, "r")
  if file then file:close() end
  return file ~= nil
end

--- The names of all commands, sorted.
function main.commands()
  local names = {}
  for _, module in ipairs(host.modules()) do
    names[#names + 1] = module:match("^tain%.command%.([%w_]+)$")
  end
  table.sort(names)
  return names
end

-- Where a recipe given by name alone is.
local function find_recipe(name)
  for _, folder in ipairs { "recipes", host.folder .. "/recipes", host.folder .. "/../recipes" } do
    local path = folder .. "/" .. name .. ".lua"
    if name:find("^[%w_-]+$") and exists(path) then return path end
  end
end

--- @param arguments string[] what follows the program's name
--- @return integer # exit code
function main.run(arguments)
  local rest, wrong = take_options(arguments)
  if not rest then return usage("%s", wrong) end
  local first = table.remove(rest, 1)

  if first == nil then
    settings.arguments = {}
    return require("tain.repl").run(function(folder) return requirer(folder, settings.sandbox) end,
      attempt)
  end
  if first == "--help" or first == "-h" then first = "help" end
  if first == "--version" then first = "version" end
  if first == "-e" then
    local code = table.remove(rest, 1)
    if not code then return usage("-e needs a line of Lua") end
    settings.arguments = rest
    local chunk, message = load(code, "=-e", "t")
    return run_chunk(chunk, message, ".", rest)
  end
  if first:find("^%-") then
    return usage("unknown option %s%s", first,
      check.suggest(first:gsub("^%-+", ""), main.options, "--"))
  end
  if first:find("%.lua$") or first:find("/", 1, true) then return main.recipe(first, rest) end

  local commands = main.commands()
  for _, name in ipairs(commands) do
    if name == first then
      local code = 0
      local failed = main.protect(function()
        code = require("tain.command." .. name).run(rest) or 0
      end)
      return failed ~= 0 and failed or code
    end
  end
  local path = find_recipe(first)
  if path then return main.recipe(path, rest) end
  return usage("there is no command or recipe %s%s; tain help lists them", first,
    check.suggest(first, commands))
end

return main
