--- Drives a program on a pseudo terminal, as a person would.
---
---     local p = pty.start({ tain }, { TERM = "xterm" })
---     p:expect "> "; p:send "1 + 1\r"; p:expect "2"
---     local code = p:close()

local ffi = require "ffi"
local host = require "tain.host"

ffi.cdef [[
  struct pty_size { unsigned short rows, columns, width, height; };
  struct pty_poll { int fd; short events, revents; };
  int forkpty(int *, char *, const void *, const struct pty_size *);
  int execvp(const char *, char *const *);
  int setenv(const char *, const char *, int);
  int unsetenv(const char *);
  long read(int, void *, size_t);
  long write(int, const void *, size_t);
  int poll(struct pty_poll *, unsigned long, int);
  int waitpid(int, int *, int);
  int close(int);
  int kill(int, int);
  void _exit(int);
]]

local C = ffi.C
local pty = {}
local Pty = {}
Pty.__index = Pty

--- Starts a program.
---
--- @param arguments string[] the program first
--- @param environment? table name -> text, or false for none
--- @param options? table columns (100), rows (30), width, height (pixels, 0)
function pty.start(arguments, environment, options)
  options = options or {}
  local size = ffi.new("struct pty_size", options.rows or 30, options.columns or 100,
    options.width or 0, options.height or 0)
  local argv = ffi.new("const char *[?]", #arguments + 1)
  for i, argument in ipairs(arguments) do argv[i - 1] = argument end
  local fd = ffi.new "int[1]"
  local pid = C.forkpty(fd, nil, nil, size)
  if pid == 0 then
    for name, value in pairs(environment or {}) do
      if value then C.setenv(name, value, 1) else C.unsetenv(name) end
    end
    C.execvp(arguments[1], ffi.cast("char *const *", argv))
    C._exit(127)
  end
  return setmetatable({ pid = pid, fd = fd[0], said = "", at = 1 }, Pty)
end

--- Types.
function Pty:send(text) C.write(self.fd, text, #text) end

-- Reads what there is; false when there is nothing more to come.
local function pump(self, seconds)
  local wait = ffi.new("struct pty_poll", self.fd, 1, 0)
  if C.poll(wait, 1, seconds * 1000) <= 0 then return true end
  local buffer = ffi.new "char[4096]"
  local n = tonumber(C.read(self.fd, buffer, 4096))
  if n <= 0 then return false end
  self.said = self.said .. ffi.string(buffer, n)
  return true
end

--- Waits until the program has said this, after what was waited for last.
---
--- @param text string plain
--- @param seconds? number 20
function Pty:expect(text, seconds)
  local over = host.seconds() + (seconds or 20)
  while true do
    local from, to = self.said:find(text, self.at, true)
    if from then
      local before = self.said:sub(self.at, from - 1)
      self.at = to + 1
      return before
    end
    if host.seconds() > over or not pump(self, 0.1) then
      error(("it does not say %q but %q"):format(text, self.said:sub(self.at)), 2)
    end
  end
end

--- Reads for some time.
--- @return string # what came
function Pty:listen(seconds)
  local from = #self.said + 1
  local over = host.seconds() + seconds
  while host.seconds() < over and pump(self, 0.02) do end
  return self.said:sub(from)
end

-- Waits for the process, whose terminal is read to its end or closed.
local function wait(self)
  local status = ffi.new "int[1]"
  for _ = 1, 600 do
    if C.waitpid(self.pid, status, 1) ~= 0 then
      return status[0] % 128 == 0 and math.floor(status[0] / 256) % 256 or nil
    end
    C.poll(nil, 0, 50)
  end
  C.kill(self.pid, 9)
  error("it does not end", 3)
end

--- Takes the terminal away and waits for the end.
--- @return integer? # exit code, or nil when a signal ended it
function Pty:hang_up()
  C.close(self.fd)
  return wait(self)
end

--- Waits for its end.
--- @return integer? # exit code, or nil when a signal ended it
function Pty:close()
  for _ = 1, 300 do if not pump(self, 0.1) then break end end
  local code = wait(self)
  C.close(self.fd)
  return code
end

return pty
