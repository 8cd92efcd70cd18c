--- The cycle that follows a run: a proposal, what it may not touch, the approval of a person or a rule, a new version, its trial
--- beside the version that serves, on inputs that the reflection knows and on some that it does not; then it serves, or the
--- version before goes on serving. Again, until a limit is reached or nothing better is proposed.
---
--- It runs as a step of a run of its own. The journal has as choices: `KEY/(known)`, what was known when it began;
--- `KEY/(candidate)N/STATE`, the record of a candidate in each of its states, written together with the store's. Proposals,
--- questions and trials are steps below it. All that is worked out from these is the same in every life.

local adopt = require "weir.registry.adopt"
local allowance = require "weir.run.allowance"
local approval = require "weir.run.kinds.approval"
local binding = require "weir.run.binding"
local canary = require "weir.healing.canary"
local candidates = require "weir.candidate"
local clock = require "weir.port.clock"
local data_of = require "weir.reflection.data"
local failure = require "weir.failure"
local frames = require "weir.run.frame"
local json = require "weir.native.json"
local keeping = require "weir.run.keeping"
local memo_of = require "weir.reflection.memo"
local names = require "weir.registry.names"
local native = require "weir.native.scheduler"
local plan_of = require "weir.run.plan"
local planned = require "weir.planning.show"
local proposal_of = require "weir.reflection.proposal"
local retry = require "weir.run.retry"
local score_of = require "weir.reflection.score"
local step_runner = require "weir.run.step"
local trials_of = require "weir.reflection.trials"
local value_of = require "weir.value"

local M = {}

local RULE, SHORT = "rule", 12

---@class weir.reflection.Cycle
---@field frame weir.Frame
---@field step table
---@field key string
---@field input { run: string, rounds: integer?, only_propose: boolean? }
---@field reflect table        of the definition, with defaults
---@field pipeline string
---@field known table          {at_ms, version, pins, root, inputs, candidates}
---@field of weir.reflection.Version that is to be changed: what serves
---@field trials weir.reflection.Trials
---@field tuning weir.reflection.Input[]
---@field holdout weir.reflection.Input[]
---@field history table[]      candidates, the newest last
---@field kept string[]        versions that came to serve
local Cycle = {}
Cycle.__index = Cycle

-- Beginning ------------------------------------------------------------------------------------------------

function Cycle:choose(name, make)
  local journal = self.frame.run.journal
  if not journal then return make() end
  return journal:choice(("%s/(%s)"):format(self.key, name), make)
end

-- What serves now, with the modules that it uses, all of it in the store.
local function serving(engine, pipeline)
  local definition, err = engine.project:pipeline(pipeline)
  if not definition then
    failure.raise("not_found", "reflect: '%s' is no pipeline of this project by that name, so that no other version of it could serve: %s",
      pipeline, err.message)
  end
  if definition.kind == "flow" then failure.raise("invalid", "reflect: '%s' is a flow, which no patch can change", pipeline) end
  local plan = engine:plan_of(definition)
  local held = binding.hold(engine, plan)
  local pins = value_of.copy(held.pins)
  local plans = { plan }
  for _, child in pairs(held.children) do plans[#plans + 1] = child end
  local ok, kept = pcall(function()
    if not engine.store then return end
    keeping.definitions(engine, plans)
    keeping.modules(engine, held.entries)
  end)
  held:release()
  if not ok then error(kept, 0) end
  return plan, pins
end

local function look(self)
  local engine = self.frame.run.engine
  local plan, pins = serving(engine, self.pipeline)
  local root = adopt.root(engine.project.registry, "pipelines/" .. self.pipeline)
  local inputs = data_of.collect(engine.store, self.pipeline, self.reflect, self.input.run, plan.check_input)
  return { at_ms = clock.wall_ms(), version = plan.version, pins = pins, root = root,
    inputs = json.list(data_of.split(inputs, self.reflect.holdout)) }
end

local function version_of(normal, version, pins)
  return { normal = normal, version = version, pins = pins, mark = trials_of.mark(version, pins) }
end

local function normal_of(engine, version)
  local plan = engine.versions[version]
  if plan and plan.definition then return plan.definition.normal end
  local kept, message, code = engine.store:get("definitions", version)
  if not kept then failure.raise(code or "not_found", "definition %s is not in the store: %s", version:sub(1, SHORT), tostring(message)) end
  return kept.normal
end

local function sides(inputs)
  local tuning, holdout = {}, {}
  for _, one in ipairs(inputs) do table.insert(one.is_held_out and holdout or tuning, one) end
  return tuning, holdout
end

local function memo_for(self)
  local memo, run = {}, self.frame.run
  if not run.journal then return memo end
  memo_of.add_journal(memo, run.journal, self.key)
  for _, one in ipairs(self.known.inputs) do
    if one.run then memo_of.add_run(memo, run.engine, one.run) end
  end
  return memo
end

local function history_before(self)
  local list = {}
  for _, one in ipairs(candidates.list(self.frame.run.engine.store, { pipeline = self.pipeline, root = self.known.root })) do
    if one.cycle ~= self.frame.run.id then list[#list + 1] = one end
  end
  return list
end

local function begin(frame, step, key, input)
  local fields = step.reflection
  local self = setmetatable({ frame = frame, step = step, key = key, input = input, reflect = fields.reflect, pipeline = fields.pipeline,
    kept = json.list {} }, Cycle)
  self.known = self:choose("known", function() return look(self) end)
  self.tuning, self.holdout = sides(self.known.inputs)
  self.of = version_of(normal_of(frame.run.engine, self.known.version), self.known.version, self.known.pins)
  self.history = history_before(self)
  local seconds = self.reflect.limits.seconds
  self.due_ms = seconds and self.known.at_ms + math.ceil(seconds * 1000)
  self.trials = trials_of.new(frame, step, key, memo_for(self), self.due_ms)
  return self
end

-- Steps of the cycle ---------------------------------------------------------------------------------------

-- What ends the run, or this life of it, is no failure of a candidate.
local function stop_for(self, err)
  if err.mismatch or self.frame.run.interrupted or native.cancelled() then error(err, 0) end
  native.recover()
  return err
end

local function run_step(self, step, key)
  local inner = frames.inner(self.frame, self.key .. "/", self.frame.data)
  step.retry, step.is_simple = retry.policy(), true
  return step_runner.run(inner, step, self.key .. "/" .. key)
end

---@class weir.reflection.Stop why a cycle ends
---@field code "rounds"|"canary"|"no_proposal"|"no_improvement"|"limit"|"rejected"|"stale"|"failed"
---@field why string

local function stop(code, why, ...) return { code = code, why = why:format(...) } end

-- The time is looked at before anything is begun, money and work by the run's own budget.
local function limit_reached(self)
  if not self.due_ms or clock.wall_ms() < self.due_ms then return nil end
  return stop("limit", "the %g seconds of reflect.limits are over", self.reflect.limits.seconds)
end

-- The same as a choice, so that a later life stops where this one did.
local function stopped_by_time(self, name)
  if not self.due_ms then return nil end
  return self:choose("over/" .. name, function() return limit_reached(self) or false end) or nil
end

-- Whether what stopped a trial is that the reflection has nothing left, and not a limit of the pipeline for one run.
local function stopped_by_budget(self, name, err)
  if err.code ~= "limit" then return nil end
  return self:choose("spent/" .. name, function()
    for _, left in pairs(allowance.left(self.frame.run)) do
      if left <= 0 then return stop("limit", "%s", err.message) end
    end
    return false
  end) or nil
end

-- Scores of a version on some inputs; nil and why it ends when a limit is reached on the way.
local function measure(self, of, inputs)
  local engine = self.frame.run.engine
  for _, one in ipairs(inputs) do
    local name = ("%s/%s"):format(of.mark, one.hash)
    local over = stopped_by_time(self, name)
    if over then return nil, over end
    local score = self.trials:score(of, one, function() return data_of.value(engine.store, self.reflect, one) end)
    if score.error then
      stop_for(self, score.error)
      over = stopped_by_budget(self, name, score.error)
      if over then return nil, over end
      over = score.error.code == "timeout" and stopped_by_time(self, name .. "/after")
      if over then return nil, over end
    end
  end
  return self.trials.scores[of.mark] or {}
end

-- Inputs on which what serves cannot be measured tell nothing of what is tried beside it.
local function measurable(inputs, scores)
  local list = {}
  for _, one in ipairs(inputs) do
    if scores[one.hash] and scores[one.hash].value then list[#list + 1] = one end
  end
  return list
end

local function measure_serving(self)
  local scores, over = measure(self, self.of, self.known.inputs)
  if not scores then return over end
  self.tuning, self.holdout = measurable(self.tuning, scores), measurable(self.holdout, scores)
  if #self.tuning == 0 then
    local first = self.known.inputs[1]
    local err = first and scores[first.hash] and scores[first.hash].error
    return stop("failed", "what serves could not be measured on any input%s", err and ": " .. err.message or "")
  end
end

-- Candidates -----------------------------------------------------------------------------------------------

local function state_key(self, record, state) return ("%s/(candidate)%d/%s"):format(self.key, record.round, state) end

-- Whether a former life has written a candidate in a state.
local function was_put(self, record, state)
  local journal = self.frame.run.journal
  return journal ~= nil and journal.choices[state_key(self, record, state)] ~= nil
end

-- A candidate in a state, once: what a former life has written stands.
local function put(self, record, state, change)
  local journal = self.frame.run.journal
  local key = state_key(self, record, state)
  local known = journal and journal.choices[key]
  local made = known and value_of.copy(known[3])
  if not made then
    made = value_of.copy(record)
    made.state = state
    for name, value in pairs(change or {}) do made[name] = value end
    if state ~= "proposed" and state ~= "approved" and state ~= "canary" then made.ended_ms = clock.wall_ms() end
    if journal then journal:append_with({ candidates.operation(made) }, { "choice", key, made }, true) end
  end
  for name, value in pairs(made) do record[name] = value end
  self.frame.run:notify { kind = "candidate", step = self.key, id = made.id, status = state, pipeline = self.pipeline, round = made.round,
    version = made.version, error = made.code and { code = made.code, message = made.why } or nil }
  return record
end

local function propose(self, round, rounds)
  local use = self.step.proposer
  local engine = self.frame.run.engine
  local kind = proposal_of.kind(function()
    return proposal_of.record(engine, { run = self.input.run, of = self.of, reflect = self.reflect, candidates = self.history,
      round = round, rounds = rounds, scores = score_of.compare(self.tuning, self.trials.scores[self.of.mark] or {}) })
  end)
  return run_step(self, { name = "propose", kind = kind, who = use.name, module = use.module, options = use.options,
    input = function() return { round = round, version = self.of.mark } end }, ("round_%d/propose"):format(round))
end

local function new_record(self, round, proposal, made)
  return { id = candidates.id(self.frame.run.id, round), pipeline = self.pipeline, cycle = self.frame.run.id, run = self.input.run,
    round = round, root = self.known.root, parent = self.of.version, reason = proposal.reason, note = proposal.note,
    patch = proposal.patch, version = made and made.version, module = proposal.source and proposal.source.module,
    diff = made and made.diff, size = made and made.size, at_ms = clock.wall_ms() }
end

-- What a person is asked: the change itself, what it is made of, how large it is. The decision is bound to it by its hash.
local function question_of(self, record, made)
  return { pipeline = self.pipeline, reason = record.reason, serves = self.of.version, proposed = made.version, module = made.module,
    changes = made.diff or planned.changes(self.of.normal, made.patch), size = made.size }
end

local function ask_person(self, record, made)
  local fields = { title = function() return ("Try this change of '%s'?"):format(self.pipeline) end,
    show = function() return question_of(self, record, made) end, who = self.reflect.who }
  local kind = { name = "approval", is_durable = true, execute = function(frame, step, key, input, attempt)
    local decided = approval.ask(frame, step, key, input, attempt)
    local result = approval.result(step, key, decided)
    if decided.decision == "edit" then
      failure.raise("rejected", "%s gave another change instead; write it into the file, or reject this one", result.by)
    end
    return { by = result.by, comment = result.comment, hash = decided.hash }
  end }
  local status, value = run_step(self, { name = "approval", kind = kind, approval = fields,
    input = function() return { patch = record.patch, module = made.module, text = made.kept and made.kept.text } end },
    ("round_%d/approval"):format(record.round))
  if status == "finished" then return value end
  stop_for(self, value)
  return nil, value
end

-- The rule lets pass what only sets steps otherwise; what changes the steps themselves, or a source, is a person's to decide.
local function approve(self, record, made)
  if self.reflect.approve == "auto" and made.is_of_settings then return { by = RULE } end
  return ask_person(self, record, made)
end

local function is_better(self, scores)
  return score_of.is_better(scores, self.reflect.better, self.reflect.margin)
end

-- On the inputs that the reflection knows, then on those that it does not. Gives a state, and why it ends.
local function try(self, record, of)
  local before = self.trials.scores[self.of.mark]
  local result = {}
  local function measured(name, inputs)
    local scores, over = measure(self, of, inputs)
    result[name] = score_of.compare(inputs, before, self.trials.scores[of.mark] or {})
    if not scores then return nil, "limit", over.why, over end
    local better, why = is_better(self, result[name])
    if better then return true, nil, why end
    return nil, "no_gain", ("%s: %s"):format(name, why)
  end
  local ok, code, why, over = measured("tuning", self.tuning)
  if ok and #self.holdout == 0 then
    ok, code = nil, "no_holdout"
    why = "no input was held out to check it on; give `examples`, or run the pipeline on other inputs"
  elseif ok then
    ok, code, why, over = measured("holdout", self.holdout)
  end
  result.cost, result.code, result.why = self.trials:cost(of), code, why
  return ok, result, over, record
end

-- A part of the runs has it, until the policy of the canary promotes it or rolls it back.
local function try_on_runs(self, record, full, new, result)
  local engine = self.frame.run.engine
  local under_way = canary.of(engine.store, full)
  if not under_way or under_way.new ~= new.version then
    local current = assert(names.ensure(engine.project.registry, full))
    canary.start(engine, full, { percent = self.reflect.canary, new = adopt.prepared(new, current), by = record.by, via = "reflection" })
  end
  put(self, record, "canary", result)
  canary.settle(engine, full, new.version) -- runs may have ended the trial meanwhile
  return record
end

local function end_on_trial(self)
  return stop("canary", "%g %% of the runs have the candidate from now on; `weir canary` shows how they do", self.reflect.canary)
end

-- Something else may serve by the time of a later life: what was decided then holds.
local function keep(self, record, made, result)
  if was_put(self, record, "kept") then return put(self, record, "kept") end
  if was_put(self, record, "canary") then return put(self, record, "canary"), end_on_trial(self) end
  if was_put(self, record, "reverted") then return put(self, record, "reverted"), stop("stale", "something else came to serve") end
  local engine = self.frame.run.engine
  local full = made.entry and made.module or "pipelines/" .. self.pipeline
  local new = made.entry or made.definition
  if self.reflect.canary then
    local begun, failed = pcall(try_on_runs, self, record, full, new, result)
    if begun then return record, end_on_trial(self) end
    failed = stop_for(self, failure.of(failed))
    result.code, result.why = "stale", failed.message
    return put(self, record, "reverted", result), stop("stale", "%s", failed.message)
  end
  local ok, err = pcall(adopt.adopt, engine.project.registry, full, new, { by = record.by == RULE and self.frame.run.by or record.by,
    via = "reflection", instead = made.entry and self.of.pins[full] or self.of.version, action = "reflect" })
  if ok then return put(self, record, "kept", result) end
  err = stop_for(self, failure.of(err))
  result.code, result.why = "stale", err.message
  return put(self, record, "reverted", result), stop("stale", "%s", err.message)
end

-- Versions of all that a candidate uses: of what is new in it, those that serve when it is first tried.
local function pinned(self, record, made)
  local engine = self.frame.run.engine
  return self:choose("pins/" .. record.round, function()
    local plan = plan_of.compile { kind = "pipeline", name = made.normal.name, normal = made.normal, version = made.version }
    local held = binding.hold_pinned(engine, plan, made.pins)
    local pins = value_of.copy(held.pins)
    local ok, err = pcall(keeping.modules, engine, held.entries)
    held:release()
    if not ok then error(err, 0) end
    for full, version in pairs(made.pins) do pins[full] = pins[full] or version end
    return pins
  end)
end

-- One candidate from its proposal to its end. Gives the record, and why the cycle ends, if it does.
local function pursue(self, round, proposal)
  local engine = self.frame.run.engine
  local made, message, code = proposal_of.make(engine, self.of, proposal, self.reflect.limits)
  local record = new_record(self, round, proposal, made)
  if not made then return put(self, record, "refused", { code = code, why = message }) end
  put(self, record, "proposed")
  if self.input.only_propose then return record end
  local approved, err = approve(self, record, made)
  if not approved then
    put(self, record, "refused", { code = err.code, why = err.message, by = err.by })
    return record, stop("rejected", "%s", err.message)
  end
  local loaded, why = proposal_of.load(engine, made)
  if not loaded then return put(self, record, "refused", { code = "invalid", why = why, by = approved.by }) end
  put(self, record, "approved", { by = approved.by, hash = approved.hash, module_version = made.entry and made.entry.version })
  made.pins = pinned(self, record, made)
  local of = version_of(made.normal, made.version, made.pins)
  local better, result, over = try(self, record, of)
  if not better then return put(self, record, "reverted", result), over end
  local _, stale = keep(self, record, made, result)
  if record.state == "kept" then self.of = of end
  return record, stale
end

-- The loop -------------------------------------------------------------------------------------------------

local function rounds_of(self)
  return self.input.only_propose and 1 or self.input.rounds or self.reflect.iterations
end

local function look_once(self, round, rounds)
  local over = stopped_by_time(self, "round_" .. round)
  if over then return nil, over end
  local status, proposal = propose(self, round, rounds)
  if status ~= "finished" then
    stop_for(self, proposal)
    return nil, stop(proposal.code == "limit" and "limit" or "failed", "%s", proposal.message)
  end
  if proposal.nothing then return nil, stop("no_proposal", "the reflection proposes nothing more") end
  return pursue(self, round, proposal)
end

local function loop(self)
  local rounds, in_vain, made = rounds_of(self), 0, 0
  local over = not self.input.only_propose and measure_serving(self) or nil
  self.scores_before = self.trials.scores[self.of.mark] or {}
  for round = 1, over and 0 or rounds do
    local record
    record, over = look_once(self, round, rounds)
    if record then
      made = made + 1
      self.history[#self.history + 1], self.latest = record, record
      in_vain = (record.state == "kept" or record.state == "canary") and 0 or in_vain + 1
      if record.state == "kept" then self.kept[#self.kept + 1] = record.module_version or record.version end
    end
    if over then break end
    if in_vain >= self.reflect.patience then
      over = stop("no_improvement", "%d candidates one after the other were not better", in_vain)
      break
    end
  end
  return made, over or stop("rounds", "%d of %d rounds are done", rounds, rounds)
end

local function proposed(self)
  local record = self.latest
  return record and { state = record.state, reason = record.reason, patch = record.patch, diff = record.diff, module = record.module,
    version = record.version, code = record.code, why = record.why } or nil
end

--- Reflects on a run. Waits.
---@param frame weir.Frame
---@param step table
---@param key string
---@param input { run: string, rounds: integer?, only_propose: boolean? }
---@return { pipeline: string, from: string, to: string, rounds: integer, kept: string[], stopped: weir.reflection.Stop,
---  scores: { tuning: table, holdout: table }, proposed: table? }
function M.run(frame, step, key, input)
  local self = begin(frame, step, key, input)
  local made, over = loop(self)
  local after = self.trials.scores[self.of.mark] or {}
  local function mean(inputs)
    local scores = score_of.compare(inputs, self.scores_before, after)
    return { before = scores.before, after = scores.after, inputs = #inputs }
  end
  return { pipeline = self.pipeline, from = self.known.version, to = self.of.version, rounds = made, kept = self.kept, stopped = over,
    scores = { tuning = mean(self.tuning), holdout = mean(self.holdout) }, proposed = input.only_propose and proposed(self) or nil }
end

return M
