--- Supervision of a run's steps: a step of which every attempt has failed is an incident, its supervisors decide about it, and what
--- they decide is in the journal before it is carried out, in one transaction with the record of the incident. A later life of the
--- run finds the decision and does not ask again.

local clock = require "weir.port.clock"
local controls = require "weir.healing.controls"
local decide = require "weir.healing.decide"
local duration = require "weir.duration"
local failure = require "weir.failure"
local fingerprint = require "weir.healing.fingerprint"
local incident_of = require "weir.healing.incident"
local keys = require "weir.run.keys"
local limits = require "weir.healing.limits"
local native = require "weir.native.scheduler"
local notice = require "weir.healing.notice"
local question = require "weir.run.question"
local remedies = require "weir.healing.remedies"
local value_of = require "weir.value"

local M = {}

local REMEMBERED = 86400 -- seconds for which incidents of one family are counted
local SEEN_MAX = 200     -- that a supervisor is told of

-- Supervisors -------------------------------------------------------------------------------------------

local function seconds(value)
  return value ~= nil and (duration.parse(value)) or nil
end

local function limits_of(options)
  return limits.of { attempts = options.attempts, cooldown = seconds(options.cooldown), cap = options.cap,
    within = seconds(options.within) }
end

local function of_run(run, use)
  local entry = run.binding.entries[use.module]
  local options = run:options_of(use)
  return { name = use.name, module = entry.module, version = entry.version, options = options, state = run:state_of(use, options),
    limits = limits_of(options) }
end

-- Those of the project, as they serve now: a run does not pin them.
local function of_project(engine, use)
  local registry = engine.project.registry
  local entry, err = registry:lookup("supervisor", use.use)
  if not entry then error(err, 0) end
  local options = registry:options(entry, engine.project:options_of("supervisors/" .. use.use), use.options)
  return { name = use.use, module = entry.module, version = entry.version, options = options, state = registry:state(entry, options),
    limits = limits_of(options) }
end

--- A supervisor by its name, with options over the project's. Raises `not_found`, `invalid`.
---@param engine weir.Engine
---@param name string
---@param options table|nil
---@return weir.Supervisor
function M.named(engine, name, options)
  return of_project(engine, { use = name, options = options })
end

-- One that cannot be had, or whose options do not fit, keeps no run from its work: it is told when it would have been asked.
local function sound_or_broken(name, make, ...)
  local ok, made = pcall(make, ...)
  if ok then return made end
  local err = failure.of(made)
  return { name = name, module = { on = function() error(err, 0) end }, options = {}, limits = limits_of {} }
end

--- The supervisors of every run, as the setting `supervise` names them.
---@param engine weir.Engine
---@return weir.Supervisor[]
function M.of_engine(engine)
  local list = {}
  for index, use in ipairs(engine.project.settings.supervise or {}) do
    use = type(use) == "string" and { use = use } or use
    list[index] = sound_or_broken(use.use, of_project, engine, use)
  end
  return list
end

-- The pipeline that a step is of: the run's, or one that a step of it stands for.
local function plan_of(frame)
  if not frame.pipeline then return frame.run.plan, "" end
  return frame.pipeline.plan, frame.pipeline.prefix
end

-- The supervisors of a step: its pipeline's, where that has any, else those of the one around it; then the project's.
local function of_frame(frame)
  local list, run = {}, frame.run
  for index, use in ipairs(plan_of(frame).supervise or run.plan.supervise or {}) do
    list[index] = sound_or_broken(use.name, of_run, run, use)
  end
  for _, one in ipairs(M.of_engine(run.engine)) do list[#list + 1] = one end
  return list
end

--- The supervisors of a run's pipeline, and the project's.
---@param run weir.Run
---@return weir.Supervisor[]
function M.of_pipeline(run) return of_frame { run = run } end

--- Whether a run has supervisors. Does not wait.
---@param run weir.Run
---@return boolean
function M.has_any(run)
  local all = run.engine.project.settings.supervise
  if run.plan.supervise or all and #all > 0 then return true end
  for _, child in pairs(run.binding.children) do
    if child.supervise then return true end
  end
  return false
end

--- The shortest time that a supervisor of a run calls stuck; nil when none does.
---@param run weir.Run
---@return number|nil seconds
function M.stuck_seconds(run)
  local least
  local function look(options)
    local given = options and seconds(options.stuck)
    if given then least = math.min(least or given, given) end
  end
  local plans = { run.plan }
  for _, child in pairs(run.binding.children) do plans[#plans + 1] = child end
  for _, plan in ipairs(plans) do
    for _, use in ipairs(plan.supervise or {}) do look(sound_or_broken(use.name, of_run, run, use).options) end
  end
  for _, one in ipairs(M.of_engine(run.engine)) do look(one.options) end
  return least
end

-- What came before ---------------------------------------------------------------------------------------

---@class weir.HealingDesk what a process knows of the incidents of a store
---@field families table<string, number[]>  when they came, in seconds, the oldest first
---@field pipelines table<string, number[]> when a pipeline's incidents got remedies

local function desk_of(engine)
  local desk = engine.healing
  if desk then return desk end
  desk = { families = {}, pipelines = {} }
  engine.healing = desk
  for _, one in ipairs(engine.store and incident_of.since(engine.store, clock.wall_ms() - 3600 * 1000) or {}) do
    if one.state == "remedied" and one.pipeline then
      desk.pipelines[one.pipeline] = desk.pipelines[one.pipeline] or {}
      table.insert(desk.pipelines[one.pipeline], one.at_ms / 1000)
    end
  end
  return desk
end

local function seen_of(engine, family)
  local desk = desk_of(engine)
  local seen = desk.families[family]
  if seen then return seen end
  seen = {}
  local since_ms = clock.wall_ms() - REMEMBERED * 1000
  for index, at_ms in ipairs(engine.store and incident_of.times_of_family(engine.store, family, since_ms, 2 * SEEN_MAX) or {}) do
    seen[index] = at_ms / 1000
  end
  desk.families[family] = seen
  return seen
end

local function note(list, at)
  list[#list + 1] = at
  if #list > 2 * SEEN_MAX then table.move(list, #list - SEEN_MAX + 1, #list + SEEN_MAX, 1) end
end

-- A step in whichever visit of its group.
local function place_of(key) return (key:gsub("#%d+", "")) end

local function add_at(by_place, incident)
  if not incident.step or incident.kind == "supervisor" then return end
  local place = place_of(incident.step)
  by_place[place] = by_place[place] or {}
  table.insert(by_place[place], incident)
end

-- The incidents of a run by the place of their step, in this life and before.
local function incidents_of(run)
  local by_place = rawget(run, "incidents")
  if by_place then return by_place end
  by_place = {}
  for _, one in ipairs(run.was_reopened and run.engine.store and incident_of.of_run(run.engine.store, run.id) or {}) do
    add_at(by_place, one)
  end
  run.incidents = by_place
  return by_place
end

-- Deciding -----------------------------------------------------------------------------------------------

---@class weir.Healing of one step that is under way
local Healing = {}
Healing.__index = Healing

local function is_counted(one)
  return one.remedy ~= nil and one.remedy.name ~= "escalate"
end

-- What was tried for this step before, the oldest first.
local function before(self)
  local list = {}
  for _, one in ipairs(incidents_of(self.run)[place_of(self.key)] or {}) do
    if is_counted(one) then list[#list + 1] = one end
  end
  return list
end

local function agent_of(self)
  local module = self.step.module
  local entry = module and (self.frame.held or self.run.binding).entries[module]
  return module, entry and entry.version
end

local function new_incident(self, err, attempt)
  local run = self.run
  local agent, version = agent_of(self)
  local plan = plan_of(self.frame)
  local name, family, text = fingerprint.of(err, { pipeline = plan.name, step = self.key, agent = agent, version = version })
  return incident_of.new { kind = err.class == "stuck" and "stuck" or "step", code = err.code, message = err.message, fingerprint = name,
    family = family, text = text, pipeline = plan.name, version = plan.version, run = run.id, step = self.key,
    agent = agent, agent_version = version, attempt = attempt }
end

-- An incident as supervisors see it.
local function shown(self, incident, tried)
  local view = { at = incident.at_ms / 1000, name = self.step.name, visit = self.frame.visit or 1, seen = {}, before = {} }
  for name, value in pairs(incident) do view[name] = value end
  view.agent = self.step.agent
  local seen = seen_of(self.run.engine, incident.family)
  table.move(seen, math.max(1, #seen - SEEN_MAX + 1), #seen, 1, view.seen)
  for index, one in ipairs(tried) do
    view.before[index] = { at = one.at_ms / 1000, remedy = one.remedy.name, args = one.remedy.args, code = one.code, family = one.family }
  end
  return view
end

local function done_of(self, tried)
  local of_step = {}
  for index, one in ipairs(tried) do of_step[index] = one.at_ms / 1000 end
  return { of_step = of_step, of_pipeline = desk_of(self.run.engine).pipelines[plan_of(self.frame).name] or {} }
end

--- A supervisor that failed is an incident, too: of those nobody but a person takes care.
---@param incident weir.Incident over which it was asked
---@param faults weir.SupervisorFault[]
---@return weir.Incident[]
function M.fault_incidents(incident, faults)
  local list = {}
  for index, fault in ipairs(faults) do
    local full = "supervisors/" .. fault.by
    local name, family, text = fingerprint.of(fault, { agent = full, version = fault.version })
    list[index] = incident_of.new { kind = "supervisor", state = "escalated", code = fault.code, message = fault.message,
      fingerprint = name, family = family, text = text, agent = full, agent_version = fault.version, pipeline = incident.pipeline,
      run = incident.run, caused_by = incident.id, reason = "none mends itself" }
  end
  return list
end

-- Where a run may go on from: a group of its own that is not behind the one that failed.
local function refuse_restart(self, remedy)
  if remedy.name ~= "restart" or not remedy.args.from then return nil end
  local plan, prefix = plan_of(self.frame)
  local to = plan.body and plan.body.index[remedy.args.from]
  local here = plan.body and plan.body.index[place_of(keys.root(self.key:sub(#prefix + 1)))]
  if to and here and to <= here then return nil end
  return ("there is no group '%s' at or before step '%s'"):format(remedy.args.from, self.key)
end

-- What cannot be done to this step is for a person.
local function check_possible(self, decision)
  local remedy = decision.remedy
  if decision.state ~= "remedied" then return end
  local refusal = refuse_restart(self, remedy)
  if self.step.once and remedies.by_name[remedy.name].again then refusal = "the step may be started only once" end
  if remedy.name == "restart" and plan_of(self.frame).flow then refusal = "a flow has no groups" end
  if remedy.name == "pause" and not self.run.journal then refusal = "a run that keeps nothing cannot be paused" end
  if not refusal then return end
  decision.state, decision.reason = "escalated", ("%s is not possible: %s"):format(remedy.name, refusal)
  decision.remedy = { name = "escalate", args = { ask = false } }
end

-- A person is asked where the question can be kept, and the step tried again.
local function asks(self, decision)
  return decision.remedy.name == "escalate" and decision.remedy.args.ask ~= false and self.run.journal ~= nil and not self.step.once
end

--- When incidents of a pipeline got remedies, in seconds, the oldest first.
---@param engine weir.Engine
---@param pipeline string|nil
---@return number[]
function M.remedied(engine, pipeline)
  return desk_of(engine).pipelines[pipeline or ""] or {}
end

--- An incident that is no step's as supervisors see it.
---@param engine weir.Engine
---@param incident weir.Incident
---@return table
function M.view(engine, incident)
  local view = { at = incident.at_ms / 1000, seen = {}, before = {} }
  for name, value in pairs(incident) do view[name] = value end
  local seen = seen_of(engine, incident.family)
  table.move(seen, math.max(1, #seen - SEEN_MAX + 1), #seen, 1, view.seen)
  return view
end

--- Counts an incident that is written.
---@param engine weir.Engine
---@param incident weir.Incident
function M.note(engine, incident)
  note(seen_of(engine, incident.family), incident.at_ms / 1000)
  if incident.state ~= "remedied" then return end
  local pipelines, name = desk_of(engine).pipelines, incident.pipeline or ""
  pipelines[name] = pipelines[name] or {}
  note(pipelines[name], incident.at_ms / 1000)
end

local function tell(self, incident)
  local run = self.run
  M.note(run.engine, incident)
  add_at(incidents_of(run), incident)
  if run.listener then
    run:notify { kind = "incident", step = incident.step, incident = incident.id, incident_kind = incident.kind, state = incident.state,
      remedy = incident.remedy and incident.remedy.name, by = incident.by, reason = incident.reason, code = incident.code,
      message = incident.message, fingerprint = incident.fingerprint }
  end
end

-- What becomes of the remedies that are still open.
local function conclude(self, outcome, operations)
  local incidents = rawget(self.run, "incidents")
  for _, one in ipairs(incidents and incidents[place_of(self.key)] or {}) do
    if one.state == "remedied" and not one.outcome then
      one.outcome, one.ended_ms = outcome, clock.wall_ms()
      local now = self.run.engine.store:get(incident_of.SPACE, one.id) or one -- somebody may have done something about it meanwhile
      now.outcome, now.ended_ms = one.outcome, one.ended_ms
      incident_of.update(operations, value_of.known(now))
    end
  end
end

-- What is written, and what is to be called once it is.
local function all_operations(self, incident, faults, decision)
  local operations = {}
  if not self.run.engine.store then return operations, {} end
  conclude(self, "failed", operations) -- what was tried before has not helped, or not for long
  incident_of.write(operations, incident)
  local told = { notice.add(self.run.engine.store, operations, incident, self.run.event) }
  for index, fault in ipairs(faults) do
    incident_of.write(operations, fault)
    told[index + 1] = notice.add(self.run.engine.store, operations, fault, self.run.event)
  end
  if decision.state == "remedied" then
    local change, committed = controls.apply(self.run.engine.store, decision.remedy, incident)
    operations[#operations + 1], told[#told + 1] = change, committed
  end
  if decision.remedy and decision.remedy.name == "quarantine" then
    operations[#operations + 1] = { op = "put", space = incident_of.QUARANTINE, key = incident.id, value = { run = self.run.id,
      pipeline = incident.pipeline, step = self.key, input = self.input, at_ms = incident.at_ms } }
  end
  return operations, told
end

-- Whether what is decided is carried out by this step: else it fails, and says so.
local function is_carried_out(self, decision)
  if decision.state == "passed" then return false end
  local name = decision.remedy.name
  if name == "escalate" then return asks(self, decision) end
  return remedies.by_name[name].again or name == "quarantine"
end

--- Decides about an attempt that failed and that no other follows by itself. Does not wait. What it gives is to be written before
--- it is carried out.
---@param err table the error; gets `healing`: {incident, restart?}
---@param attempt integer
---@return table|nil remedy {name, args, incident, by}; nil: the step fails
---@return table[] operations of the store
---@return fun() written to be called once they are
function Healing:decide(err, attempt)
  local tried = before(self)
  local incident = new_incident(self, err, attempt)
  local decision, faults = decide.decide(shown(self, incident, tried), of_frame(self.frame), done_of(self, tried))
  check_possible(self, decision)
  incident.state, incident.by, incident.reason = decision.state, decision.by, decision.reason
  incident.remedy = decision.remedy and { name = decision.remedy.name, args = decision.remedy.args }
  local fault_list = M.fault_incidents(incident, faults)
  local operations, told = all_operations(self, incident, fault_list, decision)
  err.healing = { incident = incident.id }
  local restarts = decision.state == "remedied" and decision.remedy.name == "restart"
  if restarts then err.healing.restart = decision.remedy.args end
  local remedy = is_carried_out(self, decision)
    and { name = decision.remedy.name, args = decision.remedy.args, incident = incident.id, by = decision.by } or nil
  self.is_over = not remedy and not restarts
  return remedy, operations, function()
    for _, committed in ipairs(told) do committed() end
    M.enact(self.run.engine, decision, incident)
    tell(self, incident)
    for _, fault in ipairs(fault_list) do tell(self, fault) end
  end
end

--- Has what a remedy changed for many runs hold in this process at once.
---@param engine weir.Engine
---@param decision weir.Decision
---@param incident weir.Incident
function M.enact(engine, decision, incident)
  if decision.state ~= "remedied" then return end
  local remedy = decision.remedy
  if remedy.name == "breaker" then
    require("weir.model").of(engine).router.admission:hold(remedy.args.model, remedy.args["for"] or 600)
  elseif remedy.name == "concurrency" then
    for _, run in pairs(engine.live) do
      if run.plan.name == incident.pipeline then
        for pace in pairs(run.paces or {}) do pace:cap(remedy.args.limit) end
      end
    end
  end
end

-- Carrying out ---------------------------------------------------------------------------------------------

local CARRY = {}

function CARRY.quarantine(self, remedy, err)
  self.is_over = true
  err.healing = { incident = remedy.incident, set_aside = true }
  return err
end

-- A pause is over when the run is resumed, in another life.
function CARRY.pause(self, remedy, err)
  local run, choice = self.run, ("paused/%s"):format(remedy.incident)
  if run.journal.choices[choice] then return nil end
  run.journal:append { "choice", choice, true }
  run:pause(("incident %s: %s"):format(remedy.incident, err.message:match "^[^\n]*"))
  native.check()
end

local function merge(self, more)
  local given = self.frame.remedied or { key = self.key }
  self.frame.remedied = given
  if more.options then
    given.options = given.options or {}
    for name, value in pairs(more.options) do given.options[name] = value end
  end
  given.model = more.model or given.model
end

-- A person says: once more, with other options if they like; without the step; or let it fail.
function CARRY.escalate(self, remedy, err)
  local record = question.ask(self.frame, self.key .. "/incident", { kind = "approval", who = remedy.args.who,
    title = remedy.args.title or ("Step '%s' failed; try it again?"):format(self.key),
    show = { error = { code = err.code, message = err.message }, incident = remedy.incident, input = self.input,
      approve = "once more", edit = "{options: {...}}: once more with these; {skip: true}: go on without the step", reject = "it fails" } })
  local answer = type(record.answer) == "table" and record.answer or {}
  if record.decision == "approve" then return nil end
  if record.decision ~= "edit" then return err end
  if answer.skip == true then return CARRY.quarantine(self, remedy, err) end
  merge(self, { options = type(answer.options) == "table" and answer.options or nil })
  return nil
end

local OVERRIDES = {
  parameter = function(self, args) merge(self, { options = args.options }) end,
  model = function(self, args) merge(self, { model = args.model }) end,
  version = function(self, args) self.frame.held = require("weir.healing.versions").held(self.run, self.step.module, args.version) end,
}

--- Carries a remedy out that stands in the journal. Waits.
---@param remedy table
---@param err table why it was needed
---@return table|nil err the step is not tried again; with `healing.set_aside` it is skipped
function Healing:carry_out(remedy, err)
  local override = OVERRIDES[remedy.name]
  if override then override(self, remedy.args) end
  local carry = CARRY[remedy.name]
  if carry then return carry(self, remedy, err) end
end

--- The step has finished: what healed it is told in one transaction with its outcome.
function Healing:succeeded()
  self.is_over = true
  local incidents, frame = rawget(self.run, "incidents"), self.frame
  if not incidents or not self.run.engine.store then return end
  local operations = {}
  conclude(self, "healed", operations)
  if #operations == 0 then return end
  frame.staged = rawget(frame, "staged") or {}
  table.insert(frame.staged, { operations = function() return operations end, committed = function() end })
end

--- Goes on with what an earlier life decided: the overrides hold again, the latest remedy is carried out. Waits.
---@param latest { remedy: table|nil, err: table }
---@return table|nil err as of `carry_out`
function Healing:resume(latest)
  for _, one in ipairs(before(self)) do
    local override = OVERRIDES[one.remedy.name]
    if override then override(self, one.remedy.args) end
  end
  if not latest.remedy then return nil end
  return self:carry_out(latest.remedy, failure.of(latest.err))
end

--- Ends it: the step's frame is as it was. Items of a map do not come again, and a map has many.
function Healing:close()
  self.frame.remedied, self.frame.held = nil, self.held
  local incidents = rawget(self.run, "incidents")
  if incidents and self.is_over and self.key:find("[", 1, true) then incidents[place_of(self.key)] = nil end
end

--- Supervises one step while its attempts are made.
---@param frame table
---@param step table of the plan
---@param key string
---@param input any
---@return weir.Healing
function M.of_step(frame, step, key, input)
  return setmetatable({ frame = frame, run = frame.run, step = step, key = key, input = input, held = rawget(frame, "held") },
    Healing)
end

--- The options that a remedy gives a step, over its own. Raises `invalid` when they do not fit.
---@param run weir.Run
---@param step table
---@param held weir.Binding|nil
---@param given table
---@return table
function M.options(run, step, held, given)
  local entry = (held or run.binding).entries[step.module]
  local merged = value_of.copy(step.options or {})
  for name, value in pairs(given) do merged[name] = value end
  return run.engine.project.registry:options(entry, run.engine.project:options_of(step.module), merged)
end

return M
