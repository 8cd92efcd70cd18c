--- What is kept of sources that no pipeline has any more: how far they had come, what they have marked. It stays for thirty
--- days, so that a pipeline which comes back, or is mended, goes on where it was; then it goes.

local context = require "weir.trigger.context"
local failure = require "weir.failure"
local pages = require "weir.pages"

local M = {}

local KEPT_MS = 30 * 86400000
local TOGETHER = 500 -- marks of one transaction

local function commit(store, operations)
  local done, message, code = store:batch(operations)
  if not done and code ~= "conflict" then failure.raise(code or "failed", "%s", message) end -- it has come back meanwhile
  return done ~= nil
end

local function note(store, row, gone_ms)
  local value = { memory = row.value.memory, offset = row.value.offset, gone_ms = gone_ms }
  commit(store, { { op = "cas", space = context.MEMORY, key = row.key, version = row.version, value = value } })
end

-- The memory goes last, so that a sweep which was cut short is found again.
local function forget(store, row, paused)
  local operations = {}
  for mark in pages.rows(store, context.MARKS, { prefix = row.key .. "\n" }) do
    operations[#operations + 1] = { op = "delete", space = context.MARKS, key = mark.key, version = mark.version }
    if #operations == TOGETHER then
      if not commit(store, operations) then return false end
      operations = {}
    end
  end
  operations[#operations + 1] = { op = "delete", space = paused, key = row.key }
  operations[#operations + 1] = { op = "delete", space = context.MEMORY, key = row.key, version = row.version }
  return commit(store, operations)
end

local function is_there(triggers, id)
  return triggers.sources[id] ~= nil or triggers.broken[id:match "^[^/]*"] ~= nil
end

--- Notes which sources are gone, and forgets those that have been for thirty days. Waits for the disk. Raises what the store
--- refuses with.
---@param store weir.Store
---@param triggers weir.Triggers that have looked at all pipelines at least once
---@param now_ms integer
---@return integer forgotten
function M.sweep(store, triggers, now_ms)
  local count = 0
  if triggers.rounds == 0 then return count end
  for row in pages.rows(store, context.MEMORY, {}) do
    local gone_ms = math.type(row.value.gone_ms) == "integer" and row.value.gone_ms or nil
    if is_there(triggers, row.key) then
      if gone_ms then note(store, row, nil) end
    elseif not gone_ms then
      note(store, row, now_ms)
    elseif gone_ms + KEPT_MS <= now_ms and forget(store, row, "trigger.paused") then
      count = count + 1
    end
  end
  return count
end

return M
