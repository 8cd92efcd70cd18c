--- What is kept of schedules: the state of each, and a history with a row for each nominal time that was decided. Both change
--- in one transaction, and of all who would change a state from the same version one does.
---
--- Spaces: `schedules` by id; `schedule_history`: ID/SEQ, SEQ in 12 digits. Of a schedule the latest rows are kept.

local failure = require "weir.failure"
local pages = require "weir.pages"
local value_of = require "weir.value"

local M = {}

local STATES, HISTORY = "schedules", "schedule_history"
local ROWS_MAX = 1000 -- of a history
local ATTEMPTS = 50

local function row_key(id, seq) return ("%s/%012d"):format(id, seq) end

local function refuse(message, code) failure.raise(code or "failed", "%s", message) end

--- The state of a schedule. Does not wait. Raises `corrupt`, `unavailable`.
---@param store weir.Store
---@param id string
---@return weir.ScheduleState|nil
---@return integer version 0: there is none
function M.get(store, id)
  local state, version, code = store:get(STATES, id)
  if state then return state, version end
  if code == "not_found" or code == nil then return nil, 0 end
  refuse(version, code)
end

--- States of schedules by id, also of those that no pipeline has any more. Does not wait.
---@param store weir.Store
---@return table<string, weir.ScheduleState>
function M.all(store)
  local states = {}
  for entry in pages.rows(store, STATES, {}) do states[entry.key] = entry.value end
  return states
end

local function operations_of(id, version, state, rows)
  local operations = { { op = "cas", space = STATES, key = id, version = version, value = state } }
  for _, row in ipairs(rows) do
    operations[#operations + 1] = { op = "put", space = HISTORY, key = row_key(id, row.seq), value = row }
    if row.seq > ROWS_MAX then
      operations[#operations + 1] = { op = "delete", space = HISTORY, key = row_key(id, row.seq - ROWS_MAX) }
    end
  end
  return operations
end

--- Changes a state. Waits for the disk if something changes. Raises {code, message} as the store refuses.
---@param store weir.Store
---@param id string
---@param body fun(state: weir.ScheduleState|nil, rows: table[]): weir.ScheduleState|nil, any changes the state, or makes one,
---   and adds rows; nil: nothing changes. Called again when another was faster. Does not wait
---@param more fun(): table[]|nil operations of the same transaction
---@return weir.ScheduleState|nil state as it is now
---@return any result the second value of the body
function M.change(store, id, body, more)
  for _ = 1, ATTEMPTS do
    local rows = {}
    local state, version = M.get(store, id)
    local changed, result = body(state and value_of.copy(state), rows)
    if not changed then return state, result end
    local operations = operations_of(id, version, changed, rows)
    for _, operation in ipairs(more and more() or {}) do operations[#operations + 1] = operation end
    local done, message, code = store:batch(operations)
    if done then return changed, result end
    if code ~= "conflict" then refuse(message, code) end
  end
  failure.raise("conflict", "schedule '%s' is changed by too many at once; try again", id)
end

--- A row of the history.
---@param store weir.Store
---@param id string
---@param seq integer
---@return table|nil nil: it is not kept any more
function M.row(store, id, seq)
  return (store:get(HISTORY, row_key(id, seq)))
end

--- The history of a schedule, the newest first. Does not wait.
---@param store weir.Store
---@param id string
---@param query { limit: integer|nil, before: integer|nil }|nil before: rows with a lower seq
---@return table[]
function M.history(store, id, query)
  query = query or {}
  local page, message, code = store:scan(HISTORY, { prefix = id .. "/", before = query.before and row_key(id, query.before) or nil,
    limit = query.limit or 100, reverse = true })
  if not page then refuse(message, code) end
  local rows = {}
  for index, entry in ipairs(page) do rows[index] = entry.value end
  return rows
end

return M
