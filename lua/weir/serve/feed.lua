--- The live events of a host: the latest ones in a ring, each with an id, and those who follow them.
---
--- An id is "LIFE-N": the moment in which the host began, in base 36, and how many events came before. So a follower
--- that comes back with the id of another life, or of an event that has left the ring, is told of the gap instead of
--- missing events in silence. Nothing here is kept: the record of a run is its journal.

local clock = require "weir.port.clock"
local log = require "weir.log"
local native = require "weir.native.scheduler"

local M = {}

local CAPACITY = 4096 -- events

local DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"

local function base36(number)
  local text = ""
  repeat
    local digit = number % 36 + 1
    text, number = DIGITS:sub(digit, digit) .. text, number // 36
  until number == 0
  return text
end

---@class weir.Feed
---@field life string    of the ids
---@field latest integer number of the latest event; 0: none yet
---@field capacity integer
local Feed = {}
Feed.__index = Feed

---@class weir.FeedEvent
---@field id string
---@field kind string
---@field data any

---@class weir.Follower
local Follower = {}
Follower.__index = Follower

local function id_of(self, number)
  return ("%s-%d"):format(self.life, number)
end

local function fits(follower, kind, run)
  return (not follower.kinds or follower.kinds[kind]) and (not follower.run or follower.run == run)
end

--- Publishes an event. Does not wait; a follower that is too slow misses events and is told so.
---@param kind string
---@param data table plain data; `run` is the id of the run that it is about. Belongs to the feed from now on
---@return string id
function Feed:publish(kind, data)
  local number = self.latest + 1
  self.latest = number
  self.ring[number % self.capacity] = { number = number, kind = kind, data = data }
  for follower in pairs(self.idle) do
    if fits(follower, kind, data.run) then
      self.idle[follower] = nil
      follower.waiter:wake()
    else
      follower.position = number -- nothing of this is for it: it has missed nothing
    end
  end
  return id_of(self, number)
end

--- The id of the latest event. What is followed from it on is what comes next.
---@return string
function Feed:latest_id()
  return id_of(self, self.latest)
end

-- Where to begin; the second value says that something was missed.
local function position_of(self, after)
  if after == nil then return self.latest, false end
  local life, digits = tostring(after):match "^(%w+)%-(%d+)$"
  local number = math.tointeger(tonumber(digits))
  local oldest = math.max(0, self.latest - self.capacity)
  if life ~= self.life or not number or number > self.latest or number < oldest then return oldest, true end
  return number, false
end

--- Follows the events. Does not wait.
---@param query { after: string|nil, run: string|nil, kinds: string[]|nil }|nil after: the id of the last event that was seen;
---   nil: from now on
---@return weir.Follower
function Feed:follow(query)
  query = query or {}
  local kinds
  for _, kind in ipairs(query.kinds or {}) do
    kinds = kinds or {}
    kinds[kind] = true
  end
  local position, has_gap = position_of(self, query.after)
  if query.run then self.followed[query.run] = (self.followed[query.run] or 0) + 1 end
  return setmetatable({ feed = self, position = position, has_gap = has_gap, run = query.run, kinds = kinds }, Follower)
end

local function gap(self)
  local feed = self.feed
  local oldest = math.max(0, feed.latest - feed.capacity)
  if self.position < oldest then self.position, self.has_gap = oldest, true end
  if not self.has_gap then return nil end
  self.has_gap = false
  return id_of(feed, self.position)
end

local function next_there(self)
  local feed = self.feed
  while self.position < feed.latest do
    self.position = self.position + 1
    local event = feed.ring[self.position % feed.capacity]
    if fits(self, event.kind, event.data.run) then
      return { id = id_of(feed, event.number), kind = event.kind, data = event.data }
    end
  end
end

--- The next event. Waits.
---@param timeout number|nil seconds
---@return weir.FeedEvent|nil
---@return string|nil why "gap": events were missed, and what comes now is what came after the id; "timeout"; "closed"
---@return string|nil id
function Follower:next(timeout)
  local deadline = timeout and clock.now() + timeout
  while not self.is_closed and not self.feed.is_closed do
    local missed = gap(self)
    if missed then return nil, "gap", missed end
    local event = next_there(self)
    if event then return event end
    local left = deadline and deadline - clock.now()
    if left and left <= 0 then return nil, "timeout" end
    self.waiter = native.waiter()
    self.feed.idle[self] = true
    local leaving <close> = setmetatable({}, { __close = function() self.feed.idle[self] = nil end }) -- luacheck: ignore 211
    self.waiter:wait("the next event", left)
  end
  return nil, "closed"
end

local function unfollow(self)
  local followed, run = self.feed.followed, self.run
  if not run or self.is_closed then return end
  followed[run] = followed[run] > 1 and followed[run] - 1 or nil
end

--- Ends it; who waits for its next event is told. Safe twice. Does not wait.
function Follower:close()
  unfollow(self)
  self.is_closed = true
  if self.waiter then self.waiter:wake() end
  self.feed.idle[self] = nil
end

--- Ends every follower. Safe twice. Does not wait.
function Feed:close()
  self.is_closed = true
  for follower in pairs(self.idle) do follower.waiter:wake() end
end

--- A feed.
---@param options { capacity: integer|nil, boot_ms: integer|nil }|nil capacity: events, default 4096
---@return weir.Feed
function M.new(options)
  options = options or {}
  return setmetatable({ life = base36(options.boot_ms or clock.wall_ms()), latest = 0, capacity = options.capacity or CAPACITY,
    ring = {}, idle = {}, followed = {} }, Feed)
end

-- What a run says -----------------------------------------------------------------------------------

local LEFT_OUT = { kind = true }

-- Items of streams are many, and may be changed by who reads them: they are told to those who look at that very run.
local function item_of(self, event, run)
  if not self.followed[run.id] then return nil end
  return require("weir.value").copy(event.item)
end

local SAID = { log = true, print = true } -- by agents: what is secret is masked, as it is in the log
local DEPTH_MAX = 8

local function masked(value, depth)
  if type(value) == "string" then return log.redact(value) end
  if type(value) ~= "table" or depth > DEPTH_MAX then return value end
  local copy = {}
  for name, one in next, value do copy[name] = masked(one, depth + 1) end
  return copy
end

--- Publishes what a run notifies of, as an event of its kind with the run's id and pipeline. The items of its steps'
--- streams (kind `item`) are published only while somebody follows the run. What was registered as secret is masked in
--- errors and in what agents log and print, not in items.
---@param event table as runs notify of it
---@param run weir.Run
function Feed:of_run(event, run)
  local item
  if event.kind == "item" then
    item = item_of(self, event, run)
    if item == nil then return end
  end
  local data = { run = run.id, pipeline = run.plan.name }
  for name, value in next, event do
    if not LEFT_OUT[name] then data[name] = value end
  end
  if item ~= nil then data.item = item end
  local err = data.error
  if type(err) == "table" then data.error = { code = err.code, message = masked(err.message, 1), step = err.step } end
  if SAID[event.kind] then data.text, data.fields = masked(data.text, 1), masked(data.fields, 1) end
  self:publish(event.kind, data)
end

return M
