--- The journal of one run: what has happened, found again by key, and what happens, written before it
--- is used. Entries are lists whose first element says what they are:
---   {"run", head}                                     the run's definition, input and pins
---   {"life", at_ms}                                   a process goes on with the run after one that ended
---   {"start", key, asked, attempt, at_ms, waits?}     an attempt has begun; true: one that only waits
---   {"attempt", key, attempt, from_ms, to_ms, error, delay, memory}  an attempt failed, another follows
---   {"draft", key, draft, memory}                     a draft was refused by its critic, another follows
---   {"step", key, asked, status, from_ms, to_ms, attempt, value, extra}  the outcome of a step
---   {"choice", key, value}                            a choice among what runs side by side; "pin/NAME": of a version;
---                                                     "upgrade": pins of all that begins from now on;
---                                                     "migrate": {version, pins, at, by} of the definition that asks now
---   {"turn", key, base, kept, may_use, message...}    a model is asked; see `weir.model.conversation`
---   {"items", key, from, item...}                     items of a step's stream, from this one on; what was there before from
---                                                     that one on holds no more
---   {"kept", key}                                     something has come of a step that is still under way
---   {"stop", at_ms, reason}                           the process was asked to stop: what was under way is no crash
---   {"ending", status, error, at_ms}                  the run will end so, once what it did is undone
---   {"end", status, value, at_ms}                     the run has ended
--- `extra` of an outcome: label, verdict, undo {agent, options, input}, usage {tokens, usd}, stopped {{what, name,
--- count}, ...} (what was under way and was stopped; see `weir.proof`), kept (the run that made it, if this one began
--- with it), edited (it was changed then). Of an attempt usage and stopped are in its error, of a draft usage in the
--- draft. Appending waits until the entry is on disk, unless said otherwise.

local failure = require "weir.failure"
local store_port = require "weir.port.store"
local value_of = require "weir.value"

local M = {}

---@class weir.Journal
---@field recorded table<string, table> outcomes of steps by key
---@field choices table<string, table> entries by key
---@field attempts table<string, table[]> failed attempts by key
---@field began table<string, integer> when a step without an outcome was begun first, ms since 1970
---@field begun table<string, integer> how often such a step was begun
---@field drafts table<string, table[]> refused drafts by key
---@field memories table<string, table> after the latest attempt or draft
---@field lives integer how often a process went on with the run while something was under way, since the latest progress
---@field is_open boolean something was begun, and nothing has come of it yet
---@field steps integer how many steps have an outcome
---@field undos { key: string, undo: table }[] how finished steps are undone, in the order of their outcomes
---@field usage table<string, number> what all outcomes have used
---@field usage_by table<string, table<string, number>> the same by the key of the step
---@field refused table<string, integer> how many drafts of a step were refused and followed by another, in all its attempts
---@field ending table|nil the entry
---@field migrated_n integer|nil number of the entry that bound the run to another definition
---@field head_pins table<string, string> versions that the run began with
---@field versions table<string, string>|nil those that it has switched to
---@field versions_of table<string, table|false>|nil by key, of steps that were under way at a switch: what they began with;
---   false: `head_pins`
---@field asking table<string, table> what calls of models without an outcome may have used, by key
---@field streams table<string, any[]> items of streams, by the key of their step
---@field furthest table<string, integer> how many items a stream has had, by key, also of those that hold no more
---@field parted table<string, table<integer, integer>> by key and item: what readers did with it, and with what followed,
---   before entry n holds no more
---@field draft_from table<string, integer> by key: the item of its stream with which its latest draft begins
---@field unkept weir.Stream[]|false streams with items that are not written yet
---@field has_past boolean there are entries of an earlier life
---@field mismatch table|nil the error: something else was asked than was recorded, and a person has to look
---@field is_careful boolean starts are on disk before what they say begins
---@field has_begun boolean|nil another life of a run that was under way is on disk
---@field compares_kept boolean what an earlier run made has to answer what this one asks: its definition is another
local Journal = {}
Journal.__index = Journal

-- A run that begins has no past, and no tables for one.
local NONE = setmetatable({}, { __newindex = function() end })
Journal.recorded, Journal.attempts, Journal.drafts, Journal.memories, Journal.began, Journal.begun = NONE, NONE, NONE, NONE, NONE, NONE
Journal.undos, Journal.usage, Journal.lives, Journal.steps, Journal.is_careful, Journal.has_past = NONE, NONE, 0, 0, false, false
Journal.usage_by, Journal.refused = NONE, NONE
Journal.compares_kept, Journal.is_open, Journal.streams, Journal.unkept = false, false, NONE, false
Journal.parted, Journal.draft_from = NONE, NONE

local function add_usage(total, used)
  for name, amount in pairs(used) do total[name] = (total[name] or 0) + amount end
end

local function note_usage(self, key, used)
  if type(used) ~= "table" then return end
  add_usage(self.usage, used)
  self.usage_by[key] = self.usage_by[key] or {}
  add_usage(self.usage_by[key], used)
end

local function is_kept(entry)
  return type(entry[9]) == "table" and entry[9].kept ~= nil
end

-- A call of a model whose outcome is there has used what that says; what it was asked in vain before stays counted.
local function settle(self, key)
  local asking = self.asking[key]
  if not asking then return end
  self.asking[key] = nil
  asking.tokens, asking.usd = asking.tokens - asking.latest.tokens, asking.usd - asking.latest.usd
  add_usage(self.usage, { tokens_estimated = asking.tokens, usd_estimated = asking.usd })
end

local function note_outcome(self, entry)
  local extra = entry[9]
  if type(extra) ~= "table" then return end
  if extra.undo and entry[4] == "finished" then self.undos[#self.undos + 1] = { key = entry[2], undo = extra.undo } end
  note_usage(self, entry[2], extra.usage)
end

-- What a failed attempt of a step with steps of its own recorded belongs to that attempt.
local function forget_inner(self, key)
  local body, items, size = key .. "/", key .. "[", #key + 1
  for inner in pairs(self.recorded) do
    local start = inner:sub(1, size)
    if start == body or start == items then self.recorded[inner] = nil end
  end
end

local function progress(self)
  self.lives, self.is_open = 0, false
end

-- Something came of what is still under way: what ends the process next is held against the run as for the first time.
local function partial_progress(self)
  self.lives, self.is_open = 0, true
end

-- What is under way at a switch to other versions goes on with those that it began with.
local function note_upgrade(self, pins)
  self.versions_of = self.versions_of or {}
  for key in pairs(self.began) do
    if self.versions_of[key] == nil then self.versions_of[key] = self.versions or false end
  end
  self.versions = pins
end

-- From here on another definition asks: what was recorded before has to answer it.
local function note_migration(self, entry)
  self.migrated_n, self.head_pins, self.versions, self.versions_of = entry.n, entry[3].pins, nil, nil
end

-- What was given out from an item on was taken back: what readers did with it before this entry holds no more.
local function note_parting(self, entry)
  local parts = self.parted[entry[2]] or {}
  for index in pairs(parts) do
    if index > entry[3] then parts[index] = nil end
  end
  parts[entry[3]], self.parted[entry[2]] = entry.n, parts
end

local READ = {
  run = function(self, entry)
    self.is_open = true
    local of = entry[2].of
    self.compares_kept = type(of) == "table" and of.is_latest == true
    self.head_pins = entry[2].pins
  end,
  turn = function(self, entry)
    local asking = self.asking[entry[2]] or { tokens = 0, usd = 0 }
    asking.tokens, asking.usd, asking.latest = asking.tokens + entry[5].tokens, asking.usd + entry[5].usd, entry[5]
    self.asking[entry[2]] = asking
  end,
  step = function(self, entry)
    settle(self, entry[2])
    if not self.recorded[entry[2]] and entry[4] ~= "skipped" and not is_kept(entry) then self.steps = self.steps + 1 end
    self.recorded[entry[2]], self.began[entry[2]] = entry, nil
    progress(self)
    note_outcome(self, entry)
  end,
  choice = function(self, entry)
    self.choices[entry[2]] = entry
    if entry[2] == "upgrade" then note_upgrade(self, entry[3]) end
    if entry[2] == "migrate" then note_migration(self, entry) end
    progress(self)
  end,
  start = function(self, entry)
    local key = entry[2]
    self.began[key], self.begun[key] = self.began[key] or entry[5], (self.begun[key] or 0) + 1
    if entry[6] ~= true then self.is_open = true end
  end,
  attempt = function(self, entry)
    local attempts = self.attempts[entry[2]] or {}
    attempts[#attempts + 1] = entry
    self.attempts[entry[2]], self.memories[entry[2]] = attempts, entry[8]
    progress(self)
    note_usage(self, entry[2], entry[6].usage)
    forget_inner(self, entry[2])
  end,
  draft = function(self, entry)
    local said = self.streams[entry[2]]
    if said then self.draft_from[entry[2]] = #said + 1 end
    local drafts = self.drafts[entry[2]] or {}
    drafts[#drafts + 1] = entry[3]
    note_usage(self, entry[2], entry[3].usage)
    self.refused[entry[2]] = (self.refused[entry[2]] or 0) + 1
    self.drafts[entry[2]], self.memories[entry[2]], self.attempts[entry[2]] = drafts, entry[4], nil
    progress(self)
    forget_inner(self, entry[2])
  end,
  life = function(self)
    if self.is_open then self.lives, self.is_open = self.lives + 1, false end
  end,
  items = function(self, entry)
    local items = self.streams[entry[2]] or {}
    if entry[3] <= #items then note_parting(self, entry) end
    for index = #items, entry[3], -1 do items[index] = nil end
    self.streams[entry[2]] = table.move(entry, 4, #entry, #items + 1, items)
    if #items > (self.furthest[entry[2]] or 0) then -- no more of what was said before, nor something else in its place
      self.furthest[entry[2]] = #items
      partial_progress(self)
    end
  end,
  kept = partial_progress,
  stop = progress,
  ending = function(self, entry) self.ending = entry end,
}

--- A journal over the handle that the store gave for the run.
---@param handle userdata|nil `store:run(id, epoch)`; nil: nothing is kept
---@param entries table[]|nil what is there already
---@param store userdata|nil that of the handle
---@return weir.Journal
function M.new(handle, entries, store)
  local self = setmetatable({ handle = handle, store = store, choices = {} }, Journal)
  if not entries then return self end
  self.has_past, self.recorded, self.attempts, self.drafts, self.memories = true, {}, {}, {}, {}
  self.began, self.begun, self.undos, self.usage, self.asking, self.streams = {}, {}, {}, {}, {}, {}
  self.usage_by, self.refused, self.parted, self.draft_from, self.furthest = {}, {}, {}, {}, {}
  for number, entry in ipairs(entries) do
    entry.n = number
    local read = READ[entry[1]]
    if read then read(self, entry) end
  end
  for _, asking in pairs(self.asking) do -- the process ended while it was asked
    add_usage(self.usage, { tokens_estimated = asking.tokens, usd_estimated = asking.usd })
  end
  return self
end

--- What a run is of: the head of its journal, with the definition and pins that it was migrated to last.
---@param entries table[]
---@return table head {format, pipeline, version, input, pins, at, ...}
function M.head_of(entries)
  local head = entries[1][2]
  for _, entry in ipairs(entries) do
    if entry[1] == "choice" and entry[2] == "migrate" then
      head = setmetatable({ version = entry[3].version, pins = entry[3].pins }, { __index = entries[1][2] })
    end
  end
  return head
end

local function must(result, message, code)
  if result == nil then failure.raise(code or "failed", "the journal could not be written: " .. tostring(message)) end
  return result
end

--- How often the process has ended, one time after the other, while the run had begun something and nothing came of
--- it: the process may have ended over that. A run that only waited for others is not counted.
---@return integer
function Journal:crashes()
  return self.lives + (self.is_open and 1 or 0)
end

--- What identifies a question: the same question has the same text, whenever it is asked.
---@param kind string
---@param module string|nil
---@param input any plain data
---@return integer
function Journal:ask(kind, module, input)
  return store_port.fingerprint(kind, module or "", input)
end

--- The recorded outcome under a key, or nil. Raises `conflict` when something else was asked then: the
--- error carries `mismatch`, and the run may not go on. What an earlier run of the same definition made answers
--- whatever is asked under its key: values may have been changed since.
---@param key string
---@param asked integer
---@param has_steps boolean|nil what is asked has steps of its own: under another definition they are asked instead
---@return table|nil entry
---@return boolean|nil is_again there was one, of another definition, and its steps are asked instead
function Journal:recall(key, asked, has_steps)
  if self.mismatch then error(self.mismatch, 0) end -- whoever has caught it does not go on
  local entry = self.recorded[key]
  if not entry then return nil end
  local is_foreign = entry.n < (self.migrated_n or 0)
  if entry[3] ~= asked and (self.compares_kept or is_foreign or not is_kept(entry)) then
    local err = failure.new("conflict", "step '%s': record %d was made by another question than the definition asks now; "
      .. "the run stops, nothing was executed", key, entry.n or 0)
    err.mismatch, err.key, self.mismatch = true, key, err
    error(err, 0)
  end
  if is_foreign and has_steps then return nil, true end
  return entry
end

--- The outcome under a key that stands without asking what was asked, or nil: not that of a cancelled step, nor of
--- an earlier run under another definition, nor one that was made before the run was migrated to another.
---@param key string
---@return table|nil entry
function Journal:standing(key)
  local entry = self.recorded[key]
  if not entry or entry[4] == "cancelled" or self.compares_kept and is_kept(entry) then return nil end
  if entry.n < (self.migrated_n or 0) then return nil end
  return entry
end

--- Says that an attempt begins; waits only while the journal is careful. The token lets its outcome
--- overtake it. Of a step that only waits (for a person, a signal, a moment) no process dies.
---@param key string
---@param asked integer
---@param attempt integer
---@param at_ms integer
---@param waits true|nil the step only waits
function Journal:begin(key, asked, attempt, at_ms, waits)
  if self.is_careful then return self:append { "start", key, asked, attempt, at_ms, waits } end
  if waits then return self.handle:note_of("start", key, asked, attempt, at_ms, waits) end
  return self.handle:note_of("start", key, asked, attempt, at_ms)
end

local function refusal(n, message, code)
  if n == nil and (code == "invalid" or code == "limit") then
    return failure.new(code, "its output cannot be kept: %s", message)
  end
  must(n, message, code)
end

--- A stream has items to be written before anything else is.
---@param stream weir.Stream
function Journal:note_stream(stream)
  self.unkept = self.unkept or {}
  self.unkept[#self.unkept + 1] = stream
end

-- What an outcome could rest on stands before it.
local function keep_streams(self)
  local streams = self.unkept
  self.unkept = false
  for _, stream in ipairs(streams) do stream:flush() end
end

--- Keeps the outcome of a step: key, asked, status, from_ms, to_ms, attempt, value, extra. Waits until it is
--- on disk.
---@return table|nil refusal why the value cannot be kept (`invalid`, `limit`); nothing was written then
function Journal:finish(token, ...)
  if self.unkept then keep_streams(self) end
  self.is_careful = false
  return refusal(self.handle:append_of(token, "step", ...))
end

--- The same in one transaction with other operations of the store.
---@param operations table[] gets the entry appended
---@param ... any as `finish`, after the token
---@return table|nil refusal code `conflict`: an operation was refused, nothing was written
function Journal:finish_with(operations, ...)
  if self.unkept then keep_streams(self) end
  self.is_careful = false
  operations[#operations + 1] = { op = "entry", journal = self.handle, entry = { "step", ... } }
  local results, message, code = self.store:batch(operations)
  if results == nil and code == "conflict" then return failure.new(code, "%s", message) end
  return refusal(results, message, code)
end

--- Keeps an entry. Waits until it is on disk.
---@param entry table
---@param row table|nil the run's row, when its status changes
---@param ended boolean|nil the run has ended
function Journal:append(entry, row, ended)
  if self.unkept then keep_streams(self) end
  must(self.handle:append(entry, row, ended))
end

--- Keeps that something has come of a step that is under way, where processes have ended over it. Waits until it is on disk.
---@param key string
function Journal:kept(key)
  if self.lives == 0 then return end
  self.lives = 0
  self:append { "kept", key }
end

--- Keeps an entry in one transaction with other operations of the store. Waits until it is on disk.
---@param operations table[] gets the entry appended
---@param entry table
---@param is_last boolean whether a conflict with another writer is raised
---@return boolean done false: another writer was faster; ask for the operations again
function Journal:append_with(operations, entry, is_last)
  if #operations == 0 then
    self:append(entry)
    return true
  end
  if self.unkept then keep_streams(self) end
  operations[#operations + 1] = { op = "entry", journal = self.handle, entry = entry }
  local results, message, code = self.store:batch(operations)
  if results == nil and code == "conflict" and not is_last then return false end
  must(results, message, code)
  return true
end

--- Keeps an entry without waiting.
function Journal:note(entry)
  if self.unkept then keep_streams(self) end
  self.handle:note(entry)
end

--- The memory that a step had after its latest recorded attempt or draft, or nil.
function Journal:memory(key)
  local memory = self.memories[key]
  return type(memory) == "table" and value_of.copy(memory) or nil
end

--- What an attempt or a draft recorded below its step does not hold for the next one.
---@param key string of the step
function Journal:forget_inner(key)
  if self.has_past then forget_inner(self, key) end
end

-- Whether what a key stands for below a reader came after what its counters say, or of a map after so many items.
local function is_behind(inner, counters, count)
  local index = inner:match "^%[(%d+)%]"
  if index then return math.tointeger(index) >= count end
  local name = inner:match "^/([^/#]*)"
  if not name then return false end
  return (math.tointeger(inner:match "^/[^/#]*#(%d+)") or 1) > (counters[name] or 0)
end

local BY_KEY = { "recorded", "choices", "attempts", "drafts", "memories", "began" }

--- What was recorded below a step that reads a stream, behind a place and before an entry, holds no more.
---@param key string of the step
---@param counters table<string, integer> how often it has used each name
---@param count integer items that it has read
---@param before number n of an entry
function Journal:forget_behind(key, counters, count, before)
  local size = #key
  for _, what in ipairs(BY_KEY) do
    for inner, entry in pairs(self[what] or {}) do
      local is_below = #inner > size and inner:sub(1, size) == key
      local is_fresh = type(entry) == "table" and entry.n and entry.n > before
      if is_below and not is_fresh and is_behind(inner:sub(size + 1), counters, count) then self[what][inner] = nil end
    end
  end
end

--- The failed attempts of earlier lives: how many, when the next one may begin, ms since 1970, the latest error, and the remedy
--- that a supervisor chose for it. They are given once.
---@param key string
---@return { attempt: integer, again_ms: integer, err: table, remedy: table|nil }|nil
function Journal:take_attempts(key)
  local attempts = self.attempts[key]
  if not attempts then return nil end
  self.attempts[key] = nil
  local latest = attempts[#attempts]
  return { attempt = #attempts, again_ms = latest[5] + math.ceil((latest[7] or 0) * 1000), err = latest[6],
    remedy = type(latest[6].remedy) == "table" and latest[6].remedy or nil }
end

--- The drafts that were refused in earlier lives: {draft, verdict, score, advice, critic}.
---@param key string
---@return table[]|nil
function Journal:take_drafts(key)
  local drafts = self.drafts[key]
  self.drafts[key] = nil
  return drafts
end

--- A choice that was made before, or the one that `choose` makes now.
---@param key string
---@param choose fun(): any plain data
function Journal:choice(key, choose)
  local entry = self.choices[key]
  if entry then return value_of.copy(entry[3]) end
  local value = choose()
  self:append { "choice", key, value }
  return value
end

return M
