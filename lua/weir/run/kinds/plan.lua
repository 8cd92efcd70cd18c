--- A step that reaches a goal by steps which a planner finds. The plan is a pipeline in normal form; it is checked, signed off
--- if that is asked for, kept under its hash, and carried out below the step: `KEY/plan/...`, the one that replaces it when it
--- fails `KEY/plan#2/...`. Its planner stands under `KEY/planner`, who signed it off under `KEY/sign_off`.
---
--- The journal has as choices: `KEY/(known)`, what was known when planning began; `KEY/(offer)`, what a person was shown;
--- `KEY/(plan)`, the plan; `KEY/(plan)/failed`, what became of it. All that is worked out from these is the same in every life.

local agents_of = require "weir.planning.agents"
local approval = require "weir.run.kinds.approval"
local binding = require "weir.run.binding"
local check = require "weir.planning.check"
local clock = require "weir.port.clock"
local estimates = require "weir.planning.estimate"
local failure = require "weir.failure"
local frames = require "weir.run.frame"
local goal_of = require "weir.planning.goal"
local group = require "weir.run.group"
local json = require "weir.native.json"
local keeping = require "weir.run.keeping"
local keys = require "weir.run.keys"
local memory = require "weir.planning.memory"
local native = require "weir.native.scheduler"
local parking = require "weir.run.parking"
local patches = require "weir.planning.patch"
local planned = require "weir.run.kinds.planned"
local planner = require "weir.run.kinds.planner"
local retry = require "weir.run.retry"
local show = require "weir.planning.show"
local step_runner = require "weir.run.step"
local task = require "weir.task"
local value_of = require "weir.value"

local M = { name = "plan", has_steps = true }

local PROPOSALS = 2  -- answers of a planner that cannot be used, until it is given up
local NESTED_MAX = 4 -- plans inside of steps of plans

---@class weir.planning.Work one time that a step plans
---@field frame table
---@field step table
---@field key string
---@field tag string      of its keys: another one for each attempt and draft
---@field goal weir.Goal
---@field agents table<string, weir.planning.Agent>
---@field shared weir.planning.Shared
---@field known table     {pins, agents, failed, reuse}
---@field tried table[]   plans that are not to be carried out again: {version, agent, error}
---@field asked integer   how often the planner was
---@field record weir.GoalRecord|nil
---@field feedback table|nil of the step's critic, on what an earlier plan gave
local Work = {}
Work.__index = Work

-- Choices ------------------------------------------------------------------------------------------------

local function choice_key(self, name)
  return ("%s/(%s)%s"):format(self.key, name:match "^%l+", self.tag .. name:match "^%l+(.*)$")
end

function Work:chosen(name)
  local journal = self.frame.run.journal
  local entry = journal and journal.choices[choice_key(self, name)]
  return entry and value_of.copy(entry[3])
end

function Work:choose(name, make)
  local journal = self.frame.run.journal
  if not journal then return make() end
  return journal:choice(choice_key(self, name), make)
end

-- With what else is to be known from then on, in one transaction.
function Work:keep(name, value, operations)
  local journal = self.frame.run.journal
  if journal then journal:append_with(operations, { "choice", choice_key(self, name), value }, true) end
end

-- Which agents -------------------------------------------------------------------------------------------

-- The versions that the run began with; of those that it did not name, what serves now.
local function pins_of(self)
  local frame, step = self.frame, self.step
  local registry = frame.run.engine.project.registry
  local held, pins = frame.held or frame.run.binding, {}
  for _, name in ipairs(step.agents or agents_of.found(registry)) do
    local full = "agents/" .. name
    local entry = held.entries[full] or assert(registry:get(full))
    pins[full] = entry.version
  end
  pins[step.planner.module] = held.pins[step.planner.module]
  return pins
end

local function hold(self, pins)
  local modules = value_of.names(pins)
  local held = binding.hold_pinned(self.frame.run.engine, { modules = modules, pipelines = {} }, pins)
  return held
end

local function declare(self)
  self.agents, self.list = {}, {}
  for _, full in ipairs(value_of.names(self.known.pins)) do
    local name = full:match "^agents/(.+)$"
    if name then
      local agent = agents_of.declared(name, self.shared.held.entries[full], self.known.agents[name])
      self.agents[name], self.list[#self.list + 1] = agent, agent
    end
  end
end

local function versions_in(pins)
  local versions = {}
  for full, version in pairs(pins) do
    local name = full:match "^agents/(.+)$"
    if name then versions[name] = version end
  end
  return versions
end

-- What is known when planning begins -----------------------------------------------------------------------

local function facts_of(store, versions)
  local facts = {}
  for name, one in pairs(estimates.known(store)) do
    if versions[name] then facts[name] = one end
  end
  return facts
end

local REUSE = { similar = true, same = true }

local function recalled(self, store)
  local found = REUSE[self.step.reuse] and memory.recall(store, self.goal)
  if not found or self.step.reuse == "same" and not found.is_same then return nil end
  return { id = found.id, normal = found.plan.normal, is_same = found.is_same }
end

-- Somebody who asks for the same again, in a retry, means it; so does another attempt of the same run.
local function remembered(self, store, versions)
  if self.frame.run.of or self.step.reuse == "never" then return json.list {} end
  return json.list(memory.failed(store, self.goal, versions, self.frame.run.id))
end

local function look(self)
  local engine = self.frame.run.engine
  local store = self.frame.run.journal and engine.store
  local pins = pins_of(self)
  local versions = versions_in(pins)
  if not store then return { pins = pins, agents = {}, failed = json.list {} } end
  if not self.step.agents then
    local held = hold(self, pins)
    local ok, err = pcall(keeping.modules, engine, held.entries)
    held:release()
    if not ok then error(err, 0) end
  end
  return { pins = pins, agents = facts_of(store, versions), failed = remembered(self, store, versions), reuse = recalled(self, store) }
end

-- Money and contents ---------------------------------------------------------------------------------------

local MONEY = { usd = true, usd_estimated = true }

local function spent_before(journal, key)
  local total = 0
  local function add(usage)
    for name in pairs(MONEY) do total = total + (usage and usage[name] or 0) end
  end
  for inner, entry in pairs(journal and journal.recorded or {}) do
    if keys.is_below(inner, key) and type(entry[9]) == "table" then add(entry[9].usage) end
  end
  for inner, list in pairs(journal and journal.attempts or {}) do
    for _, entry in ipairs(keys.is_below(inner, key) and list or {}) do add(entry[6].usage) end
  end
  return total
end

-- What earlier lives have done in plans of this step.
local function memo_of(journal, key)
  local memo, count = {}, 0
  for inner, entry in pairs(journal and journal.recorded or {}) do
    local extra = entry[9]
    local content = entry[4] == "finished" and type(extra) == "table" and extra.content
    if content and keys.is_below(inner, key) and not memo[content] then
      memo[content], count = { key = inner, output = entry[8], label = extra.label }, count + 1
    end
  end
  return memo, count
end

local function money_of(usage)
  local sum = 0
  for name in pairs(MONEY) do sum = sum + (usage[name] or 0) end
  return sum
end

-- Counts the money of all that stands below the step, until it is closed.
local function metered(run, key, used)
  local spent
  local meter = run:meter(key, function(usage)
    local now = money_of(usage)
    used.usd, spent = used.usd + now - spent, now
  end)
  spent = money_of(meter.usage)
  return setmetatable({}, { __close = function() run:unmeter(meter) end })
end

-- Asking the planner ---------------------------------------------------------------------------------------

local function inner_frame(self)
  local inner = frames.inner(self.frame, self.key .. "/", self.frame.data)
  inner.planned, inner.held = self.shared, self.shared.held
  return inner
end

-- The planner is asked in the same order in every life.
local function planner_key(self)
  self.asked = self.asked + 1
  return self.asked == 1 and "planner" or "planner#" .. self.asked
end

local function run_inner(self, step, name)
  local status, value = step_runner.run(inner_frame(self), step, ("%s/%s"):format(self.key, name))
  if status == "finished" then return value end
  error(value, 0)
end

local function ask(self, problems)
  local tried = json.list {}
  for index, one in ipairs(self.tried) do tried[index] = one.version end
  local asked = { goal = { text = self.goal.text, want = self.goal.want }, subject = self.goal.subject,
    agents = versions_in(self.known.pins), tried = tried, problems = problems and json.list(problems) or nil }
  local use = self.step.planner
  return run_inner(self, { name = "planner", kind = planner, planner = use.name, module = use.module, options = use.options,
    model = self.step.model, retry = retry.policy(), is_simple = true, input = function() return asked end, work = self,
    problems = problems }, planner_key(self))
end

local function was_tried(self, version)
  for _, one in ipairs(self.tried) do
    if one.version == version then return one end
  end
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
    local before = plan and was_tried(self, plan.version)
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
  if not plan or was_tried(self, plan.version) then return nil end
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
    quorum = fields.quorum, on_timeout = fields.on_timeout }
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

local function compiled(self, plan)
  local definition = { kind = "pipeline", name = self.step.name, normal = plan.normal, version = plan.version,
    loaded_at = self.known.at_ms }
  local result = require("weir.run.plan").compile(definition)
  result.definition = definition
  return result
end

local function pins_for(self, plan)
  local pins = {}
  for _, name in ipairs(plan.agents) do pins["agents/" .. name] = self.known.pins["agents/" .. name] end
  return pins
end

local function tell(self, status, chosen, number, err)
  self.has_told_failure = status == "failed"
  self.frame.run:notify { kind = "plan", step = self.key, status = status, version = chosen and chosen.version,
    planner = self.step.planner.name, number = number, reused = chosen and chosen.reused, error = err }
end

-- Goes to the goal store together with what the journal says.
local function operations_of(self)
  if not self.record then return {} end
  return { memory.operation(self.record_id, self.record) }
end

local function note_plan(self, chosen, normal)
  if not self.record then return end
  local plans = self.record.plans
  plans[#plans + 1] = { version = chosen.version, normal = normal, pins = chosen.pins, status = "running", estimate = chosen.estimate,
    reused = chosen.reused, at_ms = chosen.at_ms }
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
  note_plan(self, chosen, passed.normal)
  if self.frame.run.journal then
    keeping.definitions(self.frame.run.engine, { compiled(self, passed) })
    local operations = operations_of(self)
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
  note_plan(self, chosen, normal)
  return chosen, normal
end

local function plan_of(self, number, before)
  local name = number == 1 and "" or "#" .. number
  local chosen = self:chosen("plan" .. name)
  local normal
  if chosen then chosen, normal = recall_plan(self, number, name, chosen) else chosen, normal = choose_plan(self, number, name, before) end
  tell(self, "planned", chosen, number)
  return chosen, normal
end

-- Carrying it out ------------------------------------------------------------------------------------------

-- The agents of a plan work as steps of a plan do.
local function mark(body)
  local mark_step
  function mark_step(step)
    if step.agent then step.kind = planned end
    if step.each then mark_step(step.each) end
    if step.reduce then mark_step(step.reduce.each) end
    if step.body then mark(step.body) end
  end
  for _, one in ipairs(body.groups) do
    for _, step in ipairs(one.steps) do mark_step(step) end
  end
end

local function due_of(self, name)
  local seconds = self.step.limits.seconds
  if not seconds then return nil end
  local left = seconds - (self.seconds or 0)
  return self:choose("due" .. name, function() return clock.wall_ms() + math.ceil(left * 1000) end)
end

local function limited(self, due_ms, err)
  if err.code ~= "timeout" or err.step or not due_ms or due_ms > clock.wall_ms() then return err end
  return failure.new("limit", "the plan did not finish within %g s (limits.seconds)", self.step.limits.seconds)
end

-- What ends the step, or this life of the run, is no failure of the plan.
local function stop_for(self, err)
  if err.mismatch or self.frame.run.interrupted or native.cancelled() then error(err, 0) end
end

local function plan_key(self, number)
  return ("%s/plan%s"):format(self.key, number == 1 and "" or "#" .. number)
end

local function run_plan(self, number, name, normal, version)
  local frame, run = self.frame, self.frame.run
  local of = compiled(self, { normal = normal, version = version })
  mark(of.body)
  local data = { input = value_of.copy(self.goal.given), run = frame.data.run, workspace = frame.data.workspace }
  local inner = frames.inner(frame, plan_key(self, number) .. "/", data)
  inner.planned, inner.held = self.shared, self.shared.held
  local due_ms = due_of(self, name)
  local limit_key = self.key .. "/plan" .. name
  if due_ms then parking.limit(run, limit_key, due_ms) end
  local began = clock.now()
  local ok, result = task.within({ timeout = due_ms and math.max(0, (due_ms - clock.wall_ms()) / 1000) }, function()
    return group.output_of(inner, of.body)
  end)
  if due_ms and not run.interrupted then parking.limit(run, limit_key, nil) end
  self.seconds = (self.seconds or 0) + clock.now() - began
  if ok then return true, result end
  local err = failure.of(result)
  stop_for(self, err)
  return false, limited(self, due_ms, err)
end

local function agent_in(groups, name)
  local function of_step(step)
    if step.name == name and step.agent then return step.agent end
    if step.map then
      if name == "reduce" and step.map.reduce then return step.map.reduce.agent end
      return of_step(step.map.each)
    end
    return step.groups and agent_in(step.groups, name)
  end
  for _, one in ipairs(groups) do
    for _, step in ipairs(one.steps) do
      local found = of_step(step)
      if found then return found end
    end
  end
end

local function failed_agent(normal, err)
  return err.step and agent_in(normal.groups, keys.name(err.step)) or nil
end

local function note_end(self, status, err)
  local record = self.record
  if not record then return end
  local latest = record.plans[#record.plans]
  record.status = status
  record.error = err and { code = err.code, message = err.message } or nil
  if not latest or latest.status ~= "running" then return end
  latest.status = status == "finished" and "finished" or "failed"
  latest.seconds, latest.usd = (clock.wall_ms() - latest.at_ms) / 1000, self.shared.used.usd
  latest.error = err and { code = err.code, message = err.message, step = err.step, agent = err.agent } or nil
end

-- What became of a plan that failed, the same in every life.
local function failed(self, number, name, normal, err)
  local chosen = self:chosen("plan" .. name .. "/failed")
  if not chosen then
    chosen = { code = err.code, message = err.message, step = err.step, agent = failed_agent(normal, err),
      finished = self.shared.finished, at_ms = clock.wall_ms() }
    note_end(self, number > self.step.replan and "failed" or "running", chosen)
    if self.record and number <= self.step.replan then self.record.plans[#self.record.plans].status = "failed" end
    self:keep("plan" .. name .. "/failed", chosen, operations_of(self))
  else
    note_end(self, "running", chosen)
    if self.record then self.record.plans[#self.record.plans].status = "failed" end
  end
  return chosen
end

local function raise_failed(self, failed_as, why)
  local err = failure.new(failed_as.code, "%s%s", failed_as.message, why and "; " .. why or "")
  err.step = failed_as.step
  if self.record then
    note_end(self, "failed", err)
    if self.frame.run.journal then memory.put(self.frame.run.engine.store, self.record_id, self.record) end
  end
  error(err, 0)
end

local NO_OTHER_PLAN_HELPS = { limit = true, cancelled = true }

local function stalled(now, before)
  return before and before.finished == now.finished
end

-- The plan, then others in its place as long as there are any and they get further.
local function pursue(self)
  local before, last_failed
  for number = 1, self.step.replan + 1 do
    local ok, chosen, normal = pcall(plan_of, self, number, before)
    if not ok then
      stop_for(self, failure.of(chosen))
      native.recover()
      if last_failed then raise_failed(self, last_failed, "and there is no other plan: " .. failure.of(chosen).message) end
      error(chosen, 0)
    end
    local name = number == 1 and "" or "#" .. number
    local known = self:chosen("plan" .. name .. "/failed")
    local done, result = false, known
    if known and self.frame.run.rehearsal then self.frame.run.rehearsal:settled(plan_key(self, number), "plan") end
    if not known then done, result = run_plan(self, number, name, normal, chosen.version) end
    if done then return result, chosen, number end
    local now = failed(self, number, name, normal, result)
    tell(self, "failed", chosen, number, now)
    if NO_OTHER_PLAN_HELPS[now.code] or number > self.step.replan then raise_failed(self, now) end
    if stalled(now, last_failed) then
      raise_failed(self, now, ("plan %d got no further than plan %d, so planning stops here"):format(number, number - 1))
    end
    table.insert(self.tried, { version = chosen.version, agent = now.agent, error = now })
    before, last_failed = normal, now
  end
end

-- The whole ------------------------------------------------------------------------------------------------

local function goal_for(frame, step, input)
  local written, message, code = step.goal(frame.data)
  if written == nil and message then failure.raise(code or "invalid", "goal: %s", message) end
  return goal_of.of(written, input)
end

local function tag_of(frame, step, attempt)
  local draft = step.critic and frame.draft or 1
  return attempt == 1 and draft == 1 and "" or ("~%d.%d"):format(draft, attempt)
end

local function new_record(self)
  local run = self.frame.run
  return { pipeline = run.plan.name, run = run.id, step = self.key, at_ms = self.known.at_ms, text = self.goal.text, want = self.goal.want,
    signature = self.goal.signature, subject = self.goal.subject, planner = self.step.planner.name, status = "running",
    plans = json.list {} }
end

local function check_nesting(frame, step)
  local depth = (frame.planned and frame.planned.depth or 0) + 1
  if depth > NESTED_MAX then
    failure.raise("limit", "step '%s': its agents plan in turn, more than %d plans deep; the plan goes round in a circle", step.name,
      NESTED_MAX)
  end
  return depth
end

local function begin(frame, step, key, input, attempt)
  local self = setmetatable({ frame = frame, step = step, key = key, tag = tag_of(frame, step, attempt), asked = 0 }, Work)
  local depth = check_nesting(frame, step)
  self.goal = goal_for(frame, step, input)
  self.known = self:choose("known", function()
    local found = look(self)
    found.at_ms = clock.wall_ms()
    return found
  end)
  self.tried = value_of.copy(self.known.failed)
  local journal = frame.run.journal
  local memo, count = memo_of(journal, key)
  self.shared = { held = hold(self, self.known.pins), memo = memo, finished = count, depth = depth,
    used = { usd = spent_before(journal, key) }, limit_usd = step.limits.usd }
  if journal then self.record_id, self.record = memory.id(frame.run.id, key .. self.tag), new_record(self) end
  return self
end

-- A goal that no plan reaches is remembered, too.
local function give_up(self, err)
  err = failure.of(err)
  stop_for(self, err)
  native.recover()
  if self.record and self.record.status == "running" then
    note_end(self, err.code == "rejected" and "rejected" or "failed", err)
    memory.put(self.frame.run.engine.store, self.record_id, self.record)
  end
  if not self.has_told_failure then tell(self, "failed", nil, nil, err) end
  error(err, 0)
end

local function finish(self, chosen, number)
  note_end(self, "finished")
  tell(self, "finished", chosen, number)
  local frame = self.frame
  if not self.record then return end
  local staged = rawget(frame, "staged") or {}
  staged[#staged + 1] = { committed = function() end, operations = function()
    local verdict = frame.verdict
    self.record.score = verdict and verdict.score or nil
    return operations_of(self)
  end }
  frame.staged = staged
end

--- Plans, carries the plan out, and gives its output. Waits.
function M.execute(frame, step, key, input, attempt, feedback)
  local self = begin(frame, step, key, input, attempt)
  self.feedback = feedback
  local held <close> = setmetatable({}, { __close = function() self.shared.held:release() end }) -- luacheck: ignore 211
  local meter <close> = metered(frame.run, key, self.shared.used) -- luacheck: ignore 211
  declare(self)
  local ok, output, chosen, number = pcall(pursue, self)
  if not ok then give_up(self, output) end
  finish(self, chosen, number)
  return output
end

return M
