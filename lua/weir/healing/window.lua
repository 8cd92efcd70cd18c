--- Numbers of the last so many seconds: how many, how much, how often, and percentiles. Keeps every number of the window, up to a
--- limit; beyond that the oldest go first, and `count` says at least so many. The caller says what time it is. Pure; never waits.

local M = {}

local MOST = 4096

---@class weir.Window
---@field seconds number
---@field first integer  position of the oldest
---@field last integer
local Window = {}
Window.__index = Window

--- An empty window.
---@param seconds number
---@param most integer|nil numbers that are kept; default 4096
---@return weir.Window
function M.new(seconds, most)
  return setmetatable({ seconds = seconds, most = most or MOST, times = {}, values = {}, first = 1, last = 0, total = 0 }, Window)
end

local function drop_oldest(self)
  self.total = self.total - self.values[self.first]
  self.times[self.first], self.values[self.first] = nil, nil
  self.first = self.first + 1
end

local function trim(self, now)
  while self.first <= self.last and self.times[self.first] <= now - self.seconds do drop_oldest(self) end
  if self.first > self.last then self.total = 0 end -- no rounding is carried on
end

--- Takes a number.
---@param now number seconds; not before the one of the last call
---@param value number|nil default 1
function Window:add(now, value)
  trim(self, now)
  if self.last - self.first + 1 >= self.most then drop_oldest(self) end
  self.last = self.last + 1
  self.times[self.last], self.values[self.last] = now, value or 1
  self.total = self.total + (value or 1)
end

--- How many numbers there are.
---@param now number
---@return integer
function Window:count(now)
  trim(self, now)
  return self.last - self.first + 1
end

--- Their sum.
---@param now number
---@return number
function Window:sum(now)
  trim(self, now)
  return self.total
end

--- How many a second.
---@param now number
---@return number
function Window:rate(now) return self:count(now) / self.seconds end

--- Their mean; nil when there are none.
---@param now number
---@return number|nil
function Window:mean(now)
  local count = self:count(now)
  return count > 0 and self.total / count or nil
end

--- The number that a share of all does not exceed (nearest rank); nil when there are none.
---@param now number
---@param share number 0..1
---@return number|nil
function Window:percentile(now, share)
  local count = self:count(now)
  if count == 0 then return nil end
  local sorted = table.move(self.values, self.first, self.last, 1, {})
  table.sort(sorted)
  return sorted[math.max(1, math.ceil(share * count))]
end

--- The figures that a threshold can be set on.
M.measures = { "count", "sum", "rate", "mean", "max", "p50", "p90", "p95", "p99" }

--- A figure by its name; nil when there are no numbers that could have it.
---@param now number
---@param measure string one of `measures`
---@return number|nil
function Window:figure(now, measure)
  local share = measure:match "^p(%d+)$"
  if share then return self:percentile(now, tonumber(share) / 100) end
  if measure == "max" then return self:percentile(now, 1) end
  return self[measure](self, now)
end

return M
