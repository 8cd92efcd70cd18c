--- Looks after questions that nobody has decided yet: when a moment of their ladder has come, people are reminded and
--- others are asked. What happens is an event, taken in by the transaction that notes it in the question's record: of one
--- nominal moment there is one event, whoever looks, however often, and whenever a process dies. Part of weir.approval.

local audit = require "weir.audit"
local clock = require "weir.port.clock"
local failure = require "weir.failure"
local ladder = require "weir.approval.ladder"
local native = require "weir.native.scheduler"
local pages = require "weir.pages"
local question = require "weir.approval.question"
local records = require "weir.approval.records"
local sweep = require "weir.sweep"
local working = require "weir.schedule.working"

local M = {}

local PAGE = 256
local BY = "weir" -- in the audit trail: nobody has done it

local function must(result, message, code)
  if not result then failure.raise(code or "failed", "%s", message) end
  return result
end

--- The clock of a question.
---@param of weir.ApprovalLadder|nil
---@return weir.WorkingTime
function M.clock_of(of)
  return of and of.working and working.read(of.working) or working.always
end

-- What people who are to decide need to know; what is shown they look up.
local function data_of(record, one)
  return { id = record.id, hash = record.hash, run = record.run, pipeline = record.pipeline, step = record.step, title = record.title,
    who = record.who, due = record.due_ms and clock.rfc3339(record.due_ms), nominal = clock.rfc3339(one.nominal_ms),
    number = one.number, missed = one.missed, to = one.to, instead = one.instead }
end

local function arrival_of(record, one)
  local id = ("%s/%s/%s"):format(record.id, one.kind, clock.rfc3339(one.nominal_ms))
  return { from = "approval", dedupe = id, event = { specversion = "1.0", id = id, source = "/approvals/" .. record.id,
    type = "weir.approval." .. one.kind, subject = record.pipeline, time = clock.rfc3339(clock.wall_ms()), data = data_of(record, one) } }
end

local function names_of(who)
  return who and table.concat(who, ", ") or "anybody"
end

local function audited(before, record, happened)
  local operations = {}
  for _, one in ipairs(happened) do
    if one.kind == "escalated" then
      operations[#operations + 1] = audit.operation { by = BY, via = "clock", action = "escalate", what = record.id,
        from = names_of(before), to = names_of(record.who) }
    end
  end
  return operations
end

-- One look at a question: the operations and the events, or nothing when nothing has come.
local function plan_of(store, id, now_ms)
  local happened, before = {}, nil
  local operations, record, code = records.change(store, id, function(pending)
    if not pending.ladder then return {} end
    local after
    before = pending.who
    after, happened = ladder.take(pending.ladder, pending.asked_ms, pending.due_ms, now_ms, M.clock_of(pending.ladder))
    return { ladder = after }
  end, function(changed) return audited(before, changed, happened) end)
  if not operations then return nil, record, code end
  local arrivals = {}
  for index, one in ipairs(happened) do arrivals[index] = arrival_of(record, one) end
  return operations, record, happened, arrivals
end

--- Looks at one question: what has come by now is noted and taken in as events. Waits for the disk. Raises what the
--- intake raises.
---@param intake weir.EventIntake
---@param id string
---@param now_ms integer
---@return { kind: "escalated"|"reminder", nominal_ms: integer, number: integer }[] happened
---@return weir.Approval|nil record nil: it is not pending any more
function M.look(intake, id, now_ms)
  while true do
    local operations, record, happened, arrivals = plan_of(intake.store, id, now_ms)
    if not operations then
      if happened == "not_found" or happened == "conflict" then return {} end
      failure.raise(happened or "failed", "%s", record)
    end
    if #happened == 0 then return {}, record end
    local ok, err = pcall(intake.take, intake, arrivals, { more = operations, is_exact = true })
    if ok then return happened, record end
    if failure.of(err).code ~= "conflict" then error(err, 0) end
  end
end

--- The questions to which something is to happen by now, the earliest first. Does not wait.
---@param store weir.Store
---@param now_ms integer
---@return { id: string, key: string }[]
function M.due(store, now_ms)
  local list = {}
  for index, row in ipairs(must(store:scan(question.timers, { to = ("%013d/~"):format(now_ms), limit = PAGE }))) do
    list[index] = { id = row.key:match "/(.+)$", key = row.key }
  end
  return list
end

--- When something is to happen next. Does not wait.
---@param store weir.Store
---@return integer|nil ms since 1970; nil when nothing is
function M.next_ms(store)
  local first = must(store:scan(question.timers, { limit = 1 }))[1]
  return first and math.tointeger(first.key:match "^%d+")
end

--- Looks at all questions whose moment has come. Waits for the disk. Raises what the store and the intake raise; that one is
--- damaged only when the others have been looked at.
---@param intake weir.EventIntake
---@param now_ms integer
---@param tell (fun(record: weir.Approval, one: table))|nil hears of each that has happened
---@return integer count of what has happened
function M.all(intake, now_ms, tell)
  local count, damaged, err = 0, {}, nil
  local function look(one)
    local ok, happened, record = pcall(M.look, intake, one.id, now_ms)
    if not ok then
      native.recover()
      if failure.of(happened).code ~= "corrupt" then error(happened, 0) end
      damaged[one.key], err = true, err or happened
      return
    end
    for _, event in ipairs(happened) do
      count = count + 1
      if tell then tell(record, event) end
    end
    -- What a decided question left behind, or one that was imported, and a moment that is not one of its own.
    if #happened > 0 then return end
    local done, message, code = intake.store:delete(question.timers, one.key)
    if not done and code ~= "not_found" then failure.raise(code or "failed", "%s", message) end
  end
  local has_looked
  repeat
    has_looked = false
    for _, one in ipairs(M.due(intake.store, now_ms)) do
      if not damaged[one.key] then
        has_looked = true
        look(one)
      end
    end
  until not has_looked
  if err then error(err, 0) end
  return count
end

--- Forgets links that expired before a moment. Waits for the disk.
---@param store weir.Store
---@param before_ms integer
---@return integer count
function M.forget_links(store, before_ms)
  return sweep.rows(store, question.links, pages.keys(store, question.links), function(row) return row.value.expires_ms < before_ms end)
end

return M
