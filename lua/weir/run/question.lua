--- Asks people and waits for their decision, as long as it takes. The question is a record of the store
--- (`weir.approval`); the same question at the same place is the same record, so a later life of the run
--- finds it, decided or not.

local approval = require "weir.approval"
local clock = require "weir.port.clock"
local failure = require "weir.failure"
local parking = require "weir.run.parking"
local task = require "weir.task"

local M = {}

local function must(result, second, code)
  if result == nil then failure.raise(code or "failed", "%s", second) end
  return result, second
end

-- The question that counts: of those that were not taken back the one of this number, from 1. One that a step
-- took back, when it was cancelled without that becoming its outcome, is asked anew. Gives the id of one that is
-- not asked yet, or its record.
local function find(run, key, hash, number)
  local occurrence, left = 0, number
  while true do
    occurrence = occurrence + 1
    local id = approval.id(run.id, key, occurrence, hash)
    local record, state, code = approval.get(run.engine.store, id)
    if not record and code ~= "not_found" then failure.raise(code, "%s", state) end
    if not record then return id end
    if record.decision ~= "cancelled" then left = left - 1 end
    if left == 0 then return id, record, state end
  end
end

local function ask(frame, key, fields)
  local run = frame.run
  local store = run.engine.store
  local action, hash = approval.action { pipeline = run.plan.name, version = run.plan.version, run = run.id, step = key,
    title = fields.title, show = fields.show, form = fields.form, input = fields.input, world = fields.world, again = fields.again }
  local id, record, state = find(run, key, hash, fields.occurrence or 1)
  if record then return record, state end
  local asked_ms = clock.wall_ms()
  local due_ms, of_ladder = fields.due_ms, nil
  if fields.times then due_ms, of_ladder = fields.times(asked_ms) end
  local done, message, code = store:batch(approval.ask { id = id, kind = fields.kind, action = action, hash = hash, who = fields.who,
    not_initiator = fields.not_initiator, initiator = fields.not_initiator and run.by or nil, quorum = fields.quorum,
    weights = fields.weights, due_ms = due_ms, on_timeout = fields.on_timeout, asked_ms = asked_ms, ladder = of_ladder })
  if code ~= "conflict" then must(done, message, code) end -- else another step that asks the same was faster
  if of_ladder and run.engine.on_asked then run.engine.on_asked() end
  return must(approval.get(store, id))
end

-- For specs: somebody who answers at once.
local function answer(engine, record)
  local decision = engine.decide and engine.decide(record)
  if not decision then return end
  must(approval.decide(engine.store, record.id, decision, { groups = engine.project.settings.groups, now_ms = clock.wall_ms() }))
end

local function withdraw(engine, id)
  task.within({ shield = true, timeout = 30 }, function()
    approval.cancel(engine.store, id, "the step does not ask any more", clock.wall_ms())
  end)
end

local function decided(run, record, state, kind, waits_as)
  local store = run.engine.store
  while state ~= "decided" do
    if record.due_ms and record.due_ms <= clock.wall_ms() then
      local expired, message, code = approval.expire(store, record.id, clock.wall_ms())
      if not expired and code ~= "conflict" then failure.raise(code, "%s", message) end
    else
      parking.wait(run, waits_as or record.step, { kind = kind, id = record.id, name = record.title, since_ms = record.asked_ms,
        due_ms = record.due_ms })
    end
    record, state = must(approval.get(store, record.id))
  end
  return record
end

-- Whether another step of the run waits for the same decision.
local function is_awaited(run, id)
  for _, wait in pairs(run.waits) do
    if wait.id == id then return true end
  end
  return false
end

-- Whether a key is that of a step, or of a step inside of it.
local function is_under(key, step)
  local after = key:sub(#step + 1, #step + 1)
  return key:sub(1, #step) == step and (after == "" or after == "/" or after == "[")
end

--- Takes back what a run was parked on and does not ask any more: it was answered enough before it was asked
--- again in this life. Waits, also in a cancelled task.
---@param run weir.Run
---@param step string|nil key of the step that is not needed any more; nil: all
function M.withdraw_parked(run, step)
  for _, wait in ipairs(run.parked_on or {}) do
    local is_question = wait.kind == "approval" or wait.kind == "in_doubt"
    if is_question and (not step or is_under(wait.step, step)) then withdraw(run.engine, wait.id) end
  end
end

--- Asks, and waits until it is decided. Waits durably; raises `unavailable` in a run of which nothing is kept.
---@param frame table
---@param key string of the step in the journal
---@param fields table kind, title, show, input, form, who, not_initiator, quorum, weights, due_ms, on_timeout, world, again as
---   `weir.approval` keeps them; times: instead of due_ms, gives it and the ladder of a question that is asked at a moment;
---   occurrence: tells questions of one step apart, from 1; waits_as: the key under which it waits, where several steps ask the same
---@return table record of the decision
function M.ask(frame, key, fields)
  local run = frame.run
  if not run.journal then
    failure.raise("unavailable", "step '%s' asks people, and of this run nothing is kept: give it a durability and a store", key)
  end
  local record, state = ask(frame, key, fields)
  if state ~= "decided" then
    answer(run.engine, record)
    record, state = approval.get(run.engine.store, record.id)
    must(record, state)
  end
  local ok, result = pcall(decided, run, record, state, fields.kind, fields.waits_as)
  if ok then return result end
  if not run.interrupted and not is_awaited(run, record.id) then withdraw(run.engine, record.id) end
  error(result, 0)
end

return M
