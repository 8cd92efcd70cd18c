--- A source of events: a watcher of the registry at work for a trigger of a pipeline. What it gives is taken in with its
--- offset in one transaction, so neither a reload nor a crash loses or repeats an event. One that fails is started again,
--- after longer and longer pauses.

local admission = require "weir.trigger.admission"
local clock = require "weir.port.clock"
local context = require "weir.trigger.context"
local failure = require "weir.failure"
local hash = require "weir.native.hash"
local ids = require "weir.id"
local json = require "weir.native.json"
local log = require "weir.event.log"
local native = require "weir.native.scheduler"
local task = require "weir.task"
local tree = require "weir.healing.tree"

local M = {}

local BACKOFF, BACKOFF_MAX, CALM = 1, 60, 60 -- seconds; after so many without a failure the first pause is short again
local RESTARTS, PERIOD = 3, 300 -- in so many seconds: more than that are for a person
local TOGETHER = 100 -- events of one transaction
local TEXT_MAX, ID_MAX = 8192, 512

---@class weir.Source
---@field rules weir.TriggerRules
---@field line weir.Line
---@field host weir.Host
---@field status "starting"|"running"|"failing"|"ended"
---@field trouble string|nil
---@field offset string|nil  of the log, up to which it has taken what came from outside
---@field version string|nil of the watcher
---@field last_ms integer|nil when its last event came
local Source = {}
Source.__index = Source

--- A source; `start` has it work.
---@param service weir.Triggers
---@param rules weir.TriggerRules
---@param line weir.Line
---@return weir.Source
function M.new(service, rules, line)
  return setmetatable({ service = service, host = service.host, rules = rules, line = line, status = "starting" }, Source)
end

--- Adds what an event of this source does. See weir.event.intake, Subscriber.
function Source:plan(operations, event, offset)
  local outcome = admission.admit(self.line, operations, self.rules, event, offset)
  if outcome == "full" then return nil, self.line end
  return outcome
end

function Source:wants() return false end -- its own events are given to it by name only. luacheck: ignore 212

function Source:done(outcome)
  self.last_ms = clock.wall_ms()
  self.line.queue:committed()
  self.service:count(self.rules.id, outcome)
end

-- Giving events ------------------------------------------------------------------------------------------

local FIELDS = { id = true, source = true, type = true, subject = true, time = true, datacontenttype = true, data = true,
  data_base64 = true, specversion = true }

local function check(self, event)
  if type(event) ~= "table" then failure.raise("invalid", "watcher '%s': an event is a table, got %s", self.rules.watcher, type(event)) end
  for name, value in pairs(event) do
    if not FIELDS[name] then failure.raise("invalid", "watcher '%s': an event has no field '%s'", self.rules.watcher, tostring(name)) end
    if name ~= "data" and (type(value) ~= "string" or value == "" or #value > TEXT_MAX and name ~= "data_base64") then
      failure.raise("invalid", "watcher '%s': an event's %s is a text of 1 to %d bytes", self.rules.watcher, name, TEXT_MAX)
    end
  end
  if not event.type then failure.raise("invalid", "watcher '%s': an event needs a type", self.rules.watcher) end
end

local function arrival(self, given)
  check(self, given)
  local event = {}
  for name, value in pairs(given) do event[name] = value end
  if event.id and #event.id > ID_MAX then event.id = "sha256:" .. hash.sha256(event.id) end
  event.specversion, event.source = "1.0", event.source or "/triggers/" .. self.rules.id
  event.time = event.time or clock.rfc3339(clock.wall_ms())
  if event.data ~= nil then event.datacontenttype = event.datacontenttype or "application/json" end
  local dedupe = event.id and hash.sha256(("%s %s %s"):format(self.rules.id, event.source, event.id)) or nil
  event.id = event.id or ids.new "e"
  return { event = event, from = self.rules.id, dedupe = dedupe, only = self }
end

-- One transaction's events; the last ones take the memory and the marks with them. Only for a single one room is waited for:
-- several would have to wait until there is room for all.
local function give_part(self, list, from, to)
  local part, more, committed = {}, {}, nil
  for index = from, to do part[#part + 1] = arrival(self, list[index]) end
  if to == #list then
    more, committed = self.ctx.marks:take()
    more[#more + 1] = context.memory_operation(self)
  end
  self.host.events:take(part, { patience = math.huge, more = more, waits_for = function() return #part == 1 end })
  if committed then committed() end
end

-- As many in one transaction as there is room for, and as do not meet one another in what is kept of a key.
local function give(self, list)
  local is_alone = self.rules.holds or self.line.settings.overflow == "drop_oldest"
  local from, most = 1, nil
  while from <= #list do
    most = most or is_alone and 1 or math.min(TOGETHER, self.line:room())
    local to = math.min(#list, from - 1 + most)
    local ok, err = pcall(give_part, self, list, from, to)
    if ok then
      from, most = to + 1, nil
    elseif to > from and failure.of(err).code == "full" and err.line then
      most = 1 -- others were faster
    else
      error(err, 0)
    end
  end
end

--- Gives an event, or a list of them, away, and keeps the memory and marks of the watcher with it. Waits until that is on
--- disk, and while the pipeline's queue is full. Raises `invalid` for what is no event.
---@param given table an event {type, data, id, subject, ...}; or a list of them. With an id it is taken once
function Source:sink(given)
  if type(given) ~= "table" then failure.raise("invalid", "watcher '%s': an event is a table, got %s", self.rules.watcher, type(given)) end
  give(self, (given[1] ~= nil or json.is_list(given)) and given or { given })
end

-- At work --------------------------------------------------------------------------------------------------

local function load(self)
  local registry, project = self.host.project.registry, self.host.project
  local entry, err = registry:lookup("watcher", self.rules.watcher)
  if not entry then error(err, 0) end
  local options = registry:options(entry, project:options_of("watchers/" .. self.rules.watcher), self.rules.options)
  self.host.store:sync() -- what is being given to the one before is on disk, with its offset
  self.version, self.kept = entry.version, context.load(self.host.store, self.rules.id)
  self.offset = self.kept and self.kept.offset
  self.ctx = context.new(self, options, registry:state(entry, options))
  if not self.offset then -- what comes from now on is for it, also when this host ends before it has seen any
    self.offset = log.latest(self.host.store)
    self.ctx:save()
  end
  return entry
end

local function watch(_, self)
  local entry = load(self)
  self.status, self.trouble = "running", nil
  entry.module.watch(self.ctx, function(event) self:sink(event) end)
end

-- A watcher that is started again and again is for a person; one incident is enough until it has been well for a while.
local function count_restart(self, err)
  local now = clock.now()
  self.restarts = self.restarts or {}
  local is_too_many = tree.is_too_many(self.restarts, now, RESTARTS, PERIOD)
  self.restarts[#self.restarts + 1] = now
  if #self.restarts > RESTARTS then table.remove(self.restarts, 1) end
  if not is_too_many or self.is_given_up then return end
  self.is_given_up = true
  require("weir.healing.desk").raise(self.host.engine, require("weir.healing.supervision").of_engine(self.host.engine),
    { kind = "watcher", code = err.code, message = ("source '%s': %s"):format(self.rules.id, err.message), pipeline = self.line.pipeline,
      agent = "watchers/" .. self.rules.watcher, agent_version = self.version })
end

local function report(self, err, pause)
  self.status, self.trouble = "failing", err.message
  self.host.log:warn("a source failed and is started again", { source = self.rules.id, code = err.code, error = err.message,
    seconds = pause })
end

local function keep_watching(self)
  local pause = BACKOFF
  while true do
    local from = clock.now()
    local ok, result = task.within({}, watch, self)
    native.check()
    if ok then
      self.status = "ended"
      return
    end
    native.recover()
    if clock.now() - from > CALM then pause, self.is_given_up = BACKOFF, nil end
    report(self, failure.of(result), pause)
    local told, why = pcall(count_restart, self, failure.of(result))
    native.check()
    if not told then
      self.host.log:error("an incident could not be written", { source = self.rules.id, error = failure.of(why).message })
    end
    clock.sleep(pause)
    pause = math.min(BACKOFF_MAX, pause * 2)
  end
end

--- Has the watcher work, until `stop`. Does not wait.
function Source:start()
  self.task = task.serve(function()
    native.set_local("weir.client", false)
    keep_watching(self)
  end)
end

--- Stops it; its offset stays. Waits.
function Source:stop()
  local running = self.task
  if not running then return end
  running:cancel "the source stops"
  running:join()
  if self.task == running then self.task = nil end -- else another who stopped it has started it again
end

return M
