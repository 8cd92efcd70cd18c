--- Monitors: what runs report (numbers, log lines, outcomes of steps) over a window of time, held against a threshold. A monitor
--- speaks once when its threshold is crossed, and again only after the figure was within it. Pure.
---
--- A monitor is {name, on = "metric"|"log"|"step"|"attempt", within, measure, above?, below?, minimum?} and what it looks at: of metrics
--- `metric`, of log lines `level` and `text`, of steps `status`; of all of them `step`, the name of a step. Numbers are the metric's,
--- of steps their seconds, of the rest 1.

local window = require "weir.healing.window"

local M = {}

M.sources = { "metric", "log", "step", "attempt" }

---@class weir.Monitor
---@field spec table      durations in seconds
---@field window weir.Window
---@field is_crossed boolean
local Monitor = {}
Monitor.__index = Monitor

--- A monitor that has seen nothing yet.
---@param spec table
---@return weir.Monitor
function M.new(spec)
  return setmetatable({ spec = spec, window = window.new(spec.within), is_crossed = false }, Monitor)
end

local function name_of(step) return step and (step:match "[^/]+$" or step):gsub("#%d+$", "") end

local VALUE = {
  metric = function(spec, event) return event.kind == "metric" and event.name == spec.metric and event.value or nil end,
  log = function(spec, event)
    local fits = event.kind == "log" and (not spec.level or event.level == spec.level)
      and (not spec.text or tostring(event.text):find(spec.text, 1, true) ~= nil)
    return fits and 1 or nil
  end,
  step = function(spec, event)
    local has_ended = event.kind == "step" and event.status ~= "running" and (not spec.status or event.status == spec.status)
    return has_ended and (event.seconds or 0) or nil
  end,
  attempt = function(_, event) return event.kind == "retry" and 1 or nil end,
}

local function is_over(spec, figure)
  return figure ~= nil and ((spec.above ~= nil and figure > spec.above) or (spec.below ~= nil and figure < spec.below))
end

--- Hears of an event of a run.
---@param event table as runs notify of it
---@param now number seconds
---@return number|nil figure when its threshold is crossed now
function Monitor:hear(event, now)
  local spec = self.spec
  if spec.step and name_of(event.step) ~= spec.step then return nil end
  local value = VALUE[spec.on](spec, event)
  if not value then return nil end
  self.window:add(now, value)
  if self.window:count(now) < (spec.minimum or 1) then return nil end
  local figure = self.window:figure(now, spec.measure or "count")
  local was_crossed = self.is_crossed
  self.is_crossed = is_over(spec, figure)
  return self.is_crossed and not was_crossed and figure or nil
end

--- What is told of a monitor that has spoken.
---@param spec table
---@param figure number
---@return string
function M.message(spec, figure)
  local what = spec.metric or spec.level and "log lines of level " .. spec.level or spec.status and "steps that " .. spec.status or spec.on
  return ("monitor '%s': the %s of %s in %g s is %.6g, %s %g"):format(spec.name, spec.measure or "count", what, spec.within, figure,
    spec.above and "above" or "below", spec.above or spec.below)
end

return M
