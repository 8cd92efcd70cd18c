--- Trials: a version of a pipeline carried out on an input, below the step that reflects, and measured. What agents have done
--- before on the same question is used again (`weir.reflection.memo`). A trial is a step of the cycle's run: it is kept when it
--- is done, counts against the limits of the reflection, and shows among the steps.

local binding = require "weir.run.binding"
local clock = require "weir.port.clock"
local documents = require "weir.run.documents"
local failure = require "weir.failure"
local frames = require "weir.run.frame"
local group = require "weir.run.group"
local hash = require "weir.native.hash"
local json = require "weir.native.json"
local keys = require "weir.run.keys"
local plan_of = require "weir.run.plan"
local retry = require "weir.run.retry"
local step_runner = require "weir.run.step"
local trial_kind = require "weir.run.kinds.trial"
local value_of = require "weir.value"
local verdict_of = require "weir.flow.verdict"

local M = {}

---@class weir.reflection.Version what is tried
---@field normal table
---@field version string
---@field pins table<string, string>
---@field mark string    what its keys begin with: of the definition and its modules

--- What tells one version from another: its definition and the modules that it uses. Pure.
---@param version string
---@param pins table<string, string>
---@return string 12 hexadecimal digits
function M.mark(version, pins)
  return hash.sha256(assert(json.encode({ version, pins }, { canonical = true }))):sub(1, 12)
end

-- The agents of what is tried work as in a trial, in whatever they stand; nothing of a trial is undone later.
local function mark(body)
  local mark_step
  function mark_step(step)
    if step.agent then step.kind = trial_kind end
    step.undo = nil
    for _, inner in ipairs { step.each or false, step.chunk or false, step.reduce and step.reduce.each or false } do
      if inner then mark_step(inner) end
    end
    for _, branch in ipairs(step.branches or {}) do mark_step(branch) end
    if step.body then mark(step.body) end
  end
  for _, one in ipairs(body.groups) do
    for _, step in ipairs(one.steps) do mark_step(step) end
  end
  return body
end

local function compiled(normal, version)
  local definition = { kind = "pipeline", name = normal.name, normal = normal, version = version }
  local plan = plan_of.compile(definition)
  plan.definition = definition
  mark(plan.body)
  return plan
end

-- A child pipeline is tried as its parent is; a flow is a program of its own.
local function child_of(held)
  local plans = {}
  return function(_, name)
    local plan = held.children[name]
    if not plan or plan.flow then return plan end
    plans[name] = plans[name] or compiled(plan.definition.normal, plan.version)
    return plans[name]
  end
end

-- What crosses a limit of the pipeline for one run crosses it for one trial.
local function budget_of(normal)
  local budget = normal.budget or {}
  if not budget.tokens and not budget.usd then return nil end
  return { tokens = budget.tokens, usd = budget.usd }
end

---@class weir.reflection.Trials the trials of one cycle
---@field frame weir.Frame of the step that reflects
---@field step table       of the plan: {metric | judge}
---@field key string
---@field memo table<string, weir.reflection.Done>
---@field scores table<string, table<string, table>> by mark and hash of the input: {value, error, steps, reused, usage}
---@field due_ms integer|nil when the time of the reflection is up
local Trials = {}
Trials.__index = Trials

--- Trials of a cycle.
function M.new(frame, step, key, memo, due_ms)
  return setmetatable({ frame = frame, step = step, key = key, memo = memo, scores = {}, due_ms = due_ms }, Trials)
end

local function number_of(value, text)
  if type(value) ~= "number" or value ~= value or math.abs(value) == math.huge then
    failure.raise("invalid", "metric '%s': a number expected, got %s", text, value_of.show(value))
  end
  return value
end

local function measure(self, key, input, output, usage)
  if self.step.judge then
    local verdict = verdict_of.of_draft(self.frame, self.step.judge, key .. "/(metric)", input, output, {})
    return verdict_of.score(verdict)
  end
  local value, message, code = self.step.metric:get { input = input, output = output, usage = usage }
  if value == nil then failure.raise(code or "not_found", "metric: %s", message or self.step.metric.text .. " finds nothing") end
  return number_of(value, self.step.metric.text)
end

-- What earlier lives of the cycle asked for in a trial.
local function count_before(shared, journal, key)
  for inner, entry in pairs(journal and journal.recorded or {}) do
    local extra = keys.is_below(inner, key) and entry[9]
    if type(extra) == "table" and extra.content then
      shared.steps = shared.steps + 1
      local done = extra.reused and shared.memo[extra.content]
      if done then
        shared.reused = shared.reused + 1
        shared.saved.tokens, shared.saved.usd = shared.saved.tokens + done.usage.tokens, shared.saved.usd + done.usage.usd
      end
    end
  end
  return shared
end

-- What a trial took; with what was saved, what it would have taken.
local function usage_of(meter, saved)
  local usage = meter.usage
  return { tokens = (usage.tokens or 0) + (saved and saved.tokens or 0),
    usd = (usage.usd or 0) + (usage.usd_estimated or 0) + (saved and saved.usd or 0) }
end

local function checked_input(plan, input)
  local fits, checked = plan.check_input(input)
  if fits then return checked end
  failure.raise("invalid", "input: %s", checked)
end

-- The whole pipeline, below the trial's key.
local function carry_out(self, of, key, given)
  local run = self.frame.run
  local held = binding.hold_pinned(run.engine, of.plan, of.pins)
  local shared = count_before({ is_trial = true, held = held, memo = self.memo, steps = 0, reused = 0, saved = { tokens = 0, usd = 0 },
    child = child_of(held) }, run.journal, key)
  local input = checked_input(of.plan, given)
  local inner = frames.inner(self.frame, key .. "/", { input = input, run = self.frame.data.run,
    workspace = of.plan.reads_workspace and documents.root(run) or nil })
  inner.planned, inner.held = shared, held
  local meter = run:meter(key)
  local ok, output = pcall(group.output_of, inner, of.plan.body)
  local score
  if ok then ok, score = pcall(measure, self, key, input, output, usage_of(meter, shared.saved)) end
  run:unmeter(meter)
  held:release()
  if not ok then error(score or output, 0) end
  return { score = score, steps = shared.steps, reused = shared.reused, usage = usage_of(meter) }
end

local function kind_of(self, of, given)
  return { name = "trial", has_steps = true, execute = function(_, _, key) return carry_out(self, of, key, given()) end }
end

-- Seconds that a trial may take: those of the pipeline for one run, and those that the reflection has left.
local function timeout_of(self, normal)
  local own = normal.budget and normal.budget.seconds
  local left = self.due_ms and math.max(0.001, (self.due_ms - clock.wall_ms()) / 1000)
  if own and left then return math.min(own, left) end
  return own or left
end

local function try(self, of, one, given)
  local key = ("%s/v_%s/in_%s"):format(self.key, of.mark, one.hash)
  of.plan = of.plan or compiled(of.normal, of.version)
  local timeout, budget = timeout_of(self, of.normal), budget_of(of.normal)
  local step = { name = "in_" .. one.hash, kind = kind_of(self, of, given), retry = retry.policy(), timeout = timeout, budget = budget,
    is_simple = not timeout and not budget, input = function() return { version = of.mark, input = one.hash } end }
  local inner = frames.inner(self.frame, self.key .. "/", self.frame.data)
  local status, value = step_runner.run(inner, step, key)
  if status == "finished" then
    return { value = value.score, steps = value.steps, reused = value.reused, usage = value.usage }
  end
  return { error = value }
end

--- The score of a version on an input; measured once. Waits. Raises only what ends the run.
---@param of weir.reflection.Version
---@param one weir.reflection.Input
---@param given fun(): any the input
---@return { value: number?, error: table?, steps: integer?, reused: integer?, usage: table? }
function Trials:score(of, one, given)
  local known = self.scores[of.mark] or {}
  self.scores[of.mark] = known
  known[one.hash] = known[one.hash] or try(self, of, one, given)
  return known[one.hash]
end

--- What the trials of a version took.
---@param of weir.reflection.Version
---@return { steps: integer, reused: integer, tokens: number, usd: number }
function Trials:cost(of)
  local cost = { steps = 0, reused = 0, tokens = 0, usd = 0 }
  for _, score in pairs(self.scores[of.mark] or {}) do
    cost.steps, cost.reused = cost.steps + (score.steps or 0), cost.reused + (score.reused or 0)
    cost.tokens, cost.usd = cost.tokens + (score.usage and score.usage.tokens or 0), cost.usd + (score.usage and score.usage.usd or 0)
  end
  return cost
end

return M
