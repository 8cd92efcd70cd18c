--- Runs code that nobody vouches for in a process of its own, `weir_sandbox` (host/sandbox.c): an environment made from
--- nothing, no file, no network, no other process, limits on time, memory and what it may say. What it is granted besides it
--- asks for over its pipe, and is done here, by functions that whoever starts it hands over.
---
--- Frames: u32 size, little endian, then one value in MessagePack. What comes out of the process is data of a stranger: it
--- is bounded before it is read, and its end does not depend on its good will.

local failure = require "weir.failure"
local json = require "weir.native.json"
local paths = require "weir.paths"
local process = require "weir.port.process"
local scheduler = require "weir.native.scheduler"
local store = require "weir.port.store"

local M = {}

local FRAME = "<I4"
local FRAME_BYTES = 1 << 20  -- of one frame
M.SOURCE_BYTES = 256 << 10   -- of a source
local PATIENCE = 1           -- seconds for a process that has answered to end

--- What a job may use unless it is told otherwise.
M.limits = {
  seconds = 30,               -- from its start to its answer
  cpu_seconds = 10,           -- of processor time, whole ones
  memory_bytes = 256 << 20,   -- of address space
  output_bytes = 10 << 20,    -- of all that it says
  calls = 1000,               -- of what it was granted
}

---@class weir.SandboxLimits
---@field seconds number? without those that what it was granted takes
---@field calls integer?
---@field cpu_seconds integer? 1..3600
---@field memory_bytes integer? from 32 MiB
---@field output_bytes integer?

---@class weir.SandboxJob
---@field source string   Lua, at most 256 KiB, never bytecode
---@field name string     for messages: `NAME.lua:3: ...`
---@field entry string?   the function of the table that the source gives; default `execute`
---@field input any       plain data, its first argument's `input` and its second argument
---@field options table?  plain data
---@field grants table<string, fun(argument: any): any, string?, string?>? methods of its `ctx` that are done here; each gives a
---   value, or nil, message, code
---@field seed integer?   of `math.random`
---@field limits weir.SandboxLimits?
---@field on_log nil|fun(level: string, text: string) what it printed and logged
---@field on_item nil|fun(value: any) what it emitted; may wait

---@class weir.SandboxResult
---@field output any      json.null when it returned nothing
---@field landlock integer version of Landlock's interface that holds it in
---@field refused integer  system calls that it tried before it began, and was refused

-- Frames ----------------------------------------------------------------------------------------------

local function encode_frame(value)
  local bytes, message, code = store.encode(value)
  if not bytes then return nil, message, code end
  if #bytes > FRAME_BYTES then return nil, ("a message of %d bytes; a frame holds %d"):format(#bytes, FRAME_BYTES), "limit" end
  return FRAME:pack(#bytes) .. bytes
end

---@class weir.SandboxReader bytes of the process that were not read yet
local Reader = {}
Reader.__index = Reader

local function refuse_frame(self, message, ...)
  return nil, ("%s: %s"):format(self.label, message:format(...)), "limit"
end

-- One more piece of what the process says.
local function fill(self)
  local left = self.deadline - scheduler.now()
  local piece, _, code
  if left > 0 then piece, _, code = self.output:recv(left) end
  if piece then
    self.total = self.total + #piece
    if self.total > self.most then return refuse_frame(self, "it has said more than %d bytes and was stopped", self.most) end
    self.bytes = self.bytes .. piece
    return true
  end
  if left <= 0 or code == "timeout" then
    return nil, ("%s: it gave no answer within %g seconds and was stopped"):format(self.label, self.seconds), "timeout"
  end
  return nil, nil, "closed"
end

local function await_bytes(self, count)
  while #self.bytes < count do
    local ok, message, code = fill(self)
    if not ok then return nil, message, code end
  end
  return true
end

--- The next frame. Waits. Nil, nil, "closed" at the end.
function Reader:next()
  local ok, message, code = await_bytes(self, 4)
  if not ok then return nil, message, code end
  local size = FRAME:unpack(self.bytes)
  if size > FRAME_BYTES then return refuse_frame(self, "a frame of %d bytes; %d is the most", size, FRAME_BYTES) end
  ok, message, code = await_bytes(self, 4 + size)
  if not ok then return nil, message, code end
  local value = store.decode(self.bytes:sub(5, 4 + size))
  self.bytes = self.bytes:sub(5 + size)
  if type(value) ~= "table" or type(value[1]) ~= "string" then
    return nil, self.label .. ": what it says cannot be read", "corrupt"
  end
  return value
end

-- The process -----------------------------------------------------------------------------------------

local SIGNALS = { [4] = "illegal instruction", [6] = "abort", [7] = "bus error", [8] = "arithmetic error", [11] = "segmentation fault" }

-- Why a process has ended without an answer.
local function explain_end(child, label, limits)
  local ended = child:wait(PATIENCE)
  local signal = ended and ended.signal
  if signal == 24 or signal == 9 then
    return nil, ("%s: it used more than %d seconds of processor time and was stopped"):format(label, limits.cpu_seconds), "limit"
  elseif signal == 31 then
    return nil, label .. ": it made a system call that a sandbox does not have, and was stopped", "denied"
  elseif signal then
    return nil, ("%s: it crashed (%s)"):format(label, SIGNALS[signal] or ("signal %d"):format(signal)), "failed"
  elseif ended and ended.status == 70 then
    return nil, label .. ": it ran out of memory", "limit"
  end
  local why = child.stderr:try_recv()
  return nil, ("%s: it ended without an answer%s"):format(label, why and ": " .. why:sub(1, 200):gsub("%s+$", "") or ""), "failed"
end

local function start(job, limits, label)
  local program = paths.natives .. "/weir_sandbox"
  local child, message, code = process.start({ program, ("%d"):format(limits.cpu_seconds), ("%d"):format(limits.memory_bytes) },
    { pipe = true, env = {} })
  if child then return child end
  return nil, ("%s: %s; build the target 'weir_sandbox'"):format(label, message), code == "not_found" and "unavailable" or code, job
end

local function refusal(label, wall)
  return nil, ("%s: this system cannot hold it in: %s; code that nobody vouches for runs only where all of Landlock, seccomp and the "
    .. "limits of processes work"):format(label, wall), "unavailable"
end

local function check_job(job)
  if type(job.source) ~= "string" or type(job.name) ~= "string" then error("job: source and name must be strings", 3) end
end

local function refuse_source(job)
  if #job.source > M.SOURCE_BYTES then
    return ("'%s': a source of %d bytes; %d is the most"):format(job.name, #job.source, M.SOURCE_BYTES), "limit"
  end
  if job.source:byte(1) == 0x1b then return ("'%s': its source is bytecode; only text is run"):format(job.name), "denied" end
end

local function limits_of(job)
  return setmetatable(job.limits or {}, { __index = M.limits })
end

-- What the host does for it ---------------------------------------------------------------------------

local function names_of(grants)
  local names = {}
  for name in pairs(grants or {}) do names[#names + 1] = name end
  table.sort(names)
  return json.list(names)
end

local function serve(grants, name, argument)
  local grant = grants and grants[name]
  if not grant then return nil, ("'%s' was not granted"):format(name), "denied" end
  local ok, value, message, code = pcall(grant, argument)
  if not ok then
    local err = failure.of(value)
    if err.code == "cancelled" then error(value, 0) end
    return nil, err.message, err.code
  end
  return value, message, code
end

local function answer(job, child, frame)
  local value, message, code = serve(job.grants, tostring(frame[2]), frame[3])
  local reply
  if value == nil and message ~= nil then reply = { false, tostring(message), code or "failed" }
  else reply = { true, value == nil and json.null or value } end
  local bytes, why, what = encode_frame(json.list(reply))
  if not bytes then bytes = encode_frame(json.list { false, why, what }) end
  child.stdin:write(bytes)
end

local ON = {}

function ON.log(job, _, frame)
  if job.on_log then job.on_log(tostring(frame[2]), tostring(frame[3])) end
end

function ON.item(job, _, frame)
  if job.on_item then job.on_item(frame[2]) end
end

-- What the host does for it is not its own time.
function ON.call(job, child, frame, reader)
  local began = scheduler.now()
  reader.calls = reader.calls + 1
  answer(job, child, frame)
  reader.deadline = reader.deadline + scheduler.now() - began
end

local OURS = { cancelled = true, corrupt = true } -- codes by which the host acts on its own account

local function code_of(code) return failure.codes[code] and not OURS[code] and code or "failed" end

-- Reads until there is an answer.
local function converse(job, child, reader, limits)
  local ready
  while true do
    local frame, message, code = reader:next()
    if not frame then
      if code == "closed" then return explain_end(child, reader.label, limits) end
      return nil, message, code
    end
    local kind = frame[1]
    if kind == "refused" then return refusal(reader.label, tostring(frame[2])) end
    if kind == "ready" then ready = frame
    elseif not ready then return nil, reader.label .. ": it spoke before it had shown that it is held in", "denied"
    elseif kind == "done" then return { output = frame[2], landlock = ready[2], refused = ready[3] }
    elseif kind == "failed" then return nil, tostring(frame[3]), code_of(frame[2])
    elseif kind == "call" and reader.calls >= limits.calls then
      return nil, ("%s: it has asked for more than %d things and was stopped"):format(reader.label, limits.calls), "limit"
    elseif ON[kind] then ON[kind](job, child, frame, reader)
    else return nil, ("%s: it said '%s', which means nothing"):format(reader.label, kind:sub(1, 40)), "corrupt" end
  end
end

local function open_reader(child, label, limits)
  return setmetatable({ output = child.stdout, label = label, bytes = "", total = 0, calls = 0, most = limits.output_bytes,
    seconds = limits.seconds, deadline = scheduler.now() + limits.seconds }, Reader)
end

local function perform(job, kind)
  check_job(job)
  local message, code = refuse_source(job)
  if message then return nil, message, code end
  local limits, label = limits_of(job), ("sandbox '%s'"):format(job.name)
  local order
  order, message, code = encode_frame { kind = kind, source = job.source, name = "@" .. job.name .. ".lua", entry = job.entry or "execute",
    input = job.input == nil and json.null or job.input, options = job.options or {}, grants = names_of(job.grants), seed = job.seed or 1 }
  if not order then return nil, ("%s: %s"):format(label, message), code end
  local child <close>, why, what = start(job, limits, label)
  if not child then return nil, why, what end
  child.stdin:write(order)
  local result
  result, message, code = converse(job, child, open_reader(child, label, limits), limits)
  if not result then return nil, message, code end
  child:wait(PATIENCE)
  return result
end

--- Runs a source in a process of its own: what it gives is a table, whose function `entry` is called with `ctx` and the input.
--- `ctx` has `input`, `options`, `log(level, text)`, `emit(value)` and what was granted. Waits; ends with the task.
---@param job weir.SandboxJob
---@return weir.SandboxResult?
---@return string? message
---@return string? code `invalid` (it does not parse, its output is no plain data), `failed` (it raised, it crashed), `limit` (time of the
---   processor, memory, size), `timeout`, `denied` (bytecode, a system call), `corrupt` (what it says), `unavailable` (the system
---   cannot hold it in), and every code that it gives itself
function M.run(job) return perform(job, "run") end

--- Parses a source in a process of its own; nothing of it is called. Waits.
---@param source string
---@param name string
---@return true?
---@return string? message
---@return string? code as `run`
function M.check(source, name)
  local result, message, code = perform({ source = source, name = name }, "check")
  return result and true, message, code
end

return M
