--- Runs that wait for events, and which events are for which of them. A wait is registered before the log is looked at;
--- whoever takes an event in looks at what is registered. So an event is seen by one of the two, however they meet: there is
--- no moment between arrival and wait in which it is lost. What is parked costs nothing in memory.
---
---   event.waits   TYPE/RUN/STEP#LEAF   who waits for events of a type: {match, data}; data: of StepData what `match` reads
---   event.found   RUN/STEP#LEAF/OFFSET an event that is for a wait, until the step has finished
---   event.taken   RUN/OFFSET           an event that a step of the run has received: no other wait of it sees it again
---   event.giving  OFFSET               an event that is for more waits than one transaction takes: with which wait to go on

local condition = require "weir.condition"
local failure = require "weir.failure"
local log = require "weir.event.log"
local pages = require "weir.pages"

local M = {}

M.WAITS, M.FOUND, M.TAKEN, M.GIVING = "event.waits", "event.found", "event.taken", "event.giving"

local PAGE = 1000
local OVER_MAX = 4000 -- events that were found for a wait and go with it; what is beyond goes with the run
local COMPILED_MAX = 1000

local compiled, compiled_count = {}, 0

local function test_of(text)
  local test = compiled[text]
  if test then return test end
  if compiled_count == COMPILED_MAX then compiled, compiled_count = {}, 0 end
  test = assert(condition.compile(text)).test
  compiled[text], compiled_count = test, compiled_count + 1
  return test
end

local function must(rows, message, code)
  if not rows then failure.raise(code or "failed", "%s", message) end
  return rows
end

-- Types, runs and steps stand in keys that are split at '/'.
local function escaped(text)
  return (text:gsub("[%%/]", { ["%"] = "%25", ["/"] = "%2F" }))
end

local function wait_key(pattern, place)
  return ("%s/%s"):format(escaped(pattern), place)
end

--- Where a wait of a run stands.
---@param run_id string
---@param step string its key
---@param leaf integer which wait of the step
---@return string
function M.place(run_id, step, leaf)
  return ("%s/%s#%d"):format(run_id, escaped(step), leaf)
end

--- Whether an event is one that is waited for.
---@param wait { event: string, match: string|nil, data: table|nil }
---@param event weir.Event
---@return boolean
function M.is_for(wait, event)
  if not log.is_of_type(wait.event, event.type) then return false end
  if not wait.match then return true end
  local root = { event = event }
  for name, value in pairs(wait.data or {}) do
    if root[name] == nil then root[name] = value end
  end
  return test_of(wait.match)(root)
end

--- Which parts of StepData a condition reads beside the event.
---@param match string|nil
---@param data table
---@return table|nil
function M.read_by(match, data)
  if not match then return nil end
  local read
  for _, reference in ipairs(assert(condition.compile(match)).references) do
    local root = reference.root
    if root and root ~= "event" and data[root] ~= nil then
      read = read or {}
      read[root] = data[root]
    end
  end
  return read
end

--- Registers a wait. Waits until that is on disk, and until all that was taken in before it is. Raises what the store refuses
--- with.
---@param store weir.Store
---@param place string
---@param wait { event: string, match: string|nil, data: table|nil }
function M.register(store, place, wait)
  must(store:put(M.WAITS, wait_key(wait.event, place), { match = wait.match, data = wait.data }))
  must(store:sync())
end

local ENDED = { finished = true, failed = true, cancelled = true }

-- A run that was cancelled while it was parked has left its waits behind.
local function has_ended(store, run_id)
  local row, _, code = store:row(run_id)
  return row and ENDED[row.status] or not row and code == "not_found"
end

-- The patterns that a type is of: itself, and every beginning up to a dot, or nothing, with a '*'.
local function patterns_of(type)
  local list = { type, "*" }
  local at = type:find(".", 1, true)
  while at do
    list[#list + 1] = type:sub(1, at) .. "*"
    at = type:find(".", at + 1, true)
  end
  return list
end

--- Whether a pattern is one that waits may have: a type, or the beginning of one up to a dot and '*'.
---@param pattern string
---@return boolean
function M.is_pattern(pattern)
  local before = pattern:match "^(.*)%*$"
  if not before then return pattern ~= "" and not pattern:find("*", 1, true) end
  return not before:find("*", 1, true) and (before == "" or before:sub(-1) == ".")
end

-- Gives one wait its event, or forgets the wait when its run has ended.
local function give_one(store, plan, place, key, offset)
  local run_id = place:match "^[^/]+"
  if has_ended(store, run_id) then
    if not plan.over[key] then plan.operations[#plan.operations + 1] = { op = "delete", space = M.WAITS, key = key } end
    plan.over[key] = true
    return
  end
  plan.operations[#plan.operations + 1] = { op = "put", space = M.FOUND, key = ("%s/%s"):format(place, offset), value = true }
  plan.wake(run_id)
end

--- Adds what gives an event to the runs that wait for it, in the transaction that takes it in, or in one after that. Does not
--- wait; raises `corrupt`, `unavailable`.
---@param store weir.Store
---@param plan { operations: table[], over: table<string, boolean>, wake: fun(run_id: string) } over: waits of runs that have ended,
---   which this transaction removes; wake: called for each run that is given it
---@param event weir.Event
---@param offset string
---@param room integer there is room for it while the transaction has fewer operations
---@param from { pattern: integer, after: string }|nil where an earlier transaction ended
---@return { pattern: integer, after: string }|nil rest there was no room for the waits from there on
function M.give(store, plan, event, offset, room, from)
  local patterns = patterns_of(event.type)
  local after = from and from.after
  for number = from and from.pattern or 1, #patterns do
    local pattern, last = patterns[number], after or ""
    local prefix = escaped(pattern) .. "/"
    for row in pages.rows(store, M.WAITS, { prefix = prefix, limit = PAGE, after = after }) do
      if #plan.operations >= room then return { pattern = number, after = last } end
      if M.is_for({ event = pattern, match = row.value.match, data = row.value.data }, event) then
        give_one(store, plan, row.key:sub(#prefix + 1), row.key, offset)
      end
      last = row.key
    end
    after = nil
  end
end

-- Whether a run has received an event already, or a step of it is about to.
local function is_taken(store, run_id, offset, taken)
  return taken[offset] or store:get(M.TAKEN, ("%s/%s"):format(run_id, offset)) ~= nil
end

--- Whether a wait is registered. Does not wait; raises `corrupt`, `unavailable`.
---@param store weir.Store
---@param place string
---@param wait { event: string }
---@return boolean
function M.is_registered(store, place, wait)
  local known, message, code = store:get(M.WAITS, wait_key(wait.event, place))
  if known == nil and code ~= "not_found" then failure.raise(code or "failed", "%s", message) end
  return known ~= nil
end

--- The first event that was found for a registered wait and that the run has not received, or nil. Does not wait.
---@param store weir.Store
---@param run_id string
---@param place string
---@param taken table<string, boolean> offsets that steps of the run are about to receive
---@return weir.LogEntry|nil
function M.found(store, run_id, place, taken)
  for row in pages.rows(store, M.FOUND, { prefix = place .. "/", limit = PAGE }) do
    local offset = row.key:match "[^/]+$"
    local entry = not is_taken(store, run_id, offset, taken) and log.get(store, offset)
    if entry then return entry end
  end
end

--- The first event of the log behind an offset that is for a wait and that the run has not received, or nil. Does not wait.
---@param store weir.Store
---@param run_id string
---@param wait { event: string, match: string|nil, data: table|nil }
---@param after string offset
---@param taken table<string, boolean> as of `found`
---@return weir.LogEntry|nil
function M.look(store, run_id, wait, after, taken)
  repeat
    local entries, next_offset = log.page(store, { after = after, type = wait.event, limit = PAGE })
    for _, entry in ipairs(entries) do
      if M.is_for(wait, entry.event) and not is_taken(store, run_id, entry.offset, taken) then return entry end
    end
    after = next_offset
  until not after
end

--- The operations with which a step has received its events and waits no more, for the transaction of its outcome.
---@param store weir.Store
---@param run_id string
---@param waits { place: string, wait: table }[] all of the step
---@param received string[] offsets
---@return table[]
function M.over(store, run_id, waits, received)
  local operations = {}
  for _, one in ipairs(waits) do
    operations[#operations + 1] = { op = "delete", space = M.WAITS, key = wait_key(one.wait.event, one.place) }
    for row in pages.rows(store, M.FOUND, { prefix = one.place .. "/", limit = PAGE }) do
      if #operations >= OVER_MAX then break end
      operations[#operations + 1] = { op = "delete", space = M.FOUND, key = row.key }
    end
  end
  for _, offset in ipairs(received) do
    operations[#operations + 1] = { op = "put", space = M.TAKEN, key = ("%s/%s"):format(run_id, offset), value = true }
  end
  return operations
end

return M
