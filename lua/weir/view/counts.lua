--- How many runs a store has of each status. Very many take a while to count, so what was counted stays good for a second,
--- or for twenty times as long as counting took; who asks meanwhile gets the same.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local native = require "weir.native.scheduler"

local M = {}

local PAGE = 1000
local GOOD, FACTOR = 1, 20 -- seconds, of the time that counting took

-- Of each store: {counts, until_s, waiters}.
local kept = setmetatable({}, { __mode = "k" })

local function count(store)
  local counts, all, after = {}, 0, nil
  repeat
    local page, message, code = store:runs { after = after, limit = PAGE, damaged = true }
    if not page then failure.raise(code or "failed", "%s", message) end
    for _, entry in ipairs(page) do
      local status = entry.row and entry.row.status or "damaged"
      counts[status] = (counts[status] or 0) + 1
    end
    all = all + #page
    after = page[#page] and page[#page].id
    native.yield()
  until #page < PAGE
  return { runs = counts, all = all, at = clock.rfc3339(clock.wall_ms()) }
end

local function refresh(one, store)
  one.waiters = {}
  local from = clock.now()
  local ok, counts = pcall(count, store)
  local waiters = one.waiters
  one.waiters = nil
  if ok then one.counts, one.until_s = counts, clock.now() + math.max(GOOD, FACTOR * (clock.now() - from)) end
  for _, waiter in ipairs(waiters) do waiter:wake() end
  if not ok then error(counts, 0) end
end

--- The numbers. May wait while somebody counts. Raises what the store says.
---@param store weir.Store
---@return { runs: table<string, integer>, all: integer, at: string } runs: by status; at: when they were counted
function M.of(store)
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
  if clock.now() >= one.until_s then refresh(one, store) end
  return one.counts
end

return M
