--- Gives an event of the log once more, as a new one: same type, data and source, another id.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local ids = require "weir.id"
local log = require "weir.event.log"

local M = {}

local FROM_OUTSIDE = { api = true, hook = true, cli = true, run = true }

-- What a watcher gave goes to its own source again, and to nobody else.
local function source_of(triggers, entry)
  if FROM_OUTSIDE[entry.from] then return nil end
  local source = triggers and triggers.sources[entry.from]
  if source then return source end
  failure.raise("unavailable", "event %s was given by the source '%s', which is not at work; start the host that serves it", entry.offset,
    entry.from)
end

--- Takes an event of the log in again. Waits until it is on disk. Raises `not_found`, `unavailable` (it is of a watcher that is
--- not at work), `full`.
---@param intake weir.EventIntake
---@param triggers weir.Triggers|nil
---@param offset string
---@return string offset of the new one
function M.emit(intake, triggers, offset)
  local entry = log.get(intake.store, offset)
  if not entry then failure.raise("not_found", "the log has no event at '%s'; `weir event log` lists it", offset) end
  local event = {}
  for name, value in pairs(entry.event) do event[name] = value end
  event.id, event.time, event.weirreplayof = ids.new "e", clock.rfc3339(clock.wall_ms()), entry.event.id
  return intake:take({ { event = event, from = entry.from, only = source_of(triggers, entry) } })[1].offset
end

return M
