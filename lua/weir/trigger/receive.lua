--- How a source takes what comes in from outside: first what the log has behind its offset, then whatever comes, in the
--- transaction that takes it in. Between the two nothing is missed and nothing comes twice: whoever takes something in at
--- that moment waits until what came before has been given.

local context = require "weir.trigger.context"
local failure = require "weir.failure"
local gate = require "weir.gate"
local log = require "weir.event.log"
local native = require "weir.native.scheduler"
local task = require "weir.task"

local M = {}

local PAGE = 100

local FROM_OUTSIDE = { api = true, hook = true, cli = true, run = true, approval = true }

---@class weir.Receiver : weir.Subscriber
local Receiver = {}
Receiver.__index = Receiver

--- Whether an event is for this source. Does not wait.
function Receiver:wants(event, from)
  local match = self.match
  if not FROM_OUTSIDE[from] then return false end
  if match.hook and (from ~= "hook" or event.source ~= "/hooks/" .. match.hook) then return false end
  if match.type and not log.is_of_type(match.type, event.type) then return false end
  return not match.source or log.is_of_type(match.source, event.source)
end

-- The offset of the source moves with the event, also when it is left out.
function Receiver:plan(operations, event, offset)
  local source = self.source
  local outcome, made = "filtered", event
  if self.transform then
    local ok, result = pcall(native.atomic, self.transform, require("weir.value").copy(event))
    if not ok then
      native.recover()
      source.host.log:warn("a watcher failed over an event, which is left out", { source = source.rules.id, event = event.id,
        error = failure.of(result).message })
      outcome = "failed"
    end
    made = ok and result or nil
  end
  if made then
    local result, line = source:plan(operations, made, offset)
    if not result then return nil, line end
    outcome = result
  end
  source.offset = offset
  operations[#operations + 1] = context.memory_operation(source)
  return outcome
end

function Receiver:done(outcome) self.source:done(outcome) end

-- Gives a page of what came before. Gives who is full when there is no room.
local function give(self, entries)
  local source = self.source
  for _, entry in ipairs(entries) do
    if self:wants(entry.event, entry.from) then
      while true do
        local operations, before = {}, source.offset
        local outcome, line = native.atomic(self.plan, self, operations, entry.event, entry.offset)
        if not outcome then return line end
        local done, message, code = source.host.store:batch(operations)
        if done then
          source:done(outcome)
          break
        end
        source.offset = before
        if code ~= "conflict" then failure.raise(code or "failed", "%s", message) end
      end
    end
    source.offset = entry.offset
  end
end

-- What came before, to the end of the log.
local function catch_up(self)
  while true do
    local entries, more = log.page(self.source.host.store, { after = self.source.offset, limit = PAGE })
    local line = give(self, entries)
    if line then return line end
    if not more then return nil end
  end
end

local function open_gate(self)
  local closed = self.gate
  self.gate = nil
  if closed then closed:open() end
end

-- From now on whatever is taken in is given at once, but not before what was under way is.
local function go_live(self, subscribers)
  self.gate = gate.new()
  subscribers[self] = true
  self.source.host.store:sync()
  local line = catch_up(self)
  if line then subscribers[self] = nil end
  open_gate(self)
  return line
end

--- Receives until the task is cancelled. Waits.
---@param source weir.Source
---@param match table
---@param transform function|nil
---@param beside function|nil
function M.run(source, match, transform, beside)
  local intake = source.host.events
  local self = setmetatable({ source = source, match = match, transform = transform }, Receiver)
  local _ <close> = setmetatable({}, { __close = function()
    intake.subscribers[self] = nil
    open_gate(self)
  end })
  while true do
    local line = catch_up(self) or go_live(self, intake.subscribers)
    if not line then break end
    line:await_room()
  end
  if beside then task.spawn(beside) end
  native.waiter():wait "events"
end

return M
