--- An approval as programs read it.

local json = require "weir.native.json"
local ladder = require "weir.approval.ladder"
local shape = require "weir.view.shape"

local M = {}

local or_null = require("weir.value").or_null

local function voices(record)
  local list = json.list {}
  for index, entry in ipairs(record.given) do
    list[index] = { by = entry.by, on_behalf_of = entry.on_behalf_of, weight = entry.weight, decision = entry.decision,
      answer = or_null(entry.answer), comment = or_null(entry.comment), hash = entry.hash, via = entry.via, at = shape.time(entry.at_ms) }
  end
  return list
end

-- What happens while nobody decides, and what has happened.
local function ladder_shape(record)
  local of = record.ladder
  if not of then return nil end
  local rungs = json.list {}
  for number, rung in ipairs(of.escalate or {}) do
    rungs[number] = { to = rung.to, instead = rung.instead, taken = number <= (of.rung or 0) }
  end
  return { reminded = of.reminded or 0, escalated = of.rung or 0, escalate = rungs,
    next_at = shape.time(not record.decision and ladder.next_ms(of, record.due_ms) or nil) }
end

local function delegated_shape(record)
  if not record.delegated then return nil end
  local list = json.list {}
  for index, one in ipairs(record.delegated) do
    list[index] = { by = one.by, to = one.to, until_at = shape.time(one.until_ms), via = one.via, at = shape.time(one.at_ms) }
  end
  return list
end

--- `decision` and `decided_at` are there once it is decided; `kind` when it is not known whether the step has happened; `input`
--- when a step asks before it runs; `world` when something has to be as it was when the run goes on; `weights`, `ladder`,
--- `delegated` where there are any; `on_timeout` when it has a deadline and something else than a refusal follows it.
---@param record weir.Approval
---@return table
function M.shape(record)
  return { id = record.id, run = record.run, pipeline = record.pipeline, step = record.step, title = or_null(record.title),
    show = or_null(record.show), hash = record.hash, form = or_null(record.form), who = or_null(record.who), quorum = record.quorum,
    weights = record.weights, ladder = ladder_shape(record), delegated = delegated_shape(record), world = record.world,
    given = voices(record), due_at = shape.time(record.due_ms), on_timeout = record.due_ms and record.on_timeout,
    kind = record.kind == "in_doubt" and record.kind or nil, input = record.input, decision = record.decision,
    decided_at = record.decision and shape.time(record.at_ms) }
end

return M
