--- The queue of a pipeline and what serves it: events wait in it for their turn, and each becomes a run. An item is over
--- when its run has ended; a run that only waits does not keep others from their turn, unless they are of its ordering key.
--- A run is started under a key that is the item's, so that an item which is handed out twice starts one run.

local admission = require "weir.trigger.admission"
local clock = require "weir.port.clock"
local controls = require "weir.healing.controls"
local drain = require "weir.trigger.drain"
local duration = require "weir.duration"
local failure = require "weir.failure"
local gate = require "weir.gate"
local hash = require "weir.native.hash"
local json = require "weir.native.json"
local log = require "weir.event.log"
local native = require "weir.native.scheduler"
local queue_of = require "weir.queue"
local retry = require "weir.run.retry"
local task = require "weir.task"
local value_of = require "weir.value"

local M = {}

local LEASE, EXTEND = 60, 20 -- seconds
local AGAIN = 1 -- seconds after a failure
local ATTEMPTS = 5
local PATIENCE = 3600
local LOOK = 1 -- seconds after which it is seen that a supervisor's remedy does not hold any more
local BROKEN = 10 -- seconds after which a pipeline that cannot be loaded is looked at again
local NAME_MAX = 60

---@class weir.Line
---@field pipeline string
---@field queue weir.Queue
---@field settings table     of the definition's `queue`, see weir.trigger.rules
---@field rules table<string, weir.TriggerRules> by id
---@field drain weir.Drain
---@field active integer     runs that are at work
local Line = {}
Line.__index = Line

--- The name of a pipeline's queue in the store.
---@param pipeline string
---@return string
function M.queue_name(pipeline)
  local name = "on." .. pipeline
  return #name <= NAME_MAX and name or "on.." .. hash.sha256(pipeline):sub(1, 40)
end

--- The queue of a pipeline, also where nobody serves it.
---@param store weir.Store
---@param pipeline string
---@return weir.Queue
function M.queue(store, pipeline)
  return queue_of.open(store, M.queue_name(pipeline), { attempts = ATTEMPTS, lease_s = LEASE })
end

--- The line of a pipeline; `start` has it serve.
---@param service weir.Triggers
---@param pipeline string
---@param settings table
---@return weir.Line
function M.new(service, pipeline, settings)
  local self = setmetatable({ service = service, host = service.host, store = service.host.store, pipeline = pipeline,
    queue = M.queue(service.host.store, pipeline), rules = {}, drain = drain.new(), active = 0, active_of = {}, carried = {},
    rooms = {}, planned = setmetatable({}, { __mode = "k" }), backoff = retry.policy { backoff = 1, max = 300 } }, Line)
  self:set(settings)
  return self
end

--- Has other settings hold from now on.
---@param settings table
function Line:set(settings)
  self.settings = settings
  local use = settings.policy
  self.policy = nil
  if not use then return end
  local registry = self.host.project.registry
  local entry, err = registry:lookup("policy", use.use)
  if not entry then error(err, 0) end
  local options = registry:options(entry, self.host.project:options_of("policies/" .. use.use), use.options)
  self.policy = { module = entry.module, state = registry:state(entry, options) }
end

-- Room --------------------------------------------------------------------------------------------------

--- What the queue's own count is held against; nil: nothing.
---@return integer|nil
function Line:limit_of_queue()
  if self.settings.overflow == "spill" then return nil end
  return self.settings.limit
end

local function ask_policy(self, depth, about)
  local admit = self.policy and self.policy.module.admit
  if not admit then return depth < self.settings.limit end
  local view = { queued = depth, limit = self.settings.limit, candidate = { key = about.share, priority = about.priority } }
  local ok, admitted = pcall(native.atomic, admit, view, self.policy.state)
  if ok then return admitted and depth < self.settings.limit end
  native.recover()
  self.host.log:warn("a policy failed; the queue's limit decides", { pipeline = self.pipeline, error = failure.of(admitted).message })
  return depth < self.settings.limit
end

--- Whether one more may be put in; adds what makes room for it. Does not wait.
---@param operations table[]
---@param about table
---@param all table[] of the whole transaction
---@return boolean
function Line:make_room(operations, about, all)
  local overflow, planned = self.settings.overflow, self.planned[all] or { count = 0, dropped = {} }
  self.planned[all] = planned
  if overflow == "spill" or ask_policy(self, self.queue:depth() + planned.count, about) then
    planned.count = planned.count + 1
    return true
  end
  if overflow ~= "drop_oldest" then return false end
  local more, id, value = self.queue:drop_oldest_operations(planned.dropped)
  if not more then return false end
  planned.dropped[id] = true
  table.move(more, 1, #more, #operations + 1, operations)
  local freed = admission.release(value or {})
  table.move(freed, 1, #freed, #operations + 1, operations)
  self.service:count(value and value.trigger or about.source, "dropped")
  return true
end

--- How many may be put in at once, as far as can be told now; at least 1. Does not wait; raises `corrupt`, `unavailable`.
---@return number math.huge: any number
function Line:room()
  if self.policy and self.policy.module.admit then return 1 end
  local limit = self:limit_of_queue()
  return limit and math.max(1, limit - self.queue:depth()) or math.huge
end

--- Waits until something has left the queue.
---@param timeout number|nil seconds
---@return boolean false: nothing did in time
function Line:await_room(timeout)
  local waiter = native.waiter()
  self.rooms[waiter] = true
  local ok, woken = pcall(waiter.wait, waiter, ("room in the queue of '%s'"):format(self.pipeline), timeout)
  self.rooms[waiter] = nil
  if not ok then error(woken, 0) end
  return woken == true
end

local function tell_of_room(self)
  self.drain:note()
  for waiter in pairs(self.rooms) do waiter:wake(true) end
end

-- Starting a run ----------------------------------------------------------------------------------------

local function batch_event(self, item)
  local list, last = json.list {}, nil
  for _, offset in ipairs(item.value.offsets) do
    local entry = log.get(self.store, offset)
    if entry then list[#list + 1] = entry.event end
    last = entry or last
  end
  return { specversion = "1.0", id = item.id, source = "/triggers/" .. item.value.trigger, type = "weir.batch",
    time = last and last.event.time, data = { items = list } }
end

local function event_of(self, item)
  if item.value.offsets then return batch_event(self, item), item.value.offsets[#item.value.offsets] end
  return item.value.events[1], item.value.offset
end

local function input_of(self, item, event)
  local rules = self.rules[item.value.trigger]
  if item.value.error then failure.raise("invalid", "%s", item.value.error) end
  if rules then return rules.input(event) end
  return event.data == nil and {} or event.data
end

local function prepare(self, item)
  local definition, err = self.host.project:pipeline(self.pipeline)
  if not definition then
    err.is_of_pipeline = true
    error(err, 0)
  end
  local event, offset = event_of(self, item)
  local key = ("on/%s/%s%s"):format(item.value.trigger, item.id, item.round > 0 and "#" .. item.round or "")
  return self.host.engine:prepare_once(definition, input_of(self, item, event),
    { key = key, event = event, event_offset = offset, by = "trigger " .. item.value.trigger })
end

-- What is started outside of the line does not end with it: a run is stopped by its host.
local function rejoin(self, run_id)
  local found
  native.spawn_root(function()
    local ok, run = pcall(self.host.engine.rejoin, self.host.engine, run_id)
    found = { ok = ok, run = run }
  end):join()
  if not found.ok then error(found.run, 0) end
  return found.run
end

local function started(self, item)
  local ok, run, first = pcall(prepare, self, item)
  if not ok then
    local first_id = type(run) == "table" and rawget(run, "code") == "conflict" and rawget(run, "run")
    if not first_id then error(run, 0) end
    native.recover() -- it has started one, under what the pipeline said then
    return rejoin(self, first_id)
  end
  if first then return rejoin(self, first) end
  run.done = run.done or gate.new()
  self.host.engine.handles[run.id] = run
  self.host:carry(run)
  self.service:count(item.value.trigger, "started")
  return run
end

-- What becomes of an item ---------------------------------------------------------------------------------

local function must(self, item, result, message, code)
  if result or code == "conflict" then return result end
  self.host.log:error("an event could not be settled; it is handed out again", { pipeline = self.pipeline, item = item.id,
    error = message })
end

local function finish(self, item)
  if must(self, item, self.queue:finish(item, admission.release(item.value))) then tell_of_room(self) end
end

-- That it is dead is told; `weir event dead` lists it, `weir event replay` puts it in again.
local function bury(self, item, err)
  if not must(self, item, self.queue:release(item, nil, { error = err, is_last = true, operations = admission.release(item.value) })) then
    return
  end
  tell_of_room(self)
  self.service:count(item.value.trigger, "dead")
  self.host.log:warn("an event is a dead letter", { pipeline = self.pipeline, trigger = item.value.trigger, item = item.id,
    code = err.code, error = err.message })
end

local function give_back(self, item, seconds, options)
  local due_ms = seconds and duration.after(clock.wall_ms(), seconds) or nil
  must(self, item, self.queue:release(item, due_ms, options))
end

local IS_LAST = { invalid = true, not_found = true, limit = true, rejected = true, denied = true }

local function refused(self, item, raised)
  local err = failure.of(raised)
  if err.code == "closed" or err.code == "cancelled" then return give_back(self, item, nil, { is_uncounted = true }) end
  if type(raised) == "table" and rawget(raised, "is_of_pipeline") then return give_back(self, item, BROKEN, { is_uncounted = true }) end
  if controls.paused(self.store, self.pipeline) then return give_back(self, item, LOOK, { is_uncounted = true }) end
  if IS_LAST[err.code] or item.attempt >= ATTEMPTS then return bury(self, item, err) end
  give_back(self, item, retry.delay(self.backoff, item.attempt), { error = err })
end

local function is_parked(run)
  return not run.ended_ms and run.status ~= "quarantined" and (run.interrupted or "parked") == "parked"
end

local function settle(self, item, run)
  if run.ended_ms and (run.status == "finished" or run.status == "cancelled") then return finish(self, item) end
  if run.ended_ms or run.status == "quarantined" then
    local err = run.error or { code = "failed", message = "it is set aside" }
    return bury(self, item, failure.new(err.code or "failed", "run %s: %s", run.id, err.message))
  end
  if is_parked(run) then return finish(self, item) end -- it is in the store, and nothing waits for its end
  give_back(self, item, nil, { is_uncounted = true })
end

local function leave(self, item)
  if item.has_left then return end
  item.has_left = true
  local source = item.value.trigger
  self.active, self.active_of[source] = self.active - 1, self.active_of[source] - 1
  if self.turn then self.turn:wake() end
  self.queue:committed() -- one of its source may have its turn now
end

local function carry(self, item)
  local run = started(self, item)
  if not run.ended_ms and self.host.engine.live[run.id] then run:await_left() end
  if is_parked(run) and (item.key or item.value.single) then
    leave(self, item)
    run:wait()
  end
  return run
end

local function work(self, item)
  local ok, run = pcall(carry, self, item)
  local was_cancelled = native.cancelled() ~= nil
  if not ok and not was_cancelled then native.recover() end
  local is_settled, err = task.within({ shield = true }, function()
    if was_cancelled then return give_back(self, item, nil, { is_uncounted = true }) end
    if ok then return settle(self, item, run) end
    refused(self, item, run)
  end)
  if not is_settled then must(self, item, nil, failure.of(err).message, failure.of(err).code) end
  self.carried[item.id] = nil
  leave(self, item)
end

-- Whose turn it is ----------------------------------------------------------------------------------------

local function is_open(self, source)
  local rules = self.rules[source]
  return not (rules and rules.concurrency) or (self.active_of[source] or 0) < rules.concurrency
end

-- Of the candidates those whose source may have one more, as policies see them.
local function offered(self, candidates)
  local list = {}
  for index, one in ipairs(candidates) do
    local about = one.about or {}
    if is_open(self, about.source) then
      list[#list + 1] = { id = one.id, key = about.share or one.key, priority = about.priority, queued_at = one.due_ms / 1000,
        index = index }
    end
  end
  return list
end

local function pick(self, candidates)
  local list = offered(self, candidates)
  if #list == 0 then return nil end
  if not self.policy then return list[1].index end
  local ok, chosen = pcall(self.policy.module.pick, list, { now = clock.wall_ms() / 1000 }, self.policy.state)
  if ok then return chosen and list[chosen] and list[chosen].index end
  native.recover()
  self.host.log:warn("a policy failed; the first one is next", { pipeline = self.pipeline, error = failure.of(chosen).message })
  return list[1].index
end

local function picker(self)
  local is_limited = self.policy ~= nil
  for _, rules in pairs(self.rules) do is_limited = is_limited or rules.concurrency ~= nil end
  return is_limited and function(candidates) return native.atomic(pick, self, candidates) end or nil
end

-- How many may be at work at once, and whether a supervisor has said so, for now.
local function limit_of(self)
  if controls.paused(self.store, self.pipeline) then return 0, true end
  local limit = controls.concurrency(self.store, self.pipeline)
  return math.min(self.settings.concurrency, limit or math.maxinteger), limit ~= nil
end

local function await_turn(self)
  local limit, is_held = limit_of(self)
  while self.active >= limit do
    self.turn = native.waiter()
    self.turn:wait(("a turn of '%s'"):format(self.pipeline), is_held and LOOK or nil)
    self.turn = nil
    limit, is_held = limit_of(self)
  end
end

local function serve(self)
  self.queue:take_back()
  while true do
    await_turn(self)
    local item, message, code = self.queue:claim { timeout = PATIENCE, pick = picker(self) }
    if item then
      local source = item.value.trigger
      self.active, self.active_of[source] = self.active + 1, (self.active_of[source] or 0) + 1
      self.carried[item.id] = item
      task.start({ name = "event " .. item.id }, work, self, item)
    elseif code ~= "empty" then
      self.host.log:error("events cannot be handed out", { pipeline = self.pipeline, error = message, code = code })
      clock.sleep(AGAIN)
    end
  end
end

--- Gives whoever carries an item more time. Waits; items come and go meanwhile.
function Line:extend_leases()
  for _, id in ipairs(value_of.names(self.carried)) do
    local item = self.carried[id]
    if item then self.queue:extend(item) end
  end
end

-- Who carries an item has it until its run has ended, however long that takes.
local function keep_leases(self)
  while true do
    clock.sleep(EXTEND)
    self:extend_leases()
  end
end

local function serve_once(_, self)
  task.spawn(keep_leases, self)
  serve(self)
end

-- Whatever goes wrong, what waits is handed out: what was at work is given back and handed out again.
local function keep_serving(self)
  while true do
    local _, err = task.within({}, serve_once, self)
    native.check()
    native.recover()
    self.host.log:error("events cannot be handed out", { pipeline = self.pipeline, error = failure.of(err).message })
    clock.sleep(AGAIN)
  end
end

--- Has the line serve, until it is closed. Does not wait.
function Line:start()
  self.task = native.spawn_root(keep_serving, self)
end

--- Ends it: what is at work is handed out again by whoever serves next. Waits.
function Line:close()
  if not self.task then return end
  self.task:cancel "the host stops"
  self.task:join()
  self.task = nil
end

--- How many wait or are at work, and how many are dead letters. Does not wait.
---@return { depth: integer, dead: integer, active: integer }
function Line:counts()
  return { depth = self.queue:depth(), dead = self.queue:dead_count(), active = self.active }
end

return M
