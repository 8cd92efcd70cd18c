--- What `--json` prints and HTTP answers: the shapes that programs read. Pure but for the clock's format of times.

local clock = require "weir.port.clock"
local json = require "weir.native.json"
local sayable = require "weir.view.sayable"
local utf8_of = require("weir.text.visible").utf8

local M = {}

local null = json.null

local or_null = require("weir.value").or_null

-- What a person reads; it may quote what came in, and end within a character of that.
local function words(text) return type(text) == "string" and utf8_of(text) or or_null(text) end

--- A time of a journal as programs read it, or null.
---@param ms integer|nil since 1970
function M.time(ms)
  return math.type(ms) == "integer" and clock.rfc3339(ms) or null
end

--- An error inside a run, or null.
---@param err table|nil
function M.failure(err)
  if type(err) ~= "table" then return null end
  return { code = or_null(err.code), message = words(err.message), step = or_null(err.step) }
end

--- What a run waits for.
---@param list table[]|nil {step, kind, id, since_ms, due_ms}
---@return table[]
function M.waiting(list)
  local result = json.list {}
  for index, wait in ipairs(type(list) == "table" and list or {}) do
    result[index] = { step = wait.step, kind = wait.kind, id = or_null(wait.id), name = or_null(wait.name), since = M.time(wait.since_ms),
      ["until"] = M.time(wait.due_ms) }
  end
  return result
end

--- The run whose outcomes a run began with, or null.
---@param of table|nil {run, from}
function M.of(of)
  if type(of) ~= "table" then return null end
  return { run = of.run, from = or_null(of.from) }
end

--- The run line.
---@param run { id: string, pipeline: string, version: string?, status: string, output: any, error: table?, waiting: table? }
---@return table
function M.run(run)
  return { run = run.id, pipeline = run.pipeline, version = or_null(run.version), status = run.status,
    output = or_null(run.output), error = M.failure(run.error), waiting = M.waiting(run.waiting) }
end

--- The durable waits of a run of the engine, in order of their steps.
---@param run weir.Run
---@param is_any boolean|nil also of a run that is not parked yet, since it has begun to wait just now or works elsewhere
---@return table[]
function M.waits_of(run, is_any)
  local list = {}
  for key, wait in pairs((is_any or run.status ~= "running") and run.waits or {}) do
    list[#list + 1] = { step = key, kind = wait.kind, id = wait.id, name = wait.name, since_ms = wait.since_ms, due_ms = wait.due_ms }
  end
  table.sort(list, function(a, b) return a.step < b.step end)
  return list
end

--- Whether a run at work does nothing but wait for time, people or signals; it is parked a little later.
---@param run weir.Run
---@return boolean
function M.only_waits(run)
  return run.status == "running" and run.busy == 0 and next(run.waits) ~= nil and not run.interrupted and not run.cancel_reason
end

--- A run of the engine as a run line.
---@param run weir.Run
---@return table
function M.live(run)
  local only_waits = M.only_waits(run)
  local line = M.run { id = run.id, pipeline = run.plan.name, version = run.plan.version, status = only_waits and "waiting" or run.status,
    output = run.output, error = run.error, waiting = M.waits_of(run, only_waits) }
  if run.of then line.of = M.of(run.of) end
  return line
end

--- A line of a list of runs.
---@param id string
---@param row table as the store keeps it
---@return table
function M.row(id, row)
  return { run = id, pipeline = or_null(row.pipeline), version = or_null(row.version), status = row.status,
    error = M.failure(row.error), waiting = M.waiting(row.waiting), started_at = M.time(row.started_ms), ended_at = M.time(row.ended_ms) }
end

--- A refusal.
---@param err table {code, message, run?, step?, file?, line?}
---@return table
function M.refusal(err)
  return { error = { code = err.code or "failed", message = words(err.message), run = or_null(err.run), step = words(err.step),
    file = words(err.file), line = or_null(err.line) } }
end

--- One line of JSON.
---@param value any plain data
---@return string
function M.line(value)
  local text, message = sayable.encode(value)
  return text or json.encode { error = { code = "invalid", message = "it cannot be written as JSON: " .. tostring(message) } }
end

return M
