--- A run's journal is replayed against another definition: nothing is executed and nothing is written. What the
--- definition asks is compared with what was recorded; where the record ends, each branch stops and waits, and when all of
--- them do, the rehearsal is over. What was recorded and is not asked any more, or asked otherwise, is a divergence.

local failure = require "weir.failure"
local journal = require "weir.run.journal"
local keys = require "weir.run.keys"
local parking = require "weir.run.parking"
local run_type = require "weir.run.run"
local value_of = require "weir.value"

local M = {}

local WRITES = { put = true, cas = true, delete = true, batch = true }

---@class weir.Divergence
---@field key string
---@field n integer       the record's number
---@field recorded string how the recorded step ended; `begun` when it was under way
---@field asks { kind: string, module: string|nil, input: any }|nil what the definition asks there; nil: it does not ask
---@field message string

---@class weir.Rehearsal
---@field questions table<string, table> what was asked, by key
---@field ends table<string, boolean> keys at which the record ended
local Rehearsal = {}
Rehearsal.__index = Rehearsal

-- A store that is read and takes no writes.
local function read_only(store)
  return setmetatable({}, { __index = function(_, name)
    if WRITES[name] then return function() return {} end end
    return function(_, ...) return store[name](store, ...) end
  end })
end

local function quiet_journal(self, entries, store)
  local book = journal.new(nil, entries, store)
  book.migrated_n = #entries + 1
  local function nothing() end
  book.append, book.note, book.begin, book.finish, book.finish_with = nothing, nothing, nothing, nothing, nothing
  function book.append_with() return true end
  function book.choice(_, key)
    local entry = book.choices[key]
    if entry then return value_of.copy(entry[3]) end
    self:wait_for_ever(key)
  end
  return book
end

-- Raises when the rehearsal is over.
function Rehearsal:wait_for_ever(key)
  self.ends[key] = true
  parking.wait(self.run, key, { kind = "rehearsal" })
end

--- Notes what a step asks, before it is compared with what was recorded.
---@param step table
---@param key string
---@param input any
function Rehearsal:ask(step, key, input)
  self.questions[key] = { kind = step.kind.name, module = step.module, input = input, has_steps = step.kind.has_steps }
end

--- What stands below a key is over and was made as the record says; it is not asked one by one.
---@param key string
---@param kind string
function Rehearsal:settled(key, kind)
  self.questions[key] = { kind = kind }
end

--- Here the record ends. What has steps of its own goes on with them; all else waits until the rehearsal is over, which
--- raises.
---@param step table
---@param key string
function Rehearsal:beyond(step, key)
  if not step.kind.has_steps then self:wait_for_ever(key) end
end

-- What was recorded inside of a step that is not taken apart belongs to that step.
local function is_inside(self, key)
  for above, question in pairs(self.questions) do
    local is_whole = self.ends[above] or not question.has_steps
    if is_whole and keys.is_below(key, above) then return true end
  end
  return false
end

local IGNORED = { cancelled = true, skipped = true }

-- Steps that were begun and have no outcome may have done something; those that only wait have not.
local function under_way(self, entries)
  local is_waiting, list = {}, {}
  for _, wait in ipairs(type(self.row.waiting) == "table" and self.row.waiting or {}) do is_waiting[wait.step] = true end
  for _, entry in ipairs(entries) do
    local key = entry[2]
    if entry[1] == "start" and self.run.journal.began[key] and not is_waiting[key] then
      list[#list + 1] = { "start", key, entry[3], "begun", n = entry.n }
    end
  end
  return list
end

local function is_lost(self, entry)
  local key, question = entry[2], self.questions[entry[2]]
  if IGNORED[entry[4]] or key:find "^undo/" or is_inside(self, key) then return false end
  if not question then return true end
  return entry[1] == "start" and not question.has_steps
    and entry[3] ~= self.run.journal:ask(question.kind, question.module, question.input)
end

local function first_lost(self, entries)
  local first
  local function look(entry)
    if is_lost(self, entry) and (not first or entry.n < first.n) then first = entry end
  end
  for _, entry in pairs(self.run.journal.recorded) do look(entry) end
  for _, entry in ipairs(under_way(self, entries)) do look(entry) end
  return first
end

local function described(question)
  return question.module and ("%s '%s'"):format(question.kind, question.module:match "[^/]*$") or question.kind
end

local function divergence_of(entry, question)
  local found = { key = entry[2], n = entry.n, recorded = entry[4], asks = question }
  if question then
    found.message = ("step '%s': record %d answers another question than the definition asks: %s with another input, or another module")
      :format(entry[2], entry.n, described(question))
  else
    found.message = ("step '%s': record %d is of a step that the definition does not ask for there"):format(entry[2], entry.n)
  end
  return found
end

local function divergence(self, entries)
  local mismatch = self.run.journal.mismatch
  if mismatch then -- what comes after it was not asked any more
    return divergence_of(self.run.journal.recorded[mismatch.key], self.questions[mismatch.key])
  end
  local lost = first_lost(self, entries)
  return lost and divergence_of(lost, self.questions[lost[2]]) or nil
end

local function new_run(self, engine, plan, held, run_id, entries)
  local head = journal.head_of(entries)
  local store = read_only(engine.store)
  local fake = setmetatable({ store = store, live = {}, handles = {}, opening = {}, waking = {}, patience = 0, near = 0,
    service = false }, { __index = engine })
  local run = run_type.new { id = run_id, plan = plan, binding = held, modules = held.modules, input = value_of.copy(head.input),
    engine = fake, started_ms = head.at, by = head.by, of = type(head.of) == "table" and head.of or nil }
  run.journal = quiet_journal(self, entries, store)
  run.rehearsal, self.run = self, run
  return run
end

--- Replays a run against a plan. Waits, for as long as the recorded part takes to compute. Raises `not_found`, `corrupt`.
---@param engine weir.Engine
---@param run_id string which is not at work
---@param plan table
---@param held weir.Binding is released
---@return weir.Divergence|nil first
---@return { status: string, output: any, questions: table<string, table> } replayed what it came to, and all that was asked
function M.replay(engine, run_id, plan, held)
  local entries, row, code = engine.store:load(run_id)
  if not entries then
    held:release()
    failure.raise(code or "failed", "%s", row)
  end
  local self = setmetatable({ questions = {}, ends = {}, row = row or {} }, Rehearsal)
  local run = new_run(self, engine, plan, held, run_id, entries)
  run:execute()
  return divergence(self, entries), { status = run.status, output = run.output, questions = self.questions }
end

return M
