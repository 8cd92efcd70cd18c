--- The record of a run, made of its journal: what its steps did, when, how often, with what outcome.

local failure = require "weir.failure"
local journal = require "weir.run.journal"
local json = require "weir.native.json"
local place = require "weir.view.place"
local plan_prefix = require("weir.run.keys").plan_prefix
local standing = require "weir.view.standing"
local yield = require("weir.native.scheduler").yield

local M = {}

local HAS_ENDED = require("weir.run.keeping").HAS_ENDED
local TURN = 4096 -- entries

local function known(value)
  if value == json.null then return nil end
  return value
end

---@class weir.view.Step
---@field key string
---@field name string
---@field group string|nil
---@field visit integer
---@field by string|nil       its agent, or its kind
---@field version string|nil  of its agent
---@field status string       running, finished, failed, skipped, cancelled
---@field from_ms integer|nil
---@field to_ms integer|nil   nil while it has not ended
---@field attempt integer
---@field attempts { attempt: integer, from_ms: integer, to_ms: integer, error: table, delay: number }[] failed ones
---@field output any
---@field error table|nil
---@field label string|nil
---@field verdict table|nil
---@field decision table|nil of a speculation: {winner, branches, by, stopped_s}
---@field drafts table[]|nil that were refused: {verdict, score, advice, critic, saved}
---@field items table|nil of a large map: {total, failed, recalled, failures}
---@field kept string|nil     the run that made its outcome, if another one did
---@field is_edited boolean|nil its output was changed when it was kept
---@field usage table<string, number>|nil tokens, usd
---@field model table|nil     that answered: {name, why, timing}
---@field plan string|nil     the version of the plan that it is a step of
---@field reused string|nil   the step of a plan that had done the same before, whose outcome it has
---@field stopped weir.Stopped[]|nil what was under way when it was cancelled or ran out of time

---@class weir.view.Record
---@field id string
---@field pipeline string
---@field version string
---@field status string
---@field waiting table[] of its row: {step, kind, id, name, since_ms, due_ms}
---@field input any
---@field output any
---@field error table|nil
---@field started_ms integer
---@field ended_ms integer|nil
---@field by string|nil who started it: a person, or "schedule NAME"
---@field of table|nil the run whose outcomes it began with: {run, from, kind}
---@field steps weir.view.Step[] in the order in which they began
---@field normal table|nil the normal form of its definition
---@field plans weir.view.Plan[] that its steps have made
---@field candidates weir.Candidate[]|nil what was proposed after it; filled in by who shows it

---@class weir.view.Plan
---@field step string      key of the step that planned
---@field prefix string    what the keys of its steps begin with
---@field version string
---@field planner string
---@field normal table|nil
---@field estimate table|nil
---@field reused string|nil the goal for which it was made before
---@field edited_by string|nil
---@field patch table[]|nil what it changes in the plan before it
---@field error table|nil  why it failed

local function agent_version(pins, node)
  return node and node.agent and pins["agents/" .. node.agent] or nil
end

-- A step of a plan stands where the plan has it.
local function place_of(self, key)
  for index = #self.plans, 1, -1 do -- another draft of the step has other plans under the same keys
    local plan = self.plans[index]
    if key:sub(1, #plan.prefix) == plan.prefix then return plan.places:find(key:sub(#plan.prefix + 1)), plan.version end
  end
  return self.places:find(key)
end

local function step_of(self, key)
  local step = self.by_key[key]
  if step then return step end
  local found, plan = place_of(self, key)
  step = { plan = plan, key = key, name = found.name, group = found.group, visit = found.visit, by = place.done_by(found.node),
    version = agent_version(self.pins, found.node), status = "running", attempt = 1, attempts = {} }
  self.by_key[key] = step
  self.steps[#self.steps + 1] = step
  return step
end

-- A version never changes, so what was read of it once is as good as what would be read now.
local definitions = setmetatable({}, { __mode = "k" })
local DEFINITIONS_MAX = 64 -- of one store

local function definition_of(store, version)
  local read = definitions[store]
  if not read or read.count >= DEFINITIONS_MAX then
    read = { count = 0, by_version = {} }
    definitions[store] = read
  end
  local kept = version and (read.by_version[version] or store:get("definitions", version))
  if kept and not read.by_version[version] then read.by_version[version], read.count = kept, read.count + 1 end
  return kept and known(kept.normal), kept and kept.kind
end

local READ = {}

-- A plan that a step has made, or that it failed.
local function read_plan(self, entry)
  local prefix, step = plan_prefix(entry)
  if prefix then
    local value, normal = entry[3], definition_of(self.store, entry[3].version)
    self.plans[#self.plans + 1] = { step = step, prefix = prefix, version = value.version, planner = value.planner, normal = normal,
      estimate = known(value.estimate), reused = known(value.reused), edited_by = known(value.edited_by), patch = known(value.patch),
      places = place.new(normal) }
    return
  end
  local failed = entry[2]:match "^(.+/%(plan%)[#~%d.]*)/failed$"
  local of = failed and plan_prefix { "choice", failed }
  for _, plan in ipairs(of and self.plans or {}) do
    if plan.prefix == of then plan.error = entry[3] end
  end
end

local function add_usage(step, of)
  for name, amount in pairs(type(of) == "table" and of.usage or {}) do
    step.usage = step.usage or {}
    step.usage[name] = (step.usage[name] or 0) + amount
  end
end

function READ.start(self, entry)
  local step = step_of(self, entry[2])
  step.status, step.from_ms, step.to_ms = "running", step.from_ms or known(entry[5]), nil
end

function READ.attempt(self, entry)
  local step = step_of(self, entry[2])
  step.from_ms = step.from_ms or entry[4]
  step.attempt = entry[3] + 1
  step.attempts[#step.attempts + 1] = { attempt = entry[3], from_ms = entry[4], to_ms = entry[5], error = known(entry[6]),
    delay = known(entry[7]) or 0 }
  add_usage(step, entry[6])
end

function READ.draft(self, entry)
  local step, draft = step_of(self, entry[2]), entry[3]
  add_usage(step, draft)
  step.drafts = step.drafts or {}
  step.drafts[#step.drafts + 1] = { verdict = draft.verdict, score = known(draft.score), advice = known(draft.advice),
    critic = known(draft.critic), saved = known(draft.saved) }
end

function READ.step(self, entry)
  local step = step_of(self, entry[2])
  local extra = known(entry[9]) or {}
  step.status, step.to_ms = entry[4], entry[6]
  step.from_ms = step.from_ms and math.min(step.from_ms, entry[5]) or entry[5]
  step.attempt = math.max(step.attempt, known(entry[7]) or 1)
  step.label, step.verdict, step.stopped = known(extra.label), known(extra.verdict), known(extra.stopped)
  step.reused = known(extra.reused)
  step.kept, step.is_edited, step.model = known(extra.kept), known(extra.edited), known(extra.model)
  if step.model then step.by = step.by or known(step.model.name) end
  add_usage(step, extra)
  if step.status == "finished" then
    step.output = entry[8]
  else
    step.error = known(entry[8])
  end
end

-- Which branch of a speculation counted; what came of the items of a large map, which are no steps here.
function READ.choice(self, entry)
  read_plan(self, entry)
  local map = entry[2]:match "^(.*)/%(items%)"
  if map and type(entry[3]) == "table" then step_of(self, map).items = entry[3] end
  local key = entry[2]:match "^(.*)/%(decided%)"
  if key and type(entry[3]) == "table" then step_of(self, key).decision = entry[3] end
end

READ["end"] = function(self, entry)
  self.status, self.ended_ms = entry[2], known(entry[4])
  if self.status == "finished" then
    self.output = known(entry[3])
  else
    self.error = known(entry[3])
  end
end

-- A step may wait already while the note of its start is still on its way into the journal. That of a pause is no step's.
local function waiting_step(self, wait)
  local is_new = wait.step ~= "" and not self.by_key[wait.step] and place_of(self, wait.step).node ~= nil
  local step = is_new and step_of(self, wait.step) or self.by_key[wait.step]
  if step then step.from_ms = step.from_ms or wait.since_ms end
  return step
end

-- A run that has not ended stands as its row says: at work, waiting, or set aside.
local function stand(self, row)
  self.status, self.error = row.status, known(row.error)
  self.waiting = known(row.waiting) or {}
  for _, wait in ipairs(self.waiting) do
    local step = waiting_step(self, wait)
    if step and step.status == "running" then step.status = wait.kind == "in_doubt" and "in_doubt" or "waiting" end
  end
end

-- What had no outcome when the run ended was stopped with it.
local function conclude(self)
  if not self.ended_ms then return end
  for _, step in ipairs(self.steps) do
    if step.status == "running" then step.status, step.to_ms = "cancelled", step.to_ms or self.ended_ms end
  end
end

local function children_of(store, pins)
  local children = {}
  for full, version in pairs(pins) do
    local name = full:match "^pipelines/(.+)$"
    if name then children[name] = definition_of(store, version) end
  end
  return children
end

-- The store reads the entries, then the row: of a run that ended in between the row says so, and the entries do not yet.
local function load(store, id)
  local entries, row, code = store:load(id)
  local last = entries and entries[#entries]
  if last and last[1] ~= "end" and type(row) == "table" and HAS_ENDED[row.status] then entries, row, code = store:load(id) end
  return entries, row, code
end

--- Reads the record of a run from its store. May yield. Raises what the store says: `not_found`, `corrupt`.
---@param store userdata
---@param id string
---@param live table<string, weir.Run>|nil runs that this process executes: they stand as they do now
---@return weir.view.Record
function M.load(store, id, live)
  local entries, row, code = load(store, id)
  if not entries then
    local err = failure.new(code or "failed", "%s", row)
    err.run = id
    error(err, 0)
  end
  local head = entries[1] and entries[1][1] == "run" and journal.head_of(entries)
  if not head then failure.raise("corrupt", "run %s: its journal does not begin with its start", id) end
  local pins = known(head.pins) or {}
  local normal, kind = definition_of(store, head.version)
  local self = { id = id, pipeline = head.pipeline, version = head.version, kind = kind, normal = normal, input = known(head.input),
    by = known(head.by), status = "running", waiting = {}, of = known(head.of), plans = {}, store = store,
    started_ms = head.at, pins = pins, steps = {}, by_key = {}, places = place.new(normal, children_of(store, pins)) }
  for index, entry in ipairs(entries) do
    local read = READ[entry[1]]
    if read then read(self, entry) end
    if index % TURN == 0 then yield() end -- a journal may be long, and the library is not preempted
  end
  if self.status == "running" and row then stand(self, standing.row(live, id, row)) end
  conclude(self)
  self.store = nil
  return self
end

--- StepData as far as the journal tells: the input, and the latest output of each top-level step.
---@param record weir.view.Record
---@return table
function M.data(record)
  local data = { input = record.input }
  for _, step in ipairs(record.steps) do
    local is_top = step.key:match "^[^/%[]+$" ~= nil
      or step.group ~= nil and not step.key:find "%[" and select(2, step.key:gsub("/", "")) == 1
    if is_top and step.status == "finished" then data[step.name] = step.output end
  end
  return data
end

--- The seconds that a step took; nil while it has not ended.
---@param step weir.view.Step
---@return number|nil
function M.seconds(step)
  return step.to_ms and step.from_ms and (step.to_ms - step.from_ms) / 1000
end

--- When the last thing happened.
---@param record weir.view.Record
---@return integer ms
function M.last_ms(record)
  local last = record.ended_ms or record.started_ms
  for _, step in ipairs(record.steps) do
    last = math.max(last, step.to_ms or step.from_ms or last)
    for _, attempt in ipairs(step.attempts) do last = math.max(last, attempt.to_ms) end
  end
  return last
end

return M
