--- One run: what its steps share, what it has used, how it ends.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local flow = require "weir.run.flow"
local group = require "weir.run.group"
local native = require "weir.native.scheduler"
local stream_of = require("weir.run.kinds.agent").open_stream
local task = require "weir.task"

local M = {}

---@class weir.Run
---@field id string
---@field status "running"|"finished"|"failed"|"cancelled"
---@field output any
---@field error table|nil {code, message, step}
local Run = {}
Run.__index = Run
M.Run = Run

Run.status, Run.steps = "running", 0
Run.open_stream = stream_of
Run.run_flow = flow.run

-- splitmix64, seeded by the run's id, so that a replay draws the same.
local function seed_of(id)
  local seed = 0
  for position = 1, #id do seed = (seed * 31 + id:byte(position)) end
  return seed
end

--- A run that has not begun. `engine` makes it.
---@param fields table id, plan, binding, modules (the binding's), input, engine; journal and listener may be nil
function M.new(fields)
  local self = setmetatable(fields, Run)
  self.started_ms = self.started_ms or clock.wall_ms()
  return self
end

function Run:notify(event)
  local listener = self.listener
  if listener then listener(event) end
end

--- A float in [0, 1), or an integer from 1 to n, from the run's own generator.
function Run:draw(n)
  local state = (self.random_state or seed_of(self.id)) + 0x9e3779b97f4a7c15
  self.random_state = state
  local z = (state ~ (state >> 30)) * 0xbf58476d1ce4e5b9
  z = (z ~ (z >> 27)) * 0x94d049bb133111eb
  z = z ~ (z >> 31)
  local float = (z >> 11) * 0x1p-53
  return n and 1 + math.floor(float * n) or float
end

local function over_budget(self, what, limit)
  failure.raise("limit", "the run has used its budget of %s %s", tostring(limit), what)
end

--- Counts a step against the budget, before it begins.
function Run:spend_step()
  self.steps = self.steps + 1
  local budget = self.plan.budget
  if not budget then return end
  if budget.steps and self.steps > budget.steps then over_budget(self, "steps", budget.steps) end
  for _, what in ipairs { "tokens", "usd" } do
    if budget[what] and (self.usage and self.usage[what] or 0) >= budget[what] then over_budget(self, what, budget[what]) end
  end
end

--- Takes a number that a step reports; `tokens` and `usd` count against the budget.
function Run:measure(name, value, labels, key)
  if name == "tokens" or name == "usd" then
    self.usage = self.usage or {}
    self.usage[name] = (self.usage[name] or 0) + value
  end
  self:notify { kind = "metric", step = key, name = name, value = value, labels = labels }
end

--- Pins modules and pipelines that a flow uses for the first time.
function Run:pin(modules, pipelines)
  for _, full in ipairs(modules) do
    if not self.modules[full] then self.engine:pin_module(self, full) end
  end
  for _, name in ipairs(pipelines) do self:pipeline_of(name) end
end

--- The module of a critic or the like.
function Run:module_of(use)
  return self.modules[use.module]
end

--- The plan of a child pipeline, as pinned.
function Run:pipeline_of(name)
  return self.engine:child_plan(self, name)
end

local NO_OPTIONS = {}

function Run:options_of(step)
  if not step.module then return NO_OPTIONS end
  return self.engine:options_of(self, step)
end

function Run:state_of(step, options)
  return step.module and self.engine:state_of(self, step, options)
end

--- The memory of a step: kept over its attempts, and with the journal over crashes.
function Run:memory_of(key)
  local memories = self.memories
  if not memories then
    memories = {}
    self.memories = memories
  end
  local memory = memories[key]
  if not memory then
    memory = self.journal and self.journal:memory(key) or {}
    memories[key] = memory
  end
  return memory
end

local function body(self)
  local data = { input = self.input, run = { id = self.id, pipeline = self.plan.name, started_at = clock.rfc3339(self.started_ms) } }
  self.data = data
  local frame = { run = self, prefix = "", data = data }
  native.set_context(frame)
  if self.plan.flow then return flow.run(frame, self.plan, self.input) end
  return group.output_of(frame, self.plan.body)
end

local function outcome(self, ok, value, cancelled)
  if ok then return "finished", value end
  local err = failure.of(value)
  if cancelled then return "cancelled", err end
  if err.code == "timeout" and self.plan.budget and self.plan.budget.seconds and not err.step then
    err = failure.new("limit", "the run has used its budget of %g seconds", self.plan.budget.seconds)
  end
  return "failed", err
end

local function keep_end(self)
  local journal = self.journal
  if not journal then return end
  local value = self.output
  if self.error then value = { code = self.error.code, message = self.error.message, step = self.error.step } end
  local ok, err = task.within({ shield = true, timeout = 30 }, function()
    journal:append({ "end", self.status, value, self.ended_ms }, self.engine:row_of(self), true)
  end)
  if not ok then error(err, 0) end
end

local function scoped(scope, self)
  self.scope = scope
  if self.cancel_reason then scope:cancel(self.cancel_reason) end
  return body(self)
end

--- Runs to the end. Waits. Never raises what the run itself did wrong: that is its status and error.
---@return weir.Run self
function Run:execute()
  local ok, value = task.within(self.plan.limits, scoped, self)
  local outside, why = native.cancelled()
  self.scope = nil
  if outside then self.cancel_reason = self.cancel_reason or why end
  local result
  self.status, result = outcome(self, ok, value, self.cancel_reason ~= nil)
  if self.status == "finished" then
    self.output = result
  else
    self.error = result
  end
  self.ended_ms = clock.wall_ms()
  if self.error and self.error.code == "conflict" and self.journal then
    self.status = "failed" -- nothing was executed; the journal is left as it was
  else
    keep_end(self)
  end
  self.binding:release()
  if self.listener then self:notify { kind = "run", status = self.status, at_ms = self.ended_ms, error = self.error } end
  if self.done then self.done:wake() end
  return self
end

--- Cancels the run: what it does is stopped, cleanup runs. Returns at once.
---@param reason string|nil
function Run:cancel(reason)
  if self.status ~= "running" then return end
  self.cancel_reason = reason or "cancelled"
  if self.scope then self.scope:cancel(self.cancel_reason) end
end

--- Waits until the run has ended.
---@return weir.Run self
function Run:wait()
  if self.done and self.status == "running" then self.done:wait "a run" end
  return self
end

return M
