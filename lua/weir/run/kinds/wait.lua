--- A step that waits for signals and events: for one, for any or all of several, for so many of them. What came before the
--- wait is received at once: a signal that was sent to the run, an event that came since the run began. A run receives each
--- once: that is in one transaction with the step's outcome.

local failure = require "weir.failure"
local log = require "weir.event.log"
local parking = require "weir.run.parking"
local sleep = require "weir.run.kinds.sleep"
local task = require "weir.task"
local event_waits = require "weir.event.waits"
local waking = require "weir.run.waking"

local M = { name = "wait", is_durable = true }

-- A leaf is a wait for one signal or one event: {id, name, signal | wait and place}.

local function add_leaves(frame, key, wait, list)
  for _, inner in ipairs(wait.any or wait.all or wait.of or {}) do add_leaves(frame, key, inner, list) end
  if not wait.signal and not wait.event then return list end
  local leaf = { id = wait.signal and "signal " .. wait.signal or "event " .. #list + 1, name = wait.signal or wait.event,
    signal = wait.signal }
  if wait.event then
    leaf.wait = { event = wait.event, match = wait.match, data = event_waits.read_by(wait.match, frame.data) }
    leaf.place = event_waits.place(frame.run.id, key, #list + 1)
  end
  wait.leaf = leaf
  list[#list + 1] = leaf
  return list
end

local function next_signal(run, leaf)
  local key, value = waking.next_signal(run.engine, run.id, leaf.signal, run.taken)
  if not key then return nil end
  return { key = key, value = value, order = key:match "[^/]+$" } -- ids sort by time
end

-- Events count from the one that started the run on, else from its start.
local function from_offset(run)
  local bound = log.at(run.started_ms)
  return run.event_offset and run.event_offset > bound and run.event_offset or bound
end

-- What came before a wait was registered is in the log only; what came since is found for it.
local function next_event(run, leaf, is_new)
  local store = run.engine.store
  local entry
  if not is_new and (leaf.is_registered or event_waits.is_registered(store, leaf.place, leaf.wait)) then
    leaf.is_registered = true
    entry = event_waits.found(store, run.id, leaf.place, run.taken)
  else
    entry = event_waits.look(store, run.id, leaf.wait, from_offset(run), run.taken)
  end
  if not entry then return nil end
  local value = entry.event.data
  if value == nil then value = true end
  return { key = entry.offset, value = value, order = ("%013d.%s"):format(entry.at_ms, entry.offset), is_event = true }
end

-- What has come for this step: {key, value, order} by leaf.
local function collect(frame, leaves, come)
  local run = frame.run
  for _, leaf in ipairs(leaves) do
    if not come[leaf.id] then
      local got = (leaf.signal and next_signal or next_event)(run, leaf)
      if got then
        run.taken[got.key] = true
        come[leaf.id] = got
      end
    end
  end
end

-- Whether one of the events came while its wait was being registered.
local function register(frame, leaves, come)
  local run, any = frame.run, false
  for _, leaf in ipairs(leaves) do
    if leaf.wait and not leaf.is_registered and not come[leaf.id] then
      event_waits.register(run.engine.store, leaf.place, leaf.wait)
      local got = next_event(run, leaf, true)
      leaf.is_registered = true
      if got then
        run.taken[got.key], come[leaf.id] = true, got
        any = true
      end
    end
  end
  return any
end

local payload_of

-- The payloads of those of the waits that are over, in the order in which their last signals came.
local function over(waits, come)
  local found = {}
  for _, inner in ipairs(waits) do
    local is_over, value, order = payload_of(inner, come)
    if is_over then found[#found + 1] = { wait = inner, value = value, order = order } end
  end
  table.sort(found, function(a, b) return a.order < b.order end)
  return found
end

local function by_name(found)
  local result, latest = {}, ""
  for _, part in ipairs(found) do
    if part.wait.leaf then
      result[part.wait.leaf.name] = part.value
    else
      for name, value in pairs(part.value) do result[name] = value end
    end
    if part.order > latest then latest = part.order end
  end
  return true, result, latest
end

-- Whether a wait is over, with its payload: of one signal what was sent, of one event its data; of several an object by
-- name of the signal or type of the event, for `any` with the one that came first.
function payload_of(wait, come)
  if wait.leaf then
    local got = come[wait.leaf.id]
    if got then return true, got.value, got.order end
    return false
  end
  local waits = wait.any or wait.all or wait.of
  local needed = wait.any and 1 or wait.at_least or #waits
  local found = over(waits, come)
  if #found < needed then return false end
  return by_name { table.unpack(found, 1, needed) }
end

-- What makes up the payload; the others are there for whoever waits for them next.
local function used(run, leaves, come, payload, wait)
  local keys = {}
  for _, leaf in ipairs(leaves) do
    local got = come[leaf.id]
    if got and (wait.leaf or payload[leaf.name] ~= nil) then
      keys[#keys + 1] = got
    elseif got then
      run.taken[got.key] = nil
    end
  end
  return keys
end

local function registered(leaves)
  local list = {}
  for _, leaf in ipairs(leaves) do
    if leaf.wait then list[#list + 1] = leaf end
  end
  return list
end

-- Is over in one transaction with the outcome of the step.
local function receive(frame, leaves, keys)
  local run = frame.run
  frame.staged = { { operations = function()
    local operations, offsets = {}, {}
    for _, got in ipairs(keys) do
      if got.is_event then offsets[#offsets + 1] = got.key
      else operations[#operations + 1] = { op = "delete", space = "signals", key = got.key } end
    end
    local last = event_waits.over(run.engine.store, run.id, registered(leaves), offsets)
    return table.move(last, 1, #last, #operations + 1, operations)
  end, committed = function() end } }
end

local function give_back(run, come)
  for _, got in pairs(come) do run.taken[got.key] = nil end
end

local function timed_out(step, key)
  failure.raise("timeout", "step '%s': '%s' did not come within %g s", key, step.waits_for, step.timeout)
end

local function signals_of(leaves)
  local names = {}
  for _, leaf in ipairs(leaves) do
    if leaf.signal then names[leaf.signal] = true end
  end
  return names
end

local function await(frame, step, key, wait, leaves, come)
  local run, signals = frame.run, signals_of(leaves)
  local due_ms = step.timeout and sleep.after(step.timeout, frame.attempt_ms or frame.began_ms)
  while true do
    collect(frame, leaves, come)
    local is_over, payload = payload_of(wait, come)
    if not is_over and register(frame, leaves, come) then
      is_over, payload = payload_of(wait, come)
    end
    if is_over then
      receive(frame, leaves, used(run, leaves, come, payload, wait))
      return payload
    end
    local kind = next(signals) and "signal" or "event"
    local woken = parking.wait(run, key, { kind = kind, name = step.waits_for, signals = signals, events = #registered(leaves) > 0,
      since_ms = frame.began_ms, due_ms = due_ms })
    if not woken then timed_out(step, key) end
  end
end

-- A step that waits no more, and has received nothing, leaves nothing behind; a run that is parked or stopped waits on.
local function withdraw(frame, leaves)
  local run, list = frame.run, registered(leaves)
  if run.interrupted or #list == 0 then return end
  task.within({ shield = true }, function() run.engine.store:batch(event_waits.over(run.engine.store, run.id, list, {})) end)
end

function M.execute(frame, step, key)
  local run = frame.run
  if not run.journal then
    failure.raise("unavailable", "step '%s' waits for '%s', and of this run nothing is kept: give it a durability and a store", key,
      step.waits_for)
  end
  local wait = step.wait_of(frame.data)
  local leaves, come = add_leaves(frame, key, wait, {}), {}
  run.taken = run.taken or {}
  local ok, result = pcall(await, frame, step, key, wait, leaves, come)
  if ok then return result end
  give_back(run, come)
  withdraw(frame, leaves)
  error(result, 0)
end

return M
