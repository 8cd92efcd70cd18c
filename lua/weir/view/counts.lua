--- How many runs a store has of each status. Where that takes long, those that have ended are counted every ten minutes, since
--- runs are also removed, and in between those are added that end in this host (so that a few may be missing, or there
--- twice, which ended just then). What was counted stays good for a second, or for twenty times as long as counting took.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local native = require "weir.native.scheduler"

local M = {}

local PAGE = 1000
local GOOD, FACTOR = 1, 20 -- seconds, of the time that counting took
local LONG, BASE_GOOD = 0.1, 600 -- seconds: counting all takes long; then it is done that seldom
local ACTIVE = { "queued", "running", "waiting", "in_doubt", "quarantined" }
local ENDED = { "finished", "failed", "cancelled" }

---@class weir.Counts of one store
---@field base table<string, integer> all of them, as they were counted last
---@field base_until number
---@field ended table<string, integer> how many had ended in this host then
---@field counts table the answer
---@field until_s number
---@field waiters table[]|nil those who wait while somebody counts

local kept = setmetatable({}, { __mode = "k" })

local function each(store, status, visit)
  local after
  repeat
    local page, message, code = store:runs { status = status, after = after, limit = PAGE, damaged = status == nil }
    if not page then failure.raise(code or "failed", "%s", message) end
    for _, entry in ipairs(page) do visit(entry.row) end
    after = page[#page] and page[#page].id
    native.yield()
  until #page < PAGE
end

local function count_all(store)
  local counts = {}
  each(store, nil, function(row)
    local status = row and row.status or "damaged"
    counts[status] = (counts[status] or 0) + 1
  end)
  return counts
end

local function count_status(store, status)
  local count = 0
  each(store, status, function() count = count + 1 end)
  return count > 0 and count or nil
end

local function count(one, store, ended)
  local now, from = ended(), clock.now()
  if not one.base or from >= one.base_until then
    one.base, one.ended = count_all(store), now
    local is_long = clock.now() - from > LONG
    one.base_until = is_long and clock.now() + BASE_GOOD or from
    from = clock.now()
  end
  local runs, all = {}, 0
  for _, status in ipairs(ENDED) do
    local number = (one.base[status] or 0) + (now[status] or 0) - (one.ended[status] or 0)
    runs[status] = number > 0 and number or nil
  end
  for _, status in ipairs(ACTIVE) do runs[status] = count_status(store, status) end
  runs.damaged = one.base.damaged
  for _, number in pairs(runs) do all = all + number end
  one.counts = { runs = runs, all = all, at = clock.rfc3339(clock.wall_ms()) }
  one.until_s = clock.now() + math.max(GOOD, FACTOR * (clock.now() - from))
end

local function refresh(one, store, ended)
  one.waiters = {}
  local ok, err = pcall(count, one, store, ended)
  local waiters = one.waiters
  one.waiters = nil
  for _, waiter in ipairs(waiters) do waiter:wake() end
  if not ok then error(err, 0) end
end

--- The numbers. May wait while somebody counts. Raises what the store says.
---@param store weir.Store
---@param ended fun(): table<string, integer> how many runs have ended in this host so far, by status
---@return { runs: table<string, integer>, all: integer, at: string } runs: by status; at: when they were counted
function M.of(store, ended)
  local one = kept[store]
  if not one then
    one = { until_s = 0 }
    kept[store] = one
  end
  while one.waiters do
    local waiter = native.waiter()
    table.insert(one.waiters, waiter)
    waiter:wait "the number of runs"
  end
  if clock.now() >= one.until_s then refresh(one, store, ended) end
  return one.counts
end

return M
