--- Events and their sources as programs read them.

local clock = require "weir.port.clock"
local or_null = require("weir.value").or_null

local M = {}

--- An event of the log.
---@param entry weir.LogEntry
---@return table
function M.entry(entry)
  return { offset = entry.offset, at = clock.rfc3339(entry.at_ms), from = entry.from, event = entry.event }
end

--- A dead letter.
---@param letter table of weir.trigger.letters
---@return table
function M.letter(letter)
  return { id = letter.id, pipeline = letter.pipeline, source = or_null(letter.source), event = or_null(letter.event),
    offset = or_null(letter.offset), error = or_null(letter.error), at = clock.rfc3339(letter.at_ms), attempt = letter.attempt }
end

--- A source.
---@param source table of `weir.Triggers:describe`
---@return table
function M.source(source)
  return { id = source.id, pipeline = source.pipeline, watcher = source.watcher, version = or_null(source.version),
    status = source.status, trouble = or_null(source.trouble), last_at = or_null(source.last_at), counts = source.counts,
    depth = source.depth, active = source.active, dead = source.dead }
end

--- What became of an event in a rehearsal.
---@param one weir.Rehearsed
---@return table
function M.rehearsed(one)
  return { offset = one.offset, trigger = one.trigger, change = one.change, was = or_null(one.was), would = or_null(one.would),
    run = or_null(one.run), message = or_null(one.message), event = one.event }
end

return M
