--- What triggers have kept and do not need any more. Of sources that no pipeline has, how far they had come and what they had
--- marked stays for thirty days, so that a pipeline which comes back, or is mended, goes on where it was. What throttles,
--- debounces and batches note of a key goes once it changes nothing any more: keys may be as many as there are events.

local admission = require "weir.trigger.admission"
local context = require "weir.trigger.context"
local failure = require "weir.failure"
local line_of = require "weir.trigger.line"
local pages = require "weir.pages"
local place = require "weir.queue.place"
local sweep = require "weir.sweep"

local M = {}

local KEPT_MS = 30 * 86400000
local TOGETHER = 500 -- rows of one transaction

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

-- Notes whether a source is gone. Gives whether it was forgotten.
local function look(store, triggers, row, now_ms)
  local gone_ms = math.type(row.value.gone_ms) == "integer" and row.value.gone_ms or nil
  if is_there(triggers, row.key) then
    if gone_ms then note(store, row, nil) end
  elseif not gone_ms then
    note(store, row, now_ms)
  else
    return gone_ms + KEPT_MS <= now_ms and forget(store, row, "trigger.paused")
  end
end

--- Notes which sources are gone, and forgets those that have been for thirty days. What is damaged stays. Waits for the disk.
--- Raises what the store refuses with.
---@param store weir.Store
---@param triggers weir.Triggers that have looked at all pipelines at least once
---@param now_ms integer
---@return integer forgotten
function M.sweep(store, triggers, now_ms)
  local count = 0
  if triggers.rounds == 0 then return count end
  for row in pages.rows(store, context.MEMORY, { damaged = true }) do
    if not row.damaged and look(store, triggers, row, now_ms) then count = count + 1 end
  end
  return count
end

-- What is held back is told by its queue, that of the pipeline which stands first in the key.
local function has_left(store, row)
  local queue = line_of.queue_name(row.key:match "^[^/]*")
  return place.read(store, place.spaces.items, place.of(queue, row.value.item)) == nil
end

--- Removes what is noted of keys: of a throttle once there is a place at once again, of what was held back once it has left its
--- queue. Waits for the disk. Raises what the store refuses with.
---@param store weir.Store
---@param now_ms integer
---@return integer removed
function M.keys(store, now_ms)
  local function remove(space, is_over) return sweep.rows(store, space, pages.keys(store, space), is_over) end
  return remove(admission.RATE, function(row) return row.value.next_ms <= now_ms end)
    + remove(admission.HELD, function(row) return row.value.due_ms <= now_ms and has_left(store, row) end)
end

return M
