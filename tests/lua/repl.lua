--- The prompt, driven as a person drives it: echo, history, completion, help, errors, Ctrl-C, pipes.
local t = require "expect"
local complete = require "tain.complete"
local host = require "tain.host"
local pty = require "pty"
local repl = require "tain.repl"

local program = host.folder .. "/tain"
local folder = os.tmpname()
os.remove(folder)
os.execute("mkdir -p " .. folder .. "/home " .. folder .. "/files/sub")
local function touch(name) assert(io.open(folder .. "/" .. name, "w")):close() end
touch "files/alpha.png"
touch "files/beta.png"

-- ---- What is read ----

t.that(repl.read "1 + 1" and repl.read "x = 1" and repl.read "print(1);")
t.that(select(3, repl.read "for i = 1, 2 do") and select(3, repl.read "f(") and select(3, repl.read "x = [["))
t.that(not select(3, repl.read "for for"))

-- ---- What is completed ----

local model = { folder = "m", parts = { first = { weight = 1 }, second = 2 }, generate = function() end }
local env = { model = model, measure = print, list = { { size = 3 } }, text = "x", picture = require("tain").image(1, 1),
  tain = require "tain" }
local function completes(line, candidates, after)
  local given, list, follows = complete.complete(env, line)
  t.equal(list, candidates)
  t.equal(follows, after)
  for _, one in ipairs(list) do t.equal(one:sub(1, given), line:sub(#line - given + 1)) end
end
completes("mod", { "model" })
completes("x = me", { "measure" }, "(")
completes("model.parts.", { "first", "second" })
completes("model.parts.first.we", { "weight" })
completes("model:", { "generate" }, "(")
completes('model["parts"].se', { "second" })
completes("list[1].", { "size" })
completes("text:form", { "format" }, "(")
completes("picture:res", { "resize" }, "(")
completes("tain.pref", { "preferences" }, "(")
completes("tain.schedule.cos", { "cosine" }, "(")
completes("f(tain.ad", { "adamw" }, "(")
completes("nothing.here.x", {})
completes("whi", { "while" })
completes('tain.image "' .. folder .. '/files/al', { "alpha.png" }, '"')
completes('tain.image("' .. folder .. "/files/", { "alpha.png", "beta.png", "sub/" })
completes("f('" .. folder .. "/files/s", { "sub/" })
completes("-- don't complete '", {})
completes("12", {})
completes("1.5", {})

-- ---- On a terminal ----

local environment = { HOME = folder .. "/home", XDG_STATE_HOME = false, TERM = "xterm-256color", COLORTERM = "truecolor",
  TAIN_PICTURES = "blocks", LC_ALL = "C.UTF-8", TAIN_LUA = os.getenv "TAIN_LUA" or false }
-- The first use of a device is announced, and here it would be in the way.
local first = pty.start({ program, "-e", "require('tain').zeros(1)" }, environment)
first:close()
local function start() return pty.start({ program }, environment, { columns = 100 }) end

local p = start()
p:expect "Ctrl-D leaves."
p:expect "> "
local function say(line, answer)
  p:send(line .. "\r")
  p:expect("\n" .. answer)
  p:expect "> "
end

-- Echo.
say("1 + 1", "2\r\n")
say("x = { b = 1, 'a' }", "")
say("x", '{ "a", b = 1 }\r\n')
say("x; ", "")
say("'a\\27[31m\\n'", '"a\\027[31m\\n"\r\n')
say("nil", "nil\r\n")
say("_ == nil, 7", "true\r\n7\r\n")
say("local y, z = 3, 4", "")
say("y * z", "12\r\n")
say("local function double(v) return 2 * v end", "")
say("double(21)", "42\r\n")
say("picture = tain.image(2, 2)", "")
p:send "picture\r"
p:expect "▀"
p:expect "image of 2 x 2"
p:expect "> "
p:send "{ picture, picture }\r"
p:expect "▀"
p:expect "> "
p:send "for i = 1, 2 do\r"
p:expect ">> "
p:send "print('line', i)\r"
p:expect ">> "
p:send "end\r"
p:expect "line\t1\r\nline\t2" -- as it was printed
p:expect "> "

-- Tab: a name, a method with its parenthesis, a list of choices, a file.
p:send "tain.pref\t"
p:expect "erences("
p:send "\3"
p:expect "^C"
p:expect "> "
p:send "picture:si\t)\r"
p:expect "ze("
p:expect "\n2\r\n2\r\n"
p:expect "> "
p:send "tain.schedule.\t"
p:expect "constant"
p:expect "cosine"
p:send "\3"
p:expect "^C"
p:expect "> "
p:send(("f = io.open '%s/files/al\t\r"):format(folder))
p:expect "pha.png"
p:expect "> "
say("f ~= nil", "true\r\n")

-- Help, from the manual.
say('help "cosine"', "tain.schedule.cosine")
say("help(tain.load)", "tain.load(folder, options)")
say("help(picture)", "image:")
say("?matmul", "Tensor.matmul")
say("help 'dpo'", "recipes/dpo.lua")
say('help "lod"', "nothing is called lod; did you mean load?")

-- Errors are a sentence, and what was made is still there.
say("kept = tain.tensor { 1, 2, 3 }", "")
say("nosuch", "'nosuch' is not defined")
say("tain.zeros 'x'", "zeros: ")
say("error 'deep'", "deep")
say("error {}", "an error that is not a string")
say("x = = 1", "unexpected symbol near '='")
say("tain.scope(function() local a = tain.zeros { 3 }; a:softmax(9) end)", "softmax: dim 9")
say("(kept + 1):sum():item()", "9\r\n")

-- Ctrl-C: of a line that is being typed, of the second line of a statement, of a loop that calls
-- nothing, of one that calls the device. Afterwards the device computes, and again.
p:send "this is never run\3"
p:expect "^C"
p:expect "> "
p:send "for i = 1, 3 do\r"
p:expect ">> "
p:send "\3"
p:expect "^C"
p:expect "> "
say("1 + 2", "3\r\n")
for _, loop in ipairs { "while true do end", "while true do kept = kept + 0 end", "while true do kept:sum():item() end",
  "for _ in tain.batches({ { x = 1 } }, { epochs = 1e9 }) do end" } do
  for _ = 1, 2 do
    p:send(loop .. "\r")
    p:listen(0.3)
    p:send "\3"
    p:expect "interrupted"
    p:expect "\n> "
    say("kept:sum():item()", "6\r\n")
  end
end

-- Ctrl-D, typed while a statement still runs; the history of this session is the next one's beginning.
p:send "local over = os.clock() + 0.5; while os.clock() < over do end\r"
p:listen(0.2)
p:send "\4"
t.equal(p:close(), 0)
local file = assert(io.open(folder .. "/home/.local/state/tain/history"))
local history = file:read "*a"
file:close()
t.that(history:find("y * z\n", 1, true) and history:find("for i = 1, 2 do print('line', i) end\n", 1, true), history)
t.that(not history:find("never run", 1, true))
p = start()
p:expect "Ctrl-D leaves."
p:expect "> "
p:send "\27[A\r"
p:listen(0.5)
p:send "'first of this'\r"
p:expect "first of this\"\r\n"
p:send "\16\16\16\r"   -- Ctrl-P three times
p:expect "kept:sum():item()"
p:send "exit\r"
t.equal(p:close(), 0)

-- A terminal that is resized, and one that goes away.
p = start()
p:expect "> "
os.execute(("kill -WINCH %d"):format(p.pid))
p:send "3 * 5\r"
p:expect "\n15\r\n"
os.execute(("kill -TERM %d"):format(p.pid))
t.equal(p:close(), 0)

-- ---- Through a pipe ----

local function piped(input, flags)
  local name = folder .. "/input"
  local f = assert(io.open(name, "w"))
  f:write(input)
  f:close()
  local pipe = io.popen(("%s %s < %s 2> %s/errors; echo =$?"):format(program, flags or "", name, folder))
  local said = pipe:read "*a"
  pipe:close()
  local errors = assert(io.open(folder .. "/errors")):read "*a"
  t.that(not (said .. errors):find "[%z\1-\8\11-\31]", said)
  return said, errors
end
t.equal({ piped "1 + 1\nx = 3\nx;\nx\nif x then\n  print 'yes'\nend\n" }, { "2\n3\nyes\n=0\n", "" })
t.equal({ piped "error 'a'\n7\n" }, { "7\n=1\n", "a\n" })
t.equal({ piped "tain.image(3, 4)" }, { "image of 3 x 4\n=0\n", "" })
t.equal({ piped "" }, { "=0\n", "" })
t.equal({ piped "for i = 1, 2 do" }, { "=1\n", "tain: the input ends in the middle of a statement\n" })
t.equal({ piped("ffi\n", "--sandbox") }, { "=1\n", "'ffi' is not defined\n" })
t.equal({ piped("io.open\n", "--sandbox") }, { "=1\n", "'io' is not defined\n" })
os.execute("rm -r " .. folder)
