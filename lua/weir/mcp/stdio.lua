--- MCP over the standard streams of a child process: one message a line. Requests of any number of tasks are under way
--- side by side; each waits for its own answer, and what belongs to its call is handled by the task that made the call.
---
--- The child belongs to whoever opens the connection, and ends with the scope that is open then: its input is closed,
--- and whoever does not end by that gets SIGTERM, then SIGKILL, with its whole process group. A guard, a shell that does
--- nothing but read from a pipe of this process, kills the group when this process ends without a word.

local channel = require "weir.channel"
local json = require "weir.native.json"
local lines_of = require "weir.mcp.lines"
local messages = require "weir.mcp.messages"
local native = require "weir.native.scheduler"
local process = require "weir.port.process"
local task = require "weir.task"
local visible = require "weir.text.visible"

local M = {}

local EOF_SECONDS = 0.5     -- for a server to end because its input has ended
local CLOSE_SECONDS = 8     -- for all of closing
local EXIT_SECONDS = 1      -- between the end of its output and its own
local REQUESTS = 16         -- that wait to be written
local POSTS = 4096          -- notifications and answers that wait to be written
local QUESTIONS = 16        -- of a server that wait for the task that made a call
local NOTES = 64            -- of a server that wait for the task that follows them
local STDERR_BYTES = 4096   -- of one line
local GARBAGE = 5           -- lines that are told one by one

--- What a server finds in its environment unless the setting `env` says more.
local INHERITED = { "HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER" }

local GUARD = 'read -r line; kill -s KILL -- "-$1"'

---@class weir.mcp.Transport
---@field kind "stdio"|"http"
---@field ended { message: string, code: string }|nil
local Stdio = { kind = "stdio" }
Stdio.__index = Stdio

--- The whole environment of a server: a few names of the host's, and what the setting names or gives.
---@param env table|nil names to hand down as a list, values by name
---@return table<string, string>
function M.environment(env)
  local result = {}
  for _, name in ipairs(INHERITED) do result[name] = os.getenv(name) end
  for name, value in pairs(env or {}) do
    if type(name) == "number" then result[value] = os.getenv(value) else result[name] = value end
  end
  return result
end

-- Exchanges -----------------------------------------------------------------------------------------

-- One request that waits for its answer. Closing it, however that comes, tells the server that nobody waits any more.
local Pending = {}
Pending.__index = Pending

local function ring(entry)
  local waiter = entry.waiter
  entry.waiter = nil
  if waiter then waiter:wake(true) end
end

function Pending:__close()
  local owner = self.owner
  owner.pending[self.id] = nil
  self.is_withdrawn = true
  if self.is_sent and not self.answer and not self.is_quiet and not owner.ended then
    owner:post(messages.cancelled(self.id, "nobody waits for the answer any more"))
  end
end

local function refuse_ended(self)
  return nil, self.ended.message, self.ended.code
end

local function late(self, what, seconds)
  return nil, ("%s: no answer to %s within %s"):format(self.label, what, messages.seconds(seconds)), "timeout"
end

local function submit(self, entry, deadline)
  local sent, _, code = self.requests:send(entry, deadline and math.max(0, deadline - native.now()))
  if sent then return true end
  if self.ended then return refuse_ended(self) end
  return nil, nil, code
end

local function next_message(entry)
  if entry.progress then
    local message = entry.progress
    entry.progress = nil
    return message
  end
  return table.remove(entry.inbox, 1)
end

-- What a person needs for an answer does not count.
local function await(self, entry, deadline, on_message)
  while true do
    local message = next_message(entry)
    if message then
      local seconds = on_message(message)
      if deadline and seconds then deadline = deadline + seconds end
    elseif entry.answer then
      return entry.answer
    elseif self.ended then
      return refuse_ended(self)
    else
      local left = deadline and deadline - native.now()
      if left and left <= 0 then return nil, nil, "timeout" end
      entry.waiter = native.waiter()
      entry.waiter:wait(entry.what, left)
    end
  end
end

---@class weir.mcp.Exchange
---@field timeout number|nil   seconds; what `on_message` says that a person took does not count
---@field on_message (fun(message: table): number|nil)|nil what belongs to this request; called by the task that asks, may wait
---@field takes_questions boolean|nil the server may ask something back
---@field is_quiet boolean|nil the server is not told when nobody waits for the answer any more
---@field headers table|nil    of HTTP only

--- Sends a request and waits for its answer.
---@param message table with an `id` of its own
---@param options weir.mcp.Exchange
---@return table|nil answer the whole message, with `result` or `error`
---@return string|nil message
---@return string|nil code `timeout`, `unavailable`, `limit`, `invalid`, `failed`
function Stdio:exchange(message, options)
  if self.ended then return refuse_ended(self) end
  local line, why, what = json.encode(message, { max_bytes = messages.BYTES })
  if not line then return nil, ("%s: %s cannot be sent: %s"):format(self.label, message.method, why), what end
  local deadline = options.timeout and native.now() + options.timeout
  local entry <close> = setmetatable({ owner = self, id = message.id, line = line .. "\n", inbox = {}, what = self.label,
    takes_questions = options.takes_questions, is_quiet = options.is_quiet }, Pending)
  self.pending[message.id] = entry
  local answer, text, code = submit(self, entry, deadline)
  if answer then answer, text, code = await(self, entry, deadline, options.on_message or function() end) end
  if answer then
    if answer.unreadable then return nil, answer.unreadable, answer.code end
    return answer
  end
  if code == "timeout" then return late(self, message.method, options.timeout) end
  return nil, text, code
end

--- Sends a notification, or an answer to the server, when there is room. Does not wait.
---@param message table
---@return boolean
function Stdio:post(message)
  local line = json.encode(message, { max_bytes = messages.BYTES })
  return line ~= nil and self.posts:try_send(line .. "\n") == true
end

--- The same: what is written first is read first.
Stdio.send = Stdio.post

-- What comes ----------------------------------------------------------------------------------------

local function give(entry, message, most)
  if #entry.inbox >= most then return false end
  entry.inbox[#entry.inbox + 1] = message
  ring(entry)
  return true
end

-- A question does not say which call it belongs to: it can be told only while one call may ask.
local function asked(self)
  local found
  for _, entry in pairs(self.pending) do
    if entry.takes_questions then
      if found then return nil end
      found = entry
    end
  end
  return found
end

local function of_request(self, message)
  local entry = message.method == "elicitation/create" and asked(self)
  if entry and give(entry, message, QUESTIONS) then return end
  self.handlers.on_message(message)
end

local function of_notification(self, message)
  local params = messages.object(message.params)
  if message.method == "notifications/progress" then
    local entry = self.pending[messages.own_id(params.progressToken)]
    if entry then
      entry.progress = message -- the latest is enough
      ring(entry)
    end
    return
  end
  local subscription = messages.object(params._meta)["io.modelcontextprotocol/subscriptionId"]
  local entry = self.pending[messages.own_id(subscription)]
  if entry then give(entry, message, NOTES) else self.handlers.on_message(message) end
end

local function of_response(self, message)
  local entry = self.pending[messages.own_id(message.id)]
  if not entry or entry.answer then
    self.strays = self.strays + 1
    self.log:debug("mcp: an answer that nobody waits for", { server = self.name })
    return
  end
  entry.answer = message
  ring(entry)
end

local HANDLERS = { request = of_request, notification = of_notification, response = of_response }

local function note_garbage(self, line, why)
  self.garbage = self.garbage + 1
  if self.garbage > GARBAGE then return end
  self.log:warn("mcp: a line of a server's output is no message", { server = self.name, line = visible.head(line, 200), error = why })
end

-- An answer that cannot be used is told to the one who waits for it, if it can be told who that is.
local function spoil(self, head, tail, why, code)
  local entry = self.pending[lines_of.id_of(head, tail)]
  if not entry then return false end
  entry.answer = { unreadable = ("%s: %s"):format(self.label, why), code = code }
  ring(entry)
  return true
end

local function on_line(self, line)
  local list, why = messages.decode(line)
  if list then
    for _, message in ipairs(list) do HANDLERS[messages.kind(message)](self, message) end
  elseif not spoil(self, line:sub(1, 512), line:sub(-512), "its answer cannot be read: " .. why, "failed") then
    note_garbage(self, line, why)
  end
end

-- Running -------------------------------------------------------------------------------------------

-- Ends every exchange. Does not wait.
local function fail(self, message, code)
  if self.ended then return end
  self.ended = { message = message, code = code }
  self.requests:close(message)
  self.posts:close(message)
  for _, entry in pairs(self.pending) do ring(entry) end
  self.handlers.on_end(message, code)
end

local function on_long(self, head, tail)
  local why = ("a line of its output has more than %d bytes"):format(messages.BYTES)
  if spoil(self, head, tail, why, "limit") then return end
  fail(self, ("%s: %s, and nobody can tell what it answers"):format(self.label, why), "limit")
end

local function how_it_ended(self)
  local status = self.child:wait(EXIT_SECONDS)
  if status then self.tasks[2]:join(EXIT_SECONDS) end -- until its last words are read
  local text = "has closed its output"
  if status then
    text = status.signal and ("was ended by signal %d"):format(status.signal) or ("has ended with status %d"):format(status.status)
  end
  local last = self.last_words and ("; its last words: %s"):format(visible.plain(visible.head(self.last_words, 300))) or ""
  return ("%s %s%s"):format(self.label, text, last)
end

local function read(self)
  local lines = lines_of.new(messages.BYTES, function(line) on_line(self, line) end,
    function(head, tail) on_long(self, head, tail) end)
  for piece in function() return self.child.stdout:recv() end do
    lines:feed(piece)
    if self.ended then return end
  end
  lines:close()
  fail(self, how_it_ended(self), "unavailable")
end

local function read_errors(self)
  local function say(line)
    self.last_words = line
    self.log:debug("mcp: a server says", { server = self.name, line = line })
  end
  local lines = lines_of.new(STDERR_BYTES, say, say)
  for piece in function() return self.child.stderr:recv() end do lines:feed(piece) end
  lines:close()
end

local function write(self)
  while true do
    local _, item = channel.select { self.posts, self.requests }
    if item == nil then return end
    local line = item
    if type(item) == "table" then
      line, item.is_sent = item.line, not item.is_withdrawn
      if item.is_withdrawn then line = "" end
    end
    if line ~= "" and not self.child.stdin:write(line) then
      native.sleep(EXIT_SECONDS) -- how it ended tells more
      return fail(self, self.label .. ": does not read its input any more", "unavailable")
    end
  end
end

-- A task of the connection; what it raises ends the connection, and nothing else.
local function start(self, name, body)
  return native.start({ name = name }, function()
    local ok, err = pcall(body, self)
    if ok then return end
    native.recover()
    local failure = require("weir.failure").of(err)
    fail(self, ("%s: %s"):format(self.label, failure.message), failure.code)
  end)
end

-- Opening and closing -------------------------------------------------------------------------------

local function start_guard(self)
  local guard, message = process.start({ "/bin/sh", "-c", GUARD, "weir-mcp-guard", ("%d"):format(self.child.pid) },
    { pipe = true, env = {} })
  if not guard then self.log:warn("mcp: no guard for a server", { server = self.name, error = message }) end
  return guard
end

--- Starts a server. Does not wait for it. It ends with the scope that is open now, if it is not closed before.
---@param settings { command: string[], env: table|nil, cwd: string|nil }
---@param handlers { on_message: fun(message: table), on_end: fun(message: string, code: string) } called by tasks of the
---   connection; do not wait. on_message: what belongs to no request
---@param about { name: string, label: string, log: weir.Log }
---@return weir.mcp.Transport|nil
---@return string|nil message
---@return string|nil code `not_found`, `denied`, `limit`, `unavailable`, `failed`
function M.open(settings, handlers, about)
  local child, message, code = process.start(settings.command, { pipe = true, env = M.environment(settings.env), cwd = settings.cwd })
  if not child then return nil, ("%s: %s"):format(about.label, message), code end
  local self = setmetatable({ child = child, handlers = handlers, name = about.name, label = about.label, log = about.log,
    pending = {}, requests = channel.new(REQUESTS), posts = channel.new(POSTS), strays = 0, garbage = 0 }, Stdio)
  self.guard = start_guard(self)
  self.deferred = native.defer(function() self:close() end)
  self.tasks = { start(self, "mcp read", read), start(self, "mcp stderr", read_errors), start(self, "mcp write", write) }
  return self
end

local function end_child(_, self)
  self.child.stdin:close()
  self.child:wait(EOF_SECONDS)
  self.child:close()
  if self.guard then self.guard:close() end
  for _, running in ipairs(self.tasks) do
    running:cancel "the connection is closed"
    running:join()
  end
end

--- Ends the server and waits until it has ended, a few seconds at most. Safe twice.
function Stdio:close()
  if self.is_closed then return end
  self.is_closed = true
  fail(self, self.label .. " was closed", "closed")
  self.deferred:release()
  if native.can_wait() then
    task.within({ shield = true, timeout = CLOSE_SECONDS }, end_child, self)
  else
    self.child:close()
    if self.guard then self.guard:close() end
  end
end

Stdio.__close = Stdio.close

return M
