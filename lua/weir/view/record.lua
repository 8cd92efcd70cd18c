--- The record of a run, made of its journal: what its steps did, when, how often, with what outcome.

local failure = require "weir.failure"
local journal = require "weir.run.journal"
local json = require "weir.native.json"
local place = require "weir.view.place"
local standing = require "weir.view.standing"
local yield = require("weir.native.scheduler").yield

local M = {}

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
---@field kept string|nil     the run that made its outcome, if another one did
---@field is_edited boolean|nil its output was changed when it was kept
---@field usage table<string, number>|nil tokens, usd
---@field model table|nil     that answered: {name, why, timing}
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

local function agent_version(pins, node)
  return node and node.agent and pins["agents/" .. node.agent] or nil
end

local function step_of(self, key)
  local step = self.by_key[key]
  if step then return step end
  local found = self.places:find(key)
  step = { key = key, name = found.name, group = found.group, visit = found.visit, by = place.done_by(found.node),
    version = agent_version(self.pins, found.node), status = "running", attempt = 1, attempts = {} }
  self.by_key[key] = step
  self.steps[#self.steps + 1] = step
  return step
end

local READ = {}

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
  add_usage(step_of(self, entry[2]), entry[3])
end

function READ.step(self, entry)
  local step = step_of(self, entry[2])
  local extra = known(entry[9]) or {}
  step.status, step.to_ms = entry[4], entry[6]
  step.from_ms = step.from_ms and math.min(step.from_ms, entry[5]) or entry[5]
  step.attempt = math.max(step.attempt, known(entry[7]) or 1)
  step.label, step.verdict, step.stopped = known(extra.label), known(extra.verdict), known(extra.stopped)
  step.kept, step.is_edited, step.model = known(extra.kept), known(extra.edited), known(extra.model)
  if step.model then step.by = step.by or known(step.model.name) end
  add_usage(step, extra)
  if step.status == "finished" then
    step.output = entry[8]
  else
    step.error = known(entry[8])
  end
end

READ["end"] = function(self, entry)
  self.status, self.ended_ms = entry[2], known(entry[4])
  if self.status == "finished" then
    self.output = known(entry[3])
  else
    self.error = known(entry[3])
  end
end

-- A run that has not ended stands as its row says: at work, waiting, or set aside.
local function stand(self, row)
  self.status, self.error = row.status, known(row.error)
  self.waiting = known(row.waiting) or {}
  for _, wait in ipairs(self.waiting) do
    local step = self.by_key[wait.step]
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

local function children_of(store, pins)
  local children = {}
  for full, version in pairs(pins) do
    local name = full:match "^pipelines/(.+)$"
    if name then children[name] = definition_of(store, version) end
  end
  return children
end

--- Reads the record of a run from its store. May yield. Raises what the store says: `not_found`, `corrupt`.
---@param store userdata
---@param id string
---@param live table<string, weir.Run>|nil runs that this process executes: they stand as they do now
---@return weir.view.Record
function M.load(store, id, live)
  local entries, row, code = store:load(id)
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
    by = known(head.by), status = "running", waiting = {}, of = known(head.of),
    started_ms = head.at, pins = pins, steps = {}, by_key = {}, places = place.new(normal, children_of(store, pins)) }
  for index, entry in ipairs(entries) do
    local read = READ[entry[1]]
    if read then read(self, entry) end
    if index % TURN == 0 then yield() end -- a journal may be long, and the library is not preempted
  end
  if self.status == "running" and row then stand(self, standing.row(live, id, row)) end
  conclude(self)
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
