--- A step that waits for signals: for one, for any or all of several, for so many of them. A signal that came
--- before the wait is received at once. Each is received once: it leaves the store with the step's outcome.

local failure = require "weir.failure"
local parking = require "weir.run.parking"
local sleep = require "weir.run.kinds.sleep"
local waking = require "weir.run.waking"

local M = { name = "wait", is_durable = true }

-- What has come for this step: {key, value, order} by name of the signal.
local function collect(frame, names, come)
  local run = frame.run
  for name in pairs(names) do
    if not come[name] then
      local key, value = waking.next_signal(run.engine, run.id, name, run.taken)
      if key then
        run.taken[key] = true
        come[name] = { key = key, value = value, order = key:match "[^/]+$" } -- ids sort by time
      end
    end
  end
end

local function names_of(wait, names)
  if wait.signal then names[wait.signal] = true end
  for _, inner in ipairs(wait.any or wait.all or wait.of or {}) do names_of(inner, names) end
  return names
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
    if part.wait.signal then
      result[part.wait.signal] = part.value
    else
      for name, value in pairs(part.value) do result[name] = value end
    end
    if part.order > latest then latest = part.order end
  end
  return true, result, latest
end

-- Whether a wait is over, with its payload: of one signal what was sent; of several an object by name of the
-- signal, for `any` with the one that came first.
function payload_of(wait, come)
  if wait.signal then
    local got = come[wait.signal]
    if got then return true, got.value, got.order end
    return false
  end
  local waits = wait.any or wait.all or wait.of
  local needed = wait.any and 1 or wait.at_least or #waits
  local found = over(waits, come)
  if #found < needed then return false end
  return by_name { table.unpack(found, 1, needed) }
end

-- The signals that make up the payload; the others are there for whoever waits for them next.
local function used(run, come, payload, wait)
  local keys = {}
  for name, got in pairs(come) do
    if wait.signal or payload[name] ~= nil then
      keys[#keys + 1] = got.key
    else
      run.taken[got.key] = nil
    end
  end
  return keys
end

-- Leaves the store in one transaction with the outcome of the step.
local function receive(frame, keys)
  local operations = {}
  for index, key in ipairs(keys) do operations[index] = { op = "delete", space = "signals", key = key } end
  frame.staged = { { operations = function() return operations end, committed = function() end } }
end

local function give_back(run, come)
  for _, got in pairs(come) do run.taken[got.key] = nil end
end

local function timed_out(step, key)
  failure.raise("timeout", "step '%s': no signal came within %g s", key, step.timeout)
end

local function await(frame, step, key, wait, names, come)
  local run = frame.run
  local due_ms = step.timeout and sleep.after(step.timeout, frame.attempt_ms or frame.began_ms)
  while true do
    collect(frame, names, come)
    local is_over, payload = payload_of(wait, come)
    if is_over then
      receive(frame, used(run, come, payload, wait))
      return payload
    end
    local woken = parking.wait(run, key, { kind = "signal", name = step.waits_for, signals = names, since_ms = frame.began_ms,
      due_ms = due_ms })
    if not woken then timed_out(step, key) end
  end
end

function M.execute(frame, step, key)
  local run = frame.run
  if not run.journal then
    failure.raise("unavailable", "step '%s' waits for a signal, and of this run nothing is kept: give it a durability and a store", key)
  end
  local wait = step.wait_of(frame.data)
  local come = {}
  run.taken = run.taken or {}
  local ok, result = pcall(await, frame, step, key, wait, names_of(wait, {}), come)
  if ok then return result end
  give_back(run, come)
  error(result, 0)
end

return M
