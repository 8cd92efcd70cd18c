--- A step that reaches a goal by steps which a planner finds. The plan is a pipeline in normal form; it is checked, signed off
--- if that is asked for, kept under its hash, and carried out below the step: `KEY/plan/...`, the one that replaces it when it
--- fails `KEY/plan#2/...`. Its planner stands under `KEY/planner`, who signed it off under `KEY/sign_off`.
---
--- The journal has as choices: `KEY/(known)`, what was known when planning began; `KEY/(offer)`, what a person was shown;
--- `KEY/(plan)`, the plan; `KEY/(plan)/failed`, what became of it. All that is worked out from these is the same in every life.

local choosing = require "weir.planning.choosing"
local clock = require "weir.port.clock"
local failure = require "weir.failure"
local frames = require "weir.run.frame"
local group = require "weir.run.group"
local keys = require "weir.run.keys"
local memory = require "weir.planning.memory"
local native = require "weir.native.scheduler"
local parking = require "weir.run.parking"
local planned = require "weir.run.kinds.planned"
local task = require "weir.task"
local value_of = require "weir.value"
local work = require "weir.planning.work"

local M = { name = "plan", has_steps = true }

-- Carrying it out ------------------------------------------------------------------------------------------

-- The agents of a plan work as steps of a plan do.
local function mark(body)
  local mark_step
  function mark_step(step)
    if step.agent then step.kind = planned end
    if step.each then mark_step(step.each) end
    if step.reduce then step.reduce.each.kind, step.reduce.each.is_reduce = planned, true end
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
  local of = self:compiled({ normal = normal, version = version })
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

-- What became of a plan that failed, the same in every life.
local function failed(self, number, name, normal, err)
  local chosen = self:chosen("plan" .. name .. "/failed")
  if not chosen then
    chosen = { code = err.code, message = err.message, step = err.step, agent = failed_agent(normal, err),
      finished = self.shared.finished, at_ms = clock.wall_ms() }
    self:note_end(number > self.step.replan and "failed" or "running", chosen)
    if self.record and number <= self.step.replan then self.record.plans[#self.record.plans].status = "failed" end
    self:keep("plan" .. name .. "/failed", chosen, self:operations())
  else
    self:note_end("running", chosen)
    if self.record then self.record.plans[#self.record.plans].status = "failed" end
  end
  return chosen
end

local function raise_failed(self, failed_as, why)
  local err = failure.new(failed_as.code, "%s%s", failed_as.message, why and "; " .. why or "")
  err.step = failed_as.step
  if self.record then
    self:note_end("failed", err)
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
    local ok, chosen, normal = pcall(choosing.plan, self, number, before)
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
    self:tell("failed", chosen, number, now)
    if NO_OTHER_PLAN_HELPS[now.code] or number > self.step.replan then raise_failed(self, now) end
    if stalled(now, last_failed) then
      raise_failed(self, now, ("plan %d got no further than plan %d, so planning stops here"):format(number, number - 1))
    end
    table.insert(self.tried, { version = chosen.version, agent = now.agent, error = now })
    before, last_failed = normal, now
  end
end

-- The whole ------------------------------------------------------------------------------------------------

-- A goal that no plan reaches is remembered, too.
local function give_up(self, err)
  err = failure.of(err)
  stop_for(self, err)
  native.recover()
  if self.record and self.record.status == "running" then
    self:note_end(err.code == "rejected" and "rejected" or "failed", err)
    memory.put(self.frame.run.engine.store, self.record_id, self.record)
  end
  if not self.has_told_failure then self:tell("failed", nil, nil, err) end
  error(err, 0)
end

local function finish(self, chosen, number)
  self:note_end("finished")
  self:tell("finished", chosen, number)
  local frame = self.frame
  if not self.record then return end
  local staged = rawget(frame, "staged") or {}
  staged[#staged + 1] = { committed = function() end, operations = function()
    local verdict = frame.verdict
    self.record.score = verdict and verdict.score or nil
    return self:operations()
  end }
  frame.staged = staged
end

--- Plans, carries the plan out, and gives its output. Waits.
function M.execute(frame, step, key, input, attempt, feedback)
  local self <close> = work.begin(frame, step, key, input, attempt)
  self.feedback = feedback
  local ok, output, chosen, number = pcall(pursue, self)
  if not ok then give_up(self, output) end
  finish(self, chosen, number)
  return output
end

return M
