--- Records of approvals: how they are read, and how each is changed, from what is there when it is written. One that
--- is decided moves from the space `approvals` to `decisions` in the transaction of the decision. Part of weir.approval.
---
--- Space `approvals.timers`: key "MS/ID", when something is to happen to a question while nobody decides it.

local clock = require "weir.port.clock"
local hash = require "weir.native.hash"
local json = require "weir.native.json"
local ladder = require "weir.approval.ladder"
local question = require "weir.approval.question"

local M = {}

local PENDING, DECIDED, TIMERS = question.pending, question.decided, question.timers
local RACED = 1 -- the position in a batch of the operation that another decision makes fail

--- A record as people and programs see it.
---@param id string
---@param stored table as it is kept
---@param version integer|nil of the record in the store
---@return weir.Approval|nil
---@return string|nil message
---@return string|nil code `corrupt`
function M.whole(id, stored, version)
  local record, message = question.read(stored.action)
  if not record then return nil, ("approval %s: %s"):format(id, message), "corrupt" end
  for name, value in pairs(stored) do record[name] = value end
  record.id, record.hash = id, hash.sha256(stored.action)
  record.kind, record.quorum, record.given = stored.kind or "approval", stored.quorum or 1, stored.given or json.list {}
  record.first_lsn, record.who = stored.first_lsn or version, ladder.who(stored.who, stored.ladder)
  local last = record.given[#record.given]
  if last and last.decision == record.decision then
    record.by, record.comment, record.answer = last.by, last.comment, last.answer
  end
  return record
end

-- The record of an id in a space, as it is kept, with its version.
local function stored_in(store, space, id)
  local stored, version, code = store:get(space, id)
  if stored == nil then return nil, version, code end
  return stored, version
end

--- The record of an id in a space. Does not wait.
---@param store weir.Store
---@param space string
---@param id string
---@return weir.Approval|nil
---@return string|nil message
---@return string|nil code `not_found`, `corrupt`, `unavailable`
function M.read(store, space, id)
  local stored, version, code = stored_in(store, space, id)
  if not stored then return nil, version, code end
  return M.whole(id, stored, version)
end

--- What somebody is told who asks for an approval that is not there.
---@param id string
---@return nil
---@return string message
---@return "not_found" code
function M.not_found(id)
  return nil, ("there is no approval '%s'; `weir approvals` lists those that wait"):format(id), "not_found"
end

-- Changing -----------------------------------------------------------------------------------------

local PAST = { approve = "approved it", edit = "approved it with a change", reject = "rejected it" }

local function what_happened(record)
  local at = clock.rfc3339(record.at_ms)
  if record.decision == "timeout" then return ("nobody had decided by %s, so its default holds"):format(at) end
  if record.decision == "cancelled" then return ("it was cancelled at %s: %s"):format(at, record.comment) end
  local comment = record.comment and (", saying '%s'"):format(record.comment) or ""
  return ("%s %s at %s%s"):format(record.by, PAST[record.decision], at, comment)
end

--- What somebody is told who was not first.
---@param winner weir.Approval decided
---@return nil
---@return string message
---@return "conflict" code
---@return weir.Approval winner
function M.lost_to(winner)
  return nil, ("approval %s is decided: %s"):format(winner.id, what_happened(winner)), "conflict", winner
end

local function no_longer_pending(store, id, message, code)
  if code ~= "not_found" then return nil, message, code end
  local winner
  winner, message, code = M.read(store, DECIDED, id)
  if winner then return M.lost_to(winner) end
  if code == "not_found" then return M.not_found(id) end
  return nil, message, code
end

-- The record as it will be. It goes on to say when it was first written: its version changes with it.
local function merged(stored, version, change)
  local result = { first_lsn = version }
  for name, value in pairs(stored) do result[name] = value end
  for name, value in pairs(change) do result[name] = value end
  return result
end

local function timer_ms(stored)
  if stored.decision then return nil end
  return ladder.next_ms(stored.ladder, stored.due_ms)
end

-- When the question is to be looked at next changes with it.
local function add_timers(operations, id, before, after)
  local old, new = timer_ms(before), timer_ms(after)
  if old == new then return end
  if old then operations[#operations + 1] = { op = "delete", space = TIMERS, key = question.timer_key(old, id) } end
  if new then operations[#operations + 1] = { op = "put", space = TIMERS, key = question.timer_key(new, id), value = 1 } end
end

-- What has to be written: the move for a decision, or a question that stays open and has changed.
local function operations_of(id, version, stored, next_stored, extra)
  local operations = { { op = "cas", space = PENDING, key = id, version = version, value = next_stored } }
  if next_stored.decision then
    operations = { { op = "delete", space = PENDING, key = id, version = version },
      { op = "cas", space = DECIDED, key = id, version = 0, value = next_stored } }
  end
  add_timers(operations, id, stored, next_stored)
  for _, operation in ipairs(extra and extra(M.whole(id, next_stored)) or {}) do operations[#operations + 1] = operation end
  return operations
end

--- What changes a pending record once, as it stands now. Does not wait.
---@param store weir.Store
---@param id string
---@param judge fun(record: weir.Approval): table|nil, string?, string?  gives the fields to change, or nil, message, code
---@param extra (fun(changed: weir.Approval): table[])|nil more for the same batch
---@return table[]|nil operations the first fails with `conflict` if the record changes meanwhile
---@return weir.Approval|string record as it will be, or the message
---@return string|nil code
---@return weir.Approval|nil winner with `conflict`: it is decided
function M.change(store, id, judge, extra)
  local stored, version, code = stored_in(store, PENDING, id)
  if not stored then return no_longer_pending(store, id, version, code) end
  local record, message
  record, message, code = M.whole(id, stored)
  if not record then return nil, message, code end
  local change
  change, message, code = judge(record)
  if not change then return nil, ("approval %s: %s"):format(id, message), code end
  local next_stored = merged(stored, version, change)
  return operations_of(id, version, stored, next_stored, extra), M.whole(id, next_stored)
end

--- Changes a pending record as `judge` says, from what is there when it is written. Waits until it is on disk.
---@param store weir.Store
---@param id string
---@param judge fun(record: weir.Approval): table|nil, string?, string?
---@param extra (fun(changed: weir.Approval): table[])|nil an operation that is refused refuses the change
---@return weir.Approval|nil
---@return string|nil message
---@return string|nil code what `judge` says, `not_found`, `conflict` (decided before), and those of `store:batch`
---@return weir.Approval|nil winner
function M.settle(store, id, judge, extra)
  while true do
    local operations, record, code, winner = M.change(store, id, judge, extra)
    if not operations then return nil, record, code, winner end
    local done, message, which
    done, message, code, which = store:batch(operations)
    if done then return record end
    if code ~= "conflict" or which ~= RACED then return nil, message, code end
  end
end

return M
