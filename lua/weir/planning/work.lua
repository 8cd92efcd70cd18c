--- One time that a step plans: what was known when it began, the agents and modules that it uses, the money that it has used,
--- what was done before, the choices of the journal, the record in the goal store. What is done with it is the affair of
--- `weir.planning.choosing` and of the kind `plan`.

local agents_of = require "weir.planning.agents"
local binding = require "weir.run.binding"
local clock = require "weir.port.clock"
local estimates = require "weir.planning.estimate"
local failure = require "weir.failure"
local frames = require "weir.run.frame"
local goal_of = require "weir.planning.goal"
local json = require "weir.native.json"
local keeping = require "weir.run.keeping"
local keys = require "weir.run.keys"
local memory = require "weir.planning.memory"
local value_of = require "weir.value"

local M = {}

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

--- What a former life chose, or this one by `keep` or `choose`, as far as the journal had it at the start; a copy.
---@param name string
---@return any nil: nothing
function Work:chosen(name)
  local journal = self.frame.run.journal
  local entry = journal and journal.choices[choice_key(self, name)]
  return entry and value_of.copy(entry[3])
end

--- A choice that was made before, or the one that `make` makes now.
---@param name string
---@param make fun(): any
function Work:choose(name, make)
  local journal = self.frame.run.journal
  if not journal then return make() end
  return journal:choice(choice_key(self, name), make)
end

--- Keeps a choice with what else is to be known from then on, in one transaction. Waits.
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

--- Modules in certain versions, held until they are released.
---@param pins table<string, string>
---@return weir.Binding
function Work:hold(pins)
  local modules = value_of.names(pins)
  local held = binding.hold_pinned(self.frame.run.engine, { modules = modules, pipelines = {} }, pins)
  return held
end

--- Reads what the agents say of themselves. Raises `invalid`.
function Work:declare()
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

--- The versions of the agents that the plan may use, by name.
---@return table<string, string>
function Work:versions()
  return versions_in(self.known.pins)
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
    local held = self:hold(pins)
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
  return { close = function() run:unmeter(meter) end }
end

-- The goal, in the goal store -----------------------------------------------------------------------------

local function new_record(self)
  local run = self.frame.run
  return { pipeline = run.plan.name, run = run.id, step = self.key, at_ms = self.known.at_ms, text = self.goal.text, want = self.goal.want,
    signature = self.goal.signature, subject = self.goal.subject, planner = self.step.planner.name, status = "running",
    plans = json.list {} }
end

--- Tells whoever listens to the run.
function Work:tell(status, chosen, number, err)
  self.has_told_failure = status == "failed"
  self.frame.run:notify { kind = "plan", step = self.key, status = status, version = chosen and chosen.version,
    planner = self.step.planner.name, number = number, reused = chosen and chosen.reused, error = err }
end

--- What goes to the goal store together with what the journal says.
---@return table[]
function Work:operations()
  if not self.record then return {} end
  return { memory.operation(self.record_id, self.record) }
end

--- Notes a plan that is about to be carried out.
function Work:note_plan(chosen, normal)
  if not self.record then return end
  local plans = self.record.plans
  plans[#plans + 1] = { version = chosen.version, normal = normal, pins = chosen.pins, status = "running", estimate = chosen.estimate,
    reused = chosen.reused, at_ms = chosen.at_ms }
end

--- Notes what became of the goal, and of the plan that was carried out last.
function Work:note_end(status, err)
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

-- Beginning ------------------------------------------------------------------------------------------------

--- The plan of that version that is not to be carried out again, or nil.
function Work:was_tried(version)
  for _, one in ipairs(self.tried) do
    if one.version == version then return one end
  end
end

--- A plan compiled; its definition is that which the store keeps.
function Work:compiled(plan)
  local definition = { kind = "pipeline", name = self.step.name, normal = plan.normal, version = plan.version,
    loaded_at = self.known.at_ms }
  local result = require("weir.run.plan").compile(definition)
  result.definition = definition
  return result
end

--- A frame for what stands directly below the step.
function Work:inner_frame()
  local inner = frames.inner(self.frame, self.key .. "/", self.frame.data)
  inner.planned, inner.held = self.shared, self.shared.held
  return inner
end

local function goal_for(frame, step, input)
  local written, message, code = step.goal(frame.data)
  if written == nil and message then failure.raise(code or "invalid", "goal: %s", message) end
  return goal_of.of(written, input)
end

local function tag_of(frame, step, attempt)
  local draft = step.critic and frame.draft or 1
  return attempt == 1 and draft == 1 and "" or ("~%d.%d"):format(draft, attempt)
end

local function check_nesting(frame, step)
  local depth = (frame.planned and frame.planned.depth or 0) + 1
  if depth > NESTED_MAX then
    failure.raise("limit", "step '%s': its agents plan in turn, more than %d plans deep; the plan goes round in a circle", step.name,
      NESTED_MAX)
  end
  return depth
end

--- Begins to plan. Waits. Raises {code, message}.
---@param frame table of the step
---@param step table of the plan of the run: {goal, planner, agents, limits, sign_off, replan, reuse}
---@param key string
---@param input any what is given
---@param attempt integer
---@return weir.planning.Work to be closed
function M.begin(frame, step, key, input, attempt)
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
  self.shared = { held = self:hold(self.known.pins), memo = memo, finished = count, depth = depth,
    used = { usd = spent_before(journal, key) }, limit_usd = step.limits.usd }
  if journal then self.record_id, self.record = memory.id(frame.run.id, key .. self.tag), new_record(self) end
  self.meter = metered(frame.run, key, self.shared.used)
  local ok, err = pcall(self.declare, self)
  if ok then return self end
  self:close()
  error(err, 0)
end

--- Lets go of the modules. Safe twice. Does not wait.
function Work:close()
  if self.is_closed then return end
  self.is_closed = true
  self.meter:close()
  self.shared.held:release()
end

Work.__close = Work.close

return M
