--- The queue into which events come from outside. An event is on disk before its sender hears that it was taken; one that
--- comes again within seven days is told from a new one; when the queue is full the sender hears when to come again.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local problem = require "weir.http.problem"
local queue_of = require "weir.queue"

local M = { name = "events" }

local LIMIT = 10000 -- items
local WINDOW = 5 -- seconds over which the rate is measured at least
local SHORTEST, LONGEST, UNKNOWN = 1, 3600, 60 -- seconds of Retry-After
local ROOM = 0.01 -- of the queue that has to be free when the sender comes again

---@class weir.Intake
---@field queue weir.Queue
---@field rate number|nil items a second that left, as far as it was measured
local Intake = {}
Intake.__index = Intake

--- The intake of a host.
---@param store weir.Store
---@param options { limit: integer|nil }|nil of items, default 10000
---@return weir.Intake
function M.new(store, options)
  local limit = options and options.limit or LIMIT
  local queue = queue_of.open(store, M.name, { limit = limit })
  return setmetatable({ queue = queue, limit = limit, at = clock.now(), depth = queue:depth(), taken = 0 }, Intake)
end

-- What left since the last look: what came in, less what the queue has grown.
local function measure(self, depth)
  local now = clock.now()
  local seconds = now - self.at
  if seconds < WINDOW then return end
  self.rate = math.max(0, self.taken - (depth - self.depth)) / seconds
  self.at, self.depth, self.taken = now, depth, 0
end

--- In how many seconds there will be room, at the rate at which items left lately.
---@param depth integer
---@return integer
function Intake:retry_after(depth)
  measure(self, depth)
  if not self.rate or self.rate <= 0 then return UNKNOWN end
  return math.tointeger(math.max(SHORTEST, math.min(LONGEST, math.ceil(math.max(1, self.limit * ROOM) / self.rate))))
end

local function refuse_full(self, depth)
  local err = problem.new(429, "full", "the queue of events is full: it holds %d", depth)
  err.headers = { ["Retry-After"] = tostring(self:retry_after(depth)) }
  error(err, 0)
end

--- Takes an event in. Waits until it is on disk. Raises what answers with 429 when the queue is full.
---@param event table a CloudEvent
---@param dedupe string what tells it from every other one
---@return string id
---@return boolean is_new
function Intake:take(event, dedupe)
  local id, is_new, code = self.queue:enqueue(event, { dedupe = dedupe })
  if id then
    if is_new then self.taken = self.taken + 1 end
    measure(self, self.queue:depth())
    return id, is_new
  end
  local depth = self.queue:depth()
  if code == "full" and depth >= self.limit then refuse_full(self, depth) end
  failure.raise(code or "failed", "%s", is_new)
end

return M
