--- Whether a pipeline has finished since a moment: for schedules that start only when it has not. Reads; never waits.

local failure = require "weir.failure"

local M = {}

local PAGE, PAGES = 100, 50 -- runs that are looked at
local LONGEST_MS = 7 * 86400 * 1000 -- a run that began earlier than this before the moment is not expected to end after it
local DAY_MS = 86400 * 1000

--- Since when an occurrence looks back.
---@param rule weir.Rule
---@param one weir.Occurrence
---@return integer ms
function M.since(rule, one)
  if rule.absent.within_ms then return one.nominal_ms - rule.absent.within_ms end
  return one.previous_ms or one.nominal_ms - DAY_MS
end

--- The latest run of a pipeline that finished after a moment, up to now. Raises `corrupt`, `unavailable`.
---@param store weir.Store
---@param pipeline string
---@param since_ms integer
---@return string|nil run
function M.finished(store, pipeline, since_ms)
  local after
  for _ = 1, PAGES do
    local page, message, code = store:runs { status = "finished", with = { "pipeline", pipeline }, after = after, limit = PAGE,
      reverse = true, damaged = true }
    if not page then failure.raise(code or "failed", "%s", message) end
    local last
    for _, found in ipairs(page) do
      last = found
      local row = found.row
      if row and row.pipeline == pipeline and row.status == "finished" and (row.ended_ms or 0) > since_ms then return found.id end
      if row and row.started_ms and row.started_ms < since_ms - LONGEST_MS then return nil end
    end
    if not last or #page < PAGE and not last.rest then return nil end
    after = last.id
  end
end

return M
