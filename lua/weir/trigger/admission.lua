--- What an event does to the queue of a pipeline: it gets a place there, joins one that waits, or is left out. All of it is
--- operations of the one transaction in which the event is taken in, so there is no moment in which it was counted and has
--- no place, or the other way round.
---
--- Beside the queue, by trigger and key:
---   trigger.held    what debounce and batch hold back: {item, due_ms, first_ms}
---   trigger.rate    throttle: {next_ms}, when there is the next place, all told (GCRA, as in ATM networks' policing)
---   trigger.single  singleton: the item that waits or is at work

local clock = require "weir.port.clock"
local duration = require "weir.duration"
local failure = require "weir.failure"
local hash = require "weir.native.hash"
local place = require "weir.queue.place"
local rules_of = require "weir.trigger.rules"

local M = {}

M.HELD, M.RATE, M.SINGLE = "trigger.held", "trigger.rate", "trigger.single"

---@alias weir.TriggerOutcome "queued"|"joined"|"filtered"|"duplicate"|"throttled"|"skipped"|"full"

local function append(operations, more) return table.move(more, 1, #more, #operations + 1, operations) end

local function cas(operations, space, key, version, value)
  operations[#operations + 1] = { op = "cas", space = space, key = key, version = version, value = value }
end

local function key_in(rules, evaluate, root)
  return place.lane(rules.id, rules_of.key_of(evaluate, root) or "")
end

-- What whoever picks the next one is told.
local function about_of(line, rules, event)
  local of = line.settings
  local about = { source = rules.id }
  if of.share or of.priority then
    local root = { event = event, run = {}, input = rules.input(event) }
    about.share = rules_of.key_of(of.share, root)
    about.priority = of.priority and tonumber((of.priority(root))) or nil
  end
  return about
end

-- When there is a place for one more; nil: not at once, and it is dropped rather than held back.
local function throttled(line, operations, rules, root, now)
  local throttle = rules.throttle
  if not throttle then return now end
  local key = key_in(rules, throttle.key, root)
  local row, version = place.read(line.store, M.RATE, key)
  local step = throttle.seconds * 1000 / throttle.limit
  local next_ms = math.max(row and row.next_ms or 0, now)
  if throttle.drops and next_ms > now + throttle.seconds * 1000 then next_ms = now end -- the clock was ahead, and was set back
  local due_ms = math.ceil(next_ms - (throttle.limit - 1) * step)
  if due_ms > now and throttle.drops then return nil end
  cas(operations, M.RATE, key, version, { next_ms = duration.tellable(math.floor(next_ms + step)) })
  return math.max(due_ms, now)
end

local function dedupe_of(rules, event, root)
  local dedupe = rules.dedupe
  if not dedupe then return nil end
  local key = dedupe.key and rules_of.key_of(dedupe.key, root) or not dedupe.key and event.source .. " " .. event.id
  return key and hash.sha256(rules.id .. " " .. key) or nil
end

-- A place of its own.
local function enqueue(line, operations, rules, value, root, due_ms)
  local event = root.event
  local single = rules.singleton and key_in(rules, rules.singleton ~= true and rules.singleton or nil, root)
  local own = {}
  if single then
    local busy, version = place.read(line.store, M.SINGLE, single)
    if busy ~= nil then return "skipped" end
    value.single = single
    cas(own, M.SINGLE, single, version, true)
  end
  local start_ms = throttled(line, own, rules, root, clock.wall_ms())
  if not start_ms then return "throttled" end
  local about = about_of(line, rules, event)
  if not line:make_room(own, about, operations) then return "full" end
  local more, id, is_new = line.queue:enqueue_operations(value, { key = rules_of.key_of(rules.key, root),
    due_ms = math.max(start_ms, due_ms), dedupe = dedupe_of(rules, event, root),
    dedupe_s = rules.dedupe and rules.dedupe.seconds, about = about, limit = line:limit_of_queue() })
  if not is_new then return "duplicate" end
  append(append(operations, own), more)
  return "queued", id
end

-- The last one of a burst counts, once it has been quiet for a while.
local function debounce(line, operations, rules, value, root)
  local of, now = rules.debounce, clock.wall_ms()
  local key = key_in(rules, of.key, root)
  local held, version = place.read(line.store, M.HELD, key)
  local due_ms = duration.after(now, of.seconds)
  if held then
    if of.max then due_ms = math.min(due_ms, duration.after(held.first_ms, of.max)) end
    local more = line.queue:revise_operations(held.item, held.due_ms, value, math.max(due_ms, now))
    if more then
      cas(operations, M.HELD, key, version, { item = held.item, due_ms = math.max(due_ms, now), first_ms = held.first_ms })
      append(operations, more)
      return "joined"
    end
  end
  local outcome, id = enqueue(line, operations, rules, value, root, due_ms)
  if id then cas(operations, M.HELD, key, version, { item = id, due_ms = due_ms, first_ms = now }) end
  return outcome
end

local function join_batch(line, operations, rules, held, version, key, offset)
  local kept = place.read(line.store, place.spaces.items, place.of(line.queue.name, held.item))
  if not kept or not kept.offsets then return false end
  kept.offsets[#kept.offsets + 1] = offset
  local is_whole = #kept.offsets >= rules.batch.size
  local more = line.queue:revise_operations(held.item, held.due_ms, kept, is_whole and clock.wall_ms() or held.due_ms)
  if not more then return false end
  if is_whole then
    operations[#operations + 1] = { op = "delete", space = M.HELD, key = key, version = version }
  else -- nobody else adds to it meanwhile
    cas(operations, M.HELD, key, version, held)
  end
  append(operations, more)
  return true
end

-- So many together, or those of a while.
local function batch(line, operations, rules, value, root, offset)
  local of, now = rules.batch, clock.wall_ms()
  local key = key_in(rules, of.key, root)
  local held, version = place.read(line.store, M.HELD, key)
  if held and join_batch(line, operations, rules, held, version, key, offset) then return "joined" end
  local due_ms = of.size > 1 and duration.after(now, of.seconds) or now
  value.offsets, value.events = { offset }, nil
  local outcome, id = enqueue(line, operations, rules, value, root, due_ms)
  if id and of.size > 1 then cas(operations, M.HELD, key, version, { item = id, due_ms = due_ms, first_ms = now }) end
  return outcome
end

local function place_of(line, operations, rules, event, offset, value)
  local root = { event = event, run = {} }
  if rules.debounce then return debounce(line, operations, rules, value, root) end
  if rules.batch then return batch(line, operations, rules, value, root, offset) end
  return (enqueue(line, operations, rules, value, root, clock.wall_ms()))
end

-- An event whose key or share cannot be told is nobody's to start with, and is not lost: it dies with its reason.
local function broken(line, operations, rules, event, offset, err)
  local value = { trigger = rules.id, events = { event }, offset = offset, error = failure.of(err).message }
  local about = { source = rules.id }
  if not line:make_room(operations, about, operations) then return "full" end
  append(operations, (line.queue:enqueue_operations(value, { about = about, limit = line:limit_of_queue() })))
  return "queued"
end

--- Adds what an event does to a line. Does not wait; raises `corrupt`, `unavailable`.
---@param line weir.Line
---@param operations table[]
---@param rules weir.TriggerRules
---@param event weir.Event
---@param offset string
---@return weir.TriggerOutcome outcome full: nothing was added
function M.admit(line, operations, rules, event, offset)
  if rules.filter and not rules.filter { event = event, run = {} } then return "filtered" end
  local mark = #operations
  local value = { trigger = rules.id, events = { event }, offset = offset }
  local ok, outcome = pcall(place_of, line, operations, rules, event, offset, value)
  if ok and outcome ~= "full" then return outcome end
  for index = #operations, mark + 1, -1 do operations[index] = nil end
  if ok then return outcome end
  local code = failure.of(outcome).code
  if code == "corrupt" or code == "unavailable" then error(outcome, 0) end
  return broken(line, operations, rules, event, offset, outcome)
end

--- The operations with which a trigger lets go of an item that is over.
---@param value table of the item
---@return table[]
function M.release(value)
  if not value.single then return {} end
  return { { op = "delete", space = M.SINGLE, key = value.single } }
end

return M
