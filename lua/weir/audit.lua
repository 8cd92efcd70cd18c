--- What people change in a running system, one record a change: who, when, through which door, what, from what to what.
--- The space `audit`; keys sort by time. Records are written in one transaction with what they tell of, and stay.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local id = require "weir.id"
local system = require "weir.port.system"

local M = {}

local SPACE = "audit"

---@class weir.AuditRecord
---@field at integer   ms since 1970
---@field by string    a person, or the user of the system
---@field via string   the door: cli, repl, http, console, watch, or the name of a program
---@field action string such as reload, rollback, patch, migrate
---@field what string  what was changed: the full name of a module or pipeline, a run
---@field from string|nil what stood there before, such as a version
---@field to string|nil

--- The operation that writes a record, for a batch of `store:batch`.
---@param record { by: string?, via: string?, action: string, what: string, from: string?, to: string? }
---@return table operation
function M.operation(record)
  return { op = "put", space = SPACE, key = id.in_a_row "u", value = { at = clock.wall_ms(), by = record.by or system.user_name(),
    via = record.via or "cli", action = record.action, what = record.what, from = record.from, to = record.to } }
end

--- Writes a record. Waits for the disk. Raises {code, message} as the store refuses.
---@param store weir.Store
---@param record table as of `operation`
function M.write(store, record)
  local done, message, code = store:batch { M.operation(record) }
  if not done then failure.raise(code or "failed", "%s", message) end
end

--- Records, the oldest first, or the newest with `reverse`.
---@param store weir.Store
---@param query { after: string?, limit: integer?, reverse: boolean? }|nil after: a key; limit: default 1000
---@return { key: string, value: weir.AuditRecord }[]
function M.list(store, query)
  query = query or {}
  local page, message, code = store:scan(SPACE, { after = query.after, limit = query.limit or 1000, reverse = query.reverse })
  if not page then failure.raise(code or "failed", "%s", message) end
  return page
end

return M
