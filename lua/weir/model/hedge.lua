--- Hedging: a second call when the first one is late. The first that has something to say wins, the other is cancelled,
--- with all that belongs to it.
---
--- Source: hedged requests, Dean and Barroso, "The Tail at Scale", Communications of the ACM 56(2), 2013: a second request
--- after the 95th percentile of the expected time costs a few percent more calls and cuts the tail.

local channel = require "weir.channel"
local native = require "weir.native.scheduler"
local task = require "weir.task"

local M = {}

--- Why the slower one is cancelled.
M.faster = "another model was faster"

local Race = {}
Race.__index = Race

local function cancel_other(self, index)
  local other = self.scopes[3 - index]
  if other then other:cancel(M.faster) end
end

-- Whether this one goes on: it is the first that has something to say.
local function claim(self, index)
  if self.winner then return self.winner == index end
  self.winner = index
  self.events:try_send(index)
  cancel_other(self, index)
  return true
end

local function start(self, index, body)
  self.running = self.running + 1
  task.start({ name = "call of a model", scope = self.scope }, function()
    local results = table.pack(task.within({}, function(scope)
      self.scopes[index] = scope
      return body(function() return claim(self, index) end)
    end))
    self.scopes[index] = nil
    self.results[index], self.running = results, self.running - 1
    self.events:try_send(index)
  end)
end

-- Late: neither a first word nor an end within the time.
local function is_late(self, seconds)
  return self.events:recv(seconds) == nil and not self.winner and self.running > 0
end

local function run(self, seconds, first, second)
  start(self, 1, first)
  if is_late(self, seconds) then
    local body = second()
    if body and self.running > 0 then
      self.hedged = true
      start(self, 2, body)
    end
  end
  while self.running > 0 and not (self.winner and self.results[self.winner]) do self.events:recv() end
end

---@class weir.RaceResult
---@field winner integer|nil  1 or 2: who had something to say first; nil: nobody
---@field hedged boolean
---@field results table<integer, table> of each that ran: packed, ok first, then what it returned, or the error it raised

--- Calls `first`, and `second` too when the first has not claimed within `seconds`. Each is given a function to be called
--- when it has something to say: true, it goes on; false, the other was faster, and it is being cancelled. When this
--- returns, both have ended, and whatever they started. Waits; raises when it is cancelled itself.
---@param seconds number
---@param first fun(claim: fun(): boolean): ...
---@param second fun(): (fun(claim: fun(): boolean): ...)|nil asked when the first is late; nil: there is no second
---@return weir.RaceResult
function M.race(seconds, first, second)
  local self = setmetatable({ scopes = {}, results = {}, running = 0, hedged = false, events = channel.new(8) }, Race)
  local ok, err = task.within({}, function(scope)
    self.scope = scope
    run(self, math.max(0, seconds), first, second)
  end)
  if not ok then error(err, 0) end
  native.check()
  return { winner = self.winner, hedged = self.hedged, results = self.results }
end

return M
