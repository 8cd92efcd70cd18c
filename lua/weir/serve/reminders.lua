--- The part of a host that looks after questions while nobody decides them: it waits for the next moment of any of their
--- ladders, and has it happen. What came while no host lived happens when one starts.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local native = require "weir.native.scheduler"
local task = require "weir.task"
local tend = require "weir.approval.tend"

local M = {}

local LOOK_S = 15 -- how long a clock that was set may go unnoticed
local AGAIN_S = 5 -- after a failure

---@class weir.Reminders
---@field host weir.Host
local Reminders = {}
Reminders.__index = Reminders

local function tell(self, record, one)
  local data = { approval = record.id, run = record.run, pipeline = record.pipeline, step = record.step, kind = one.kind,
    number = one.number, missed = one.missed, nominal = clock.rfc3339(one.nominal_ms), who = record.who }
  self.host.log:info("approval " .. one.kind, data)
  self.host.feed:publish("approval", data)
end

--- Has it look now: something was asked. Does not wait.
function Reminders:nudge()
  self.is_nudged = true
  if self.waiter then self.waiter:wake() end
end

local function rest(self)
  if self.is_nudged then return end
  local next_ms = tend.next_ms(self.host.store)
  self.waiter = native.waiter()
  self.waiter:wait("the next moment of a question", next_ms and math.min(math.max(0.001, (next_ms - clock.wall_ms()) / 1000), LOOK_S))
  self.waiter = nil
end

local function serve(_, self)
  while true do
    self.is_nudged = false
    local ok, err = pcall(tend.all, self.host.events, clock.wall_ms(), function(record, one) tell(self, record, one) end)
    if not ok then
      native.recover()
      native.check()
      self.host.log:error("questions could not be looked after", { error = failure.of(err).message })
      clock.sleep(AGAIN_S)
    else
      rest(self)
    end
  end
end

--- Starts it. Does not wait; the first look is at once.
---@param host weir.Host
---@return weir.Reminders
function M.start(host)
  local self = setmetatable({ host = host }, Reminders)
  host.engine.on_asked = function() self:nudge() end
  self.task = task.serve(serve, self)
  return self
end

--- Ends it. Waits.
function Reminders:close()
  self.host.engine.on_asked = nil
  self.task:cancel "the host stops"
  self.task:join()
end

return M
