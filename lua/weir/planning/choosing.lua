--- Which plan is carried out: the planner's, or one of an earlier goal; what it will take; who signed it off.

local approval = require "weir.run.kinds.approval"
local check = require "weir.planning.check"
local clock = require "weir.port.clock"
local estimates = require "weir.planning.estimate"
local failure = require "weir.failure"
local json = require "weir.native.json"
local keeping = require "weir.run.keeping"
local memory = require "weir.planning.memory"
local patches = require "weir.planning.patch"
local planner = require "weir.run.kinds.planner"
local retry = require "weir.run.retry"
local show = require "weir.planning.show"
local step_runner = require "weir.run.step"

local M = {}

local PROPOSALS = 2 -- answers of a planner that cannot be used, until it is given up

-- Asking the planner ---------------------------------------------------------------------------------------

-- The planner is asked in the same order in every life.
local function planner_key(self)
  self.asked = self.asked + 1
  return self.asked == 1 and "planner" or "planner#" .. self.asked
end

local function run_inner(self, step, name)
  local status, value = step_runner.run(self:inner_frame(), step, ("%s/%s"):format(self.key, name))
  if status == "finished" then return value end
  error(value, 0)
end

local function ask(self, problems)
  local tried = json.list {}
  for index, one in ipairs(self.tried) do tried[index] = one.version end
  local asked = { goal = { text = self.goal.text, want = self.goal.want }, subject = self.goal.subject,
    agents = self:versions(), tried = tried, problems = problems and json.list(problems) or nil }
  local use = self.step.planner
  return run_inner(self, { name = "planner", kind = planner, planner = use.name, module = use.module, options = use.options,
    model = self.step.model, retry = retry.policy(), is_simple = true, input = function() return asked end, work = self,
    problems = problems }, planner_key(self))
end

local function because(one)
  local again = one.until_ms and ("; it may be tried again from %s, or at once after `weir goals forget %s`"):format(
    clock.rfc3339(one.until_ms), one.id) or ""
  return ("the plan failed before: %s%s"):format(one.error.message, again)
end

-- A plan that can be carried out. The planner is told what was wrong with its answer, and asked again.
local function propose(self)
  local problems, code
  for _ = 1, PROPOSALS do
    local plan
    plan, problems, code = check.check(ask(self, problems), self.goal, self.agents, { name = self.step.name, limits = self.step.limits })
    local before = plan and self:was_tried(plan.version)
    if plan and not before then return plan end
    if before then problems, code = { because(before) }, before.error.code end
  end
  failure.raise(code, "planner '%s' gave no plan that can be carried out: %s", self.step.planner.name, table.concat(problems, "; "))
end

-- A plan that reached the goal before, as long as it fits what is there now.
local function reused(self, number)
  local found = number == 1 and self.known.reuse
  if not found then return nil end
  local plan = check.check(found.normal, self.goal, self.agents, { name = self.step.name, limits = self.step.limits })
  if not plan or self:was_tried(plan.version) then return nil end
  plan.reused = found.id
  return plan
end

-- Before anything runs -------------------------------------------------------------------------------------

local function estimate_of(self, plan)
  local about = estimates.about_modules(self.frame.run.engine, self.step.model or self.frame.run.model)
  about.known = self.known.agents
  return estimates.of(plan.normal.groups, about)
end

local function admit(self, estimate)
  local limits = self.step.limits
  if limits.usd and estimate.usd > limits.usd then
    failure.raise("limit", "the plan would cost %.4f USD, and %.4f are allowed (limits.usd)", estimate.usd, limits.usd)
  end
  if limits.seconds and estimate.seconds > limits.seconds then
    failure.raise("limit", "the plan would take %g s, and %g are allowed (limits.seconds)", estimate.seconds, limits.seconds)
  end
end

local sign_off = { name = "approval", is_durable = true }

function sign_off.execute(frame, step, key, input, attempt)
  local record = approval.ask(frame, step, key, input, attempt)
  local result = approval.result(step, key, record)
  if record.decision == "edit" then result.plan = record.answer end
  result.answer = nil
  return result
end

local function ask_person(self, plan, about, key)
  local fields = self.step.sign_off
  local asked = { title = fields.title or function() return ("Carry out this plan for '%s'?"):format(self.step.name) end,
    show = function() return show.question(self.goal, plan, about) end, who = fields.who, not_initiator = fields.not_initiator,
    quorum = fields.quorum, weights = fields.weights, on_timeout = fields.on_timeout, remind = fields.remind,
    escalate = fields.escalate, working = fields.working, precondition = fields.precondition }
  return run_inner(self, { name = "sign_off", kind = sign_off, approval = asked, retry = retry.policy(), is_simple = true,
    input = function() return plan.normal end }, key)
end

-- A person lets the plan pass, or gives another one; that is checked too, and what is wrong with it is told.
local function signed(self, plan, about, name)
  if not self.step.sign_off then return plan end
  local times = 0
  while true do
    times = times + 1
    local decision = ask_person(self, plan, about, ("sign_off%s%s"):format(name, times > 1 and "~" .. times or ""))
    if not decision.plan then return plan end
    local edited, problems, code = check.check(decision.plan, self.goal, self.agents,
      { name = self.step.name, limits = self.step.limits })
    if edited then
      edited.edited_by = decision.by
      return edited
    end
    about.problem = ("the plan that %s gave cannot be carried out (%s): %s"):format(decision.by, code, table.concat(problems, "; "))
  end
end

local function normal_of(self, version)
  local kept, message, code = self.frame.run.engine.store:get("definitions", version)
  if not kept then failure.raise(code or "not_found", "plan %s is not in the store: %s", version:sub(1, 12), tostring(message)) end
  return kept.normal
end

local function pins_for(self, plan)
  local pins = {}
  for _, name in ipairs(plan.agents) do pins["agents/" .. name] = self.known.pins["agents/" .. name] end
  return pins
end

local function choose_plan(self, number, name, before)
  local plan = reused(self, number) or propose(self)
  local offer = self:choose("offer" .. name, function() return { estimate = estimate_of(self, plan) } end)
  admit(self, offer.estimate)
  local about = { estimate = offer.estimate, reused = plan.reused, before = before,
    patch = before and patches.diff(before, plan.normal) or nil }
  local passed = signed(self, plan, about, name)
  if passed ~= plan then
    offer.estimate = self:choose("offer" .. name .. "/edited", function() return { estimate = estimate_of(self, passed) } end).estimate
    admit(self, offer.estimate)
  end
  local chosen = { version = passed.version, pins = pins_for(self, passed), estimate = offer.estimate, planner = self.step.planner.name,
    reused = passed.reused, edited_by = passed.edited_by, at_ms = clock.wall_ms(),
    patch = before and patches.diff(before, passed.normal) or nil }
  self:note_plan(chosen, passed.normal)
  if self.frame.run.journal then
    keeping.definitions(self.frame.run.engine, { self:compiled(passed) })
    local operations = self:operations()
    for _, operation in ipairs(number == 1 and self.record and memory.eviction(self.frame.run.engine.store, chosen.at_ms) or {}) do
      operations[#operations + 1] = operation
    end
    self:keep("plan" .. name, chosen, operations)
  end
  return chosen, passed.normal
end

-- What an earlier life asked is asked again, so that it is found to be the same.
local function recall_plan(self, number, name, chosen)
  local plan = reused(self, number) or propose(self)
  signed(self, plan, { estimate = (self:chosen("offer" .. name) or chosen).estimate }, name)
  local normal = normal_of(self, chosen.version)
  self:note_plan(chosen, normal)
  return chosen, normal
end

--- The plan to be carried out: one that reached the goal before, or what the planner says, as checked, estimated and signed
--- off; in a later life the one that was chosen then. Waits. Raises {code, message}.
---@param self weir.planning.Work
---@param number integer from 1; others follow when one fails
---@param before table|nil the normal form of the plan that failed
---@return table chosen {version, pins, estimate, patch, ...}
---@return table normal
function M.plan(self, number, before)
  local name = number == 1 and "" or "#" .. number
  local chosen = self:chosen("plan" .. name)
  local normal
  if chosen then chosen, normal = recall_plan(self, number, name, chosen) else chosen, normal = choose_plan(self, number, name, before) end
  self:tell("planned", chosen, number)
  return chosen, normal
end

return M
