--- What one who looks at a run is sent: first what its streams have given out so far, then what comes, at a pace of its own.
---
--- A stream is shown as events `items` ({step, from, items}: these take the place of whatever there was from `from` on),
--- `item` ({step, n, item}) and `rewind` ({step, items}: so many hold). Whoever comes late, comes back, or was too slow
--- for the feed is sent all of the open streams once more, so that nothing is missing and nothing is there twice. With a
--- rate, items that come faster wait and are sent together; nothing is dropped.

local clock = require "weir.port.clock"
local json = require "weir.native.json"
local stream = require "weir.run.stream"
local value_of = require "weir.value"

local M = {}

local OF_STREAMS = { item = true, rewind = true }
local TOGETHER = 1000 -- items that wait at most

---@class weir.Subscription
---@field follower weir.Follower
---@field run_of fun(): weir.Run|nil
---@field interval number|false  seconds between two events with items
local Subscription = {}
Subscription.__index = Subscription

-- All that the streams have given out. Events of streams that the feed has already are in it.
local function add_history(self)
  self.since = self.follower.feed.latest
  local run = self.run_of()
  for _, one in ipairs(run and stream.of_run(run) or {}) do
    if one.told_as and one.count > 0 and not one.forgets then
      self.queue[#self.queue + 1] = { kind = "items", data = { run = run.id, pipeline = run.plan.name, step = one.told_as, from = 1,
        items = value_of.copy(one:given()) } }
    end
  end
  table.sort(self.queue, function(a, b) return a.data.step < b.data.step end)
end

--- What is sent of a run from now on.
---@param follower weir.Follower of the run
---@param options { run_of: fun(): weir.Run|nil, rate: number|nil } run_of: the run, if it is at work here; rate: events with
---  items a second
---@return weir.Subscription
function M.new(follower, options)
  local self = setmetatable({ follower = follower, run_of = options.run_of, interval = options.rate and 1 / options.rate or false,
    queue = {}, waiting = {}, due = 0, since = 0 }, Subscription)
  add_history(self)
  return self
end

-- Items that wait, as events: one for each step.
local function flush(self)
  for _, one in ipairs(self.waiting) do self.queue[#self.queue + 1] = one end
  if #self.waiting > 0 then self.due = clock.now() + self.interval end
  self.waiting = {}
end

local function waiting_of(self, step)
  for _, one in ipairs(self.waiting) do
    if one.data.step == step then return one end
  end
end

local function add_item(self, event)
  local data = event.data
  local one = waiting_of(self, data.step)
  if not one then
    one = { kind = "items", data = { run = data.run, pipeline = data.pipeline, step = data.step, from = data.n,
      items = json.list {} } }
    table.insert(self.waiting, one)
  end
  one.id = event.id
  one.data.items[#one.data.items + 1] = data.item
  if #one.data.items >= TOGETHER then flush(self) end
end

-- What waits and is taken back is not sent at all.
local function take_back(self, event)
  for index = #self.waiting, 1, -1 do
    local data = self.waiting[index].data
    if data.step == event.data.step then
      for at = #data.items, math.max(0, event.data.items - data.from + 1) + 1, -1 do data.items[at] = nil end
      if #data.items == 0 then table.remove(self.waiting, index) end
    end
  end
end

-- The number of an event that the feed has already.
local function number_of(event)
  return math.tointeger(tonumber(event.id:match "%-(%d+)$"))
end

-- The event if it is to be sent now.
local function pass(self, event)
  if OF_STREAMS[event.kind] and number_of(event) <= self.since then return nil end
  if not self.interval then return event end
  if event.kind ~= "item" then
    if event.kind == "rewind" then take_back(self, event) end
    flush(self)
    self.queue[#self.queue + 1] = event
    return nil
  end
  if #self.waiting == 0 and clock.now() >= self.due then
    self.due = clock.now() + self.interval
    return event
  end
  add_item(self, event)
end

--- The next event. Waits.
---@param timeout number|nil seconds
---@return weir.FeedEvent|nil
---@return string|nil why as `Follower:next`
---@return string|nil id
function Subscription:next(timeout)
  local deadline = timeout and clock.now() + timeout
  while true do
    if #self.queue > 0 then return table.remove(self.queue, 1) end
    local now = clock.now()
    local left = deadline and deadline - now
    local pause = #self.waiting > 0 and math.max(0, self.due - now) or nil
    local event, why, id = self.follower:next(pause and math.min(pause, left or pause) or left)
    if event then
      event = pass(self, event)
      if event then return event end
    elseif why == "gap" then
      self.waiting = {}
      add_history(self)
      return nil, why, id
    elseif why == "timeout" and #self.waiting > 0 and clock.now() >= self.due then
      flush(self)
    else
      return nil, why, id
    end
  end
end

--- Ends it. Safe twice. Does not wait.
function Subscription:close()
  self.follower:close()
end

return M
