--- Child processes. A child leads a process group of its own and ends with whoever started it: the whole
--- group is killed when its leader has exited, when the task that runs it is cancelled, when time or
--- output pass their limit. Arguments are a list, never a line for a shell.
---
--- Output is read without blocking, by the task that wants the bytes; a poll handle only says when to try
--- again. So what is not read stays in the pipe, and the child feels it.
--- A member of the group that starts a session of its own gets away, as it does from every shell.

local channel = require "weir.channel"
local entries_of = require "weir.port.entries"
local proof = require "weir.proof"
local scheduler = require "weir.native.scheduler"
local task = require "weir.task"
local uv = require "luv"
local variables = require "weir.secret.variables"

local M = {}

local OUTPUT_BYTES = 1024 * 1024 -- of each stream, unless told otherwise
local PIECE_BYTES = 65536
local PIECES = 16                -- of a stream that wait in its channel
local TURN_PIECES = 16           -- moved before other tasks have a turn
local GRACE = 0.2                -- seconds between SIGTERM and SIGKILL
local LAST = 5                   -- seconds for the kernel to end what was killed
local MEMBERS = 0.1              -- the same for the other members of a group, once its leader has exited

local CODES = {
  ENOENT = "not_found", ENOTDIR = "not_found", EACCES = "denied", EPERM = "denied", E2BIG = "limit",
  EMFILE = "unavailable", ENFILE = "unavailable", ENOMEM = "unavailable", EAGAIN = "unavailable",
}

---@class weir.Child
---@field pid integer
---@field stdin { write: fun(self, bytes: string), close: fun(self) }? with the option `pipe`
---@field stdout table channel of strings; closed at the end
---@field stderr table channel of strings; closed at the end
local Child = {}
Child.__index = Child

-- What waits for a child waits for any change, and looks again.

local function ring(child)
  local waiters = child.waiters
  child.waiters = {}
  for _, waiter in ipairs(waiters) do waiter:wake() end
end

local function await_change(child, what, seconds)
  local waiter = scheduler.waiter()
  table.insert(child.waiters, waiter)
  return waiter:wait(what, seconds)
end

-- What the child writes comes through pipes: {fd, poll, armed, take}; fd is nil once closed. Where somebody else takes the
-- bytes, only how many they were is known here.

local function close_pipe(pipe)
  if not pipe.fd then return end
  pipe.poll:close()
  uv.fs_close(pipe.fd)
  pipe.fd = nil
end

--- Lets the poll handle ring once when there is something to read.
local function arm(child, pipe)
  if not pipe.fd or pipe.armed then return end
  pipe.armed = true
  pipe.poll:start("r", function()
    if pipe.fd then pipe.poll:stop() end
    pipe.armed = false
    ring(child)
  end)
end

local function take_now(pipe)
  local size = pipe.take(pipe.name, pipe.fd)
  if not size then close_pipe(pipe) end
  return size
end

--- The next bytes; "" when there are none now, nil at the end.
local function read_now(pipe)
  if not pipe.fd then return nil end
  local bytes, _, name = uv.fs_read(pipe.fd, PIECE_BYTES, -1)
  if bytes and bytes ~= "" then return bytes end
  if name == "EAGAIN" then return "" end
  close_pipe(pipe)
  return nil
end

local function close_input(child)
  if child.input and not child.input:is_closing() then child.input:close() end
end

--- Gives the child all of its input. A child that does not want it is no error.
local function feed(child, text)
  if text == "" then return close_input(child) end
  child.input:write(text, function() close_input(child) end)
end

-- Starting

local function environment_of(options)
  if options.env then return options.env end
  local environment = variables.harmless()
  for _, name in ipairs(options.secrets or {}) do environment[name] = nil end
  return environment
end

local function list_environment(options)
  local list = {}
  for name, value in pairs(environment_of(options)) do table.insert(list, name .. "=" .. value) end
  table.sort(list)
  return list
end

local function check_text(value, what)
  if type(value) ~= "string" or value:find("\0", 1, true) then
    error(("%s must be a string without NUL bytes, got %s"):format(what, type(value)), 4)
  end
end

local function check(args, options)
  if type(args) ~= "table" or #args == 0 then error("arguments must be a list; the first one is the program", 3) end
  for i, arg in ipairs(args) do check_text(arg, ("argument %d"):format(i)) end
  if args[1] == "" then error("argument 1, the program, is empty", 3) end
  -- What libuv is to write of a table without a text in it ends the process.
  if options.stdin ~= nil and type(options.stdin) ~= "string" then
    error(("stdin must be a string, got %s"):format(type(options.stdin)), 3)
  end
  for name, value in pairs(options.env or {}) do
    check_text(name, "a name in env")
    check_text(value, "env." .. name)
    if name == "" or name:find("=", 1, true) then error(("env has the name '%s'"):format(name), 3) end
  end
  if options.cwd then check_text(options.cwd, "cwd") end
end

--- Opens the three streams: what the child gets, and our ends. Nil, error, name when one fails.
local function open_streams(wants_stdin)
  local theirs, ours = {}, {}
  local function fail(err, name)
    for _, fd in pairs(theirs) do uv.fs_close(fd) end
    for _, fd in pairs(ours) do uv.fs_close(fd) end
    return nil, err, name
  end
  local function open_pipe(i, from_child)
    local pipe, err, name = uv.pipe({ nonblock = from_child }, { nonblock = not from_child })
    if not pipe then return nil, err, name end
    theirs[i] = from_child and pipe.write or pipe.read
    ours[i] = from_child and pipe.read or pipe.write
    return true
  end
  local function open_empty()
    local fd, err, name = uv.fs_open("/dev/null", "r", 0)
    theirs[1] = fd
    return fd, err, name
  end
  for i = 1, 3 do
    local ok, err, name
    if i == 1 and not wants_stdin then ok, err, name = open_empty() else ok, err, name = open_pipe(i, i > 1) end
    if not ok then return fail(err, name) end
  end
  return theirs, ours
end

local function refuse_spawn(label, options, err, name)
  local where = label
  if options.cwd and not uv.fs_stat(options.cwd) then where = ("%s: folder '%s'"):format(label, options.cwd) end
  local text = tostring(err):gsub("^%u+: ", "")
  return nil, ("%s: %s"):format(where, text), CODES[name] or "failed"
end

local function on_exit(child, status, signal)
  child.status = signal ~= 0 and 128 + signal or status
  child.signal = signal ~= 0 and signal or nil
  child.exited = true
  if not child.keep then uv.kill(-child.pid, "sigkill") end
  child.process:close()
  ring(child)
end

local function new_pipe(fd, name, take) return { fd = fd, poll = uv.new_poll(fd), name = name, take = take } end

local function spawn(args, options)
  local label = ("command '%s'"):format(args[1])
  local theirs, ours, name = open_streams(options.stdin ~= nil)
  if not theirs then return refuse_spawn(label, {}, ours, name) end
  local child = setmetatable({ label = label, program = args[1], waiters = {}, keep = options.keep }, Child)
  local process, pid, spawn_name = uv.spawn(args[1], {
    args = table.move(args, 2, #args, 1, {}), stdio = theirs, env = list_environment(options),
    cwd = options.cwd, detached = true,
  }, function(status, signal) on_exit(child, status, signal) end)
  for _, fd in ipairs(theirs) do uv.fs_close(fd) end
  if not process then
    for _, fd in pairs(ours) do uv.fs_close(fd) end
    return refuse_spawn(label, options, pid, spawn_name)
  end
  child.process, child.pid = process, pid
  child.out, child.err = new_pipe(ours[2], "stdout", options.take), new_pipe(ours[3], "stderr", options.take)
  if ours[1] then
    child.input = uv.new_pipe(false)
    child.input:open(ours[1])
  end
  return child
end

-- Ending

local function await_exit(child, seconds)
  local deadline = scheduler.now() + seconds
  while not child.exited do
    local left = deadline - scheduler.now()
    if left <= 0 then return end
    await_change(child, "the end of a child process", left)
  end
end

local function end_gently(_, child)
  uv.kill(-child.pid, "sigterm")
  await_exit(child, GRACE)
  if child.exited then return end
  uv.kill(-child.pid, "sigkill")
  await_exit(child, LAST)
end

-- A member as /proc tells it: one that has died does nothing more, whenever its parent collects it. Where
-- a container's first process is slow to do so, the kernel still counts it as a member.
local function is_member(pid, group)
  local file = io.open("/proc/" .. pid .. "/stat", "rb")
  local line = file and file:read "a"
  if file then file:close() end
  local state, its_group = (line or ""):match "^.*%) (%a) %d+ (%d+)"
  return its_group == group and state ~= "Z" and state ~= "X"
end

local function has_members(child) return uv.kill(-child.pid, 0) == 0 end

local function members(group)
  local pids = {}
  for _, entry in ipairs(entries_of.of "/proc") do
    if entry.name:find "^%d+$" and is_member(entry.name, group) then pids[#pids + 1] = entry.name end
  end
  return pids
end

-- The members of the group were killed with its leader: they are gone when the kernel says so.
local function await_members(_, child)
  local deadline, group = scheduler.now() + MEMBERS, ("%d"):format(child.pid)
  for _, pid in ipairs(members(group)) do
    while is_member(pid, group) and scheduler.now() < deadline do scheduler.sleep(0.001) end
  end
end

local function release(child)
  close_pipe(child.out)
  close_pipe(child.err)
  close_input(child)
  for _, output in ipairs { child.stdout or false, child.stderr or false } do
    if output then output:close(child.label .. " was closed") end
  end
  if child.deferred then child.deferred:release() end
  ring(child)
end

--- Ends the group and lets go of everything. A cancelled task may still wait here, for a moment; where
--- nothing can wait the group is killed without grace.
local function close(child)
  if child.closed then return end
  child.closed = true
  if not child.exited then
    if scheduler.can_wait() then task.within({ shield = true, timeout = GRACE + LAST + 1 }, end_gently, child)
    else uv.kill(-child.pid, "sigkill") end
    proof.stopped("process", child.program, not child.exited)
  end
  if child.exited and not child.keep and has_members(child) and scheduler.can_wait() then
    task.within({ shield = true, timeout = 2 * MEMBERS }, await_members, child)
  end
  release(child)
end

Child.__close = close

-- Running to the end

-- How many bytes came, and the bytes, unless somebody else has them.
local function next_bytes(pipe)
  if pipe.take then return pipe.fd and take_now(pipe) or 0 end
  local bytes = read_now(pipe)
  return bytes and #bytes or 0, bytes
end

local function collect(child, pipe, into, name, limit)
  local size, bytes = next_bytes(pipe)
  if size == 0 then return false end
  into.size = into.size + size
  if into.size > limit then
    return nil, ("%s: %s passed %d bytes and was stopped; raise max_bytes, or use less output"):format(
      child.label, name, limit), "limit"
  end
  if bytes then table.insert(into, bytes) end
  return true
end

--- One round over both streams: whether anything moved; nil, message, code past the limit.
local function move(child, out, err, limit)
  local from_out, message, code = collect(child, child.out, out, "stdout", limit)
  if from_out == nil then return nil, message, code end
  local from_err
  from_err, message, code = collect(child, child.err, err, "stderr", limit)
  if from_err == nil then return nil, message, code end
  return from_out or from_err
end

local function await_streams(child, left)
  arm(child, child.out)
  arm(child, child.err)
  await_change(child, child.label, left)
end

local function drive(child, options, out, err)
  local deadline = options.timeout and scheduler.now() + options.timeout
  for round = 1, math.huge do
    local exited = child.exited -- looked at first: what came before the end is then in the pipe
    local moved, message, code = move(child, out, err, options.max_bytes or OUTPUT_BYTES)
    if moved == nil then return nil, message, code end
    if exited and not moved then return true end
    local left = deadline and deadline - scheduler.now()
    if left and left <= 0 and not exited then
      return nil, ("%s: still runs after %g seconds and was stopped"):format(child.label, options.timeout), "timeout"
    end
    if not moved then await_streams(child, left)
    elseif round % TURN_PIECES == 0 then scheduler.yield() end
  end
end

---@class weir.ProcessOptions
---@field stdin string? its input; otherwise the input is empty
---@field pipe boolean? `start` only: the input is what is written to `child.stdin`
---@field cwd string? folder to run in
---@field env table<string, string>? the whole environment; default: the host's, without what holds a secret or looks like one
---@field secrets string[]? further names that are not inherited
---@field timeout number? seconds for the whole
---@field max_bytes integer? of stdout and of stderr each, default 1 MiB (`run` only)
---@field take (fun(stream: "stdout"|"stderr", descriptor: integer): integer?)? `run` only: reads what the child writes in our
---   stead and gives how many bytes it was, 0 when there are none now, nil at the end; the result has none of them
---@field keep boolean? leave the other members of the group alive when the leader has exited

--- Runs a program to its end. Waits. A status other than 0 is a result, not an error.
---@param args string[] the program, looked up in PATH, and its arguments
---@param options weir.ProcessOptions?
---@return { status: integer, signal: integer?, stdout: string, stderr: string }? result
---  (a program that a signal ended has 128 + signal as its status)
---@return string? message
---@return string? code `not_found`, `denied`, `limit`, `timeout`, `unavailable`, `failed`
function M.run(args, options)
  options = options or {}
  check(args, options)
  scheduler.check()
  local child <close>, message, code = spawn(args, options)
  if not child then return nil, message, code end
  if child.input then feed(child, options.stdin) end
  local out, err = { size = 0 }, { size = 0 }
  local ok
  ok, message, code = drive(child, options, out, err)
  if not ok then return nil, message, code end
  return { status = child.status, signal = child.signal, stdout = table.concat(out), stderr = table.concat(err) }
end

-- Running beside the caller

--- Carries what the child writes to a channel, as fast as the channel is read.
local function pump(child, pipe, output)
  while true do
    local exited = child.exited
    local bytes = read_now(pipe)
    if not bytes or (bytes == "" and exited) then break end
    if bytes ~= "" then
      if not output:send(bytes) then break end
    else
      arm(child, pipe)
      await_change(child, child.label)
    end
  end
  close_pipe(pipe)
  output:close(child.label .. " has ended")
end

local Input = {}
Input.__index = Input

--- Writes to the child. Waits until all is in its pipe.
---@param bytes string
---@return true?
---@return string? message
---@return string? code `closed` when the child has closed its input or has ended
function Input:write(bytes)
  if type(bytes) ~= "string" then error(("bytes must be a string, got %s"):format(type(bytes)), 2) end
  local child = self.child
  if not child.input:is_closing() and not child.exited then
    local waiter = scheduler.waiter()
    child.input:write(bytes, function(err) waiter:wake(err) end)
    if not waiter:wait(child.label) then return true end
    close_input(child)
  end
  return nil, child.label .. ": does not read its input any more", "closed"
end

--- Ends the child's input.
function Input:close() close_input(self.child) end

--- Starts a program beside the caller. Whoever starts it keeps it: it ends with the caller's scope.
--- Does not wait; its streams are carried by tasks of the open scope.
---@param args string[] the program, looked up in PATH, and its arguments
---@param options weir.ProcessOptions?
---@return weir.Child? child
---@return string? message
---@return string? code as `run`
function M.start(args, options)
  options = options or {}
  check(args, options)
  scheduler.check()
  local spawn_options = options
  if options.pipe then spawn_options = setmetatable({ stdin = "" }, { __index = options }) end
  local child, message, code = spawn(args, spawn_options)
  if not child then return nil, message, code end
  child.deferred = scheduler.defer(function() close(child) end)
  child.stdout, child.stderr = channel.new(PIECES), channel.new(PIECES)
  scheduler.spawn(pump, child, child.out, child.stdout)
  scheduler.spawn(pump, child, child.err, child.stderr)
  if options.pipe then child.stdin = setmetatable({ child = child }, Input)
  elseif child.input then feed(child, options.stdin) end
  return child
end

--- Waits until the leader of the group has exited. Read the channels meanwhile, or it may never.
---@param timeout number? seconds
---@return { status: integer, signal: integer? }?
---@return string? message
---@return string? code `timeout`
function Child:wait(timeout)
  local deadline = timeout and scheduler.now() + timeout
  while not self.exited do
    local left = deadline and deadline - scheduler.now()
    if left and left <= 0 then
      return nil, ("%s: still runs after %g seconds"):format(self.label, timeout), "timeout"
    end
    await_change(self, self.label, left)
  end
  return { status = self.status, signal = self.signal }
end

--- Sends a signal to the group. Does not wait.
---@param signal string? such as "sigint"; default "sigterm"
---@return boolean sent false when the child has exited already
function Child:kill(signal)
  if self.exited then return false end
  return uv.kill(-self.pid, signal or "sigterm") == 0
end

--- Ends the group (SIGTERM, then SIGKILL after 0.2 s) and closes the channels. Waits; safe twice.
function Child:close() close(self) end

return M
