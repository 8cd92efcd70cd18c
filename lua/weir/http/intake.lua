--- How the HTTP door takes events in (see weir.event.intake): when the queue of a pipeline that an event would start is
--- full, the sender hears when to come again.

local intake_of = require "weir.event.intake"
local native = require "weir.native.scheduler"
local problem = require "weir.http.problem"

local M = {}

local PATIENCE = 20 -- seconds for which a sender is kept waiting where a queue says `wait`

---@class weir.Intake
local Intake = {}
Intake.__index = Intake

--- The intake of a host.
---@param host weir.Host gets `events`, if it has none
---@return weir.Intake
function M.new(host)
  host.events = host.events or intake_of.new(host.store, host.engine)
  return setmetatable({ events = host.events }, Intake)
end

local function refuse_full(err)
  local line = err.line
  local answer = problem.new(429, "full", "%s", err.message)
  answer.headers = { ["Retry-After"] = tostring(line.drain:retry_after(line.settings.limit)) }
  error(answer, 0)
end

--- Takes an event in. Waits until it is on disk. Raises what answers with 429 when a queue is full.
---@param event table a CloudEvent
---@param dedupe string what tells it from every other one
---@param from "api"|"hook"
---@return string offset
---@return boolean is_new
function Intake:take(event, dedupe, from)
  local function is_waiting(line) return line.settings.overflow == "wait" end
  local ok, results = pcall(self.events.take, self.events, { { event = event, from = from, dedupe = dedupe } },
    { patience = PATIENCE, waits_for = is_waiting })
  if ok then return results[1].offset, results[1].is_new end
  if type(results) ~= "table" or not rawget(results, "line") then error(results, 0) end
  native.recover()
  refuse_full(results)
end

return M
