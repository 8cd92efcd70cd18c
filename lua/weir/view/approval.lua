--- An approval as programs read it.

local json = require "weir.native.json"
local shape = require "weir.view.shape"

local M = {}

local or_null = require("weir.value").or_null

local function voices(record)
  local list = json.list {}
  for index, entry in ipairs(record.given) do
    list[index] = { by = entry.by, decision = entry.decision, answer = or_null(entry.answer), comment = or_null(entry.comment),
      hash = entry.hash, via = entry.via, at = shape.time(entry.at_ms) }
  end
  return list
end

--- `decision` and `decided_at` are there once it is decided; `kind` when it is not known whether the step has happened; `input`
--- when a step asks before it runs; `on_timeout` when it has a deadline and something else than a refusal follows it.
---@param record weir.Approval
---@return table
function M.shape(record)
  return { id = record.id, run = record.run, pipeline = record.pipeline, step = record.step, title = or_null(record.title),
    show = or_null(record.show), hash = record.hash, form = or_null(record.form), who = or_null(record.who), quorum = record.quorum,
    given = voices(record), due_at = shape.time(record.due_ms), on_timeout = record.due_ms and record.on_timeout,
    kind = record.kind == "in_doubt" and record.kind or nil, input = record.input, decision = record.decision,
    decided_at = record.decision and shape.time(record.at_ms) }
end

return M
