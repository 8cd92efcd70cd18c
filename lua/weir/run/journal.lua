--- The journal of one run: what has happened, found again by key, and what happens, written before it
--- is used. Entries are lists whose first element says what they are:
---   {"run", head}                                     the run's definition, input and pins
---   {"start", key, asked, attempt, at_ms}             an attempt has begun
---   {"attempt", key, attempt, from_ms, to_ms, error, delay}  an attempt failed, another follows
---   {"step", key, asked, status, from_ms, to_ms, attempt, value, extra}  the outcome of a step
---   {"choice", key, value}                            a choice among what runs side by side
---   {"group", key, from_ms, to_ms}                    a group has joined
---   {"end", status, value, at_ms}                     the run has ended
--- Appending waits until the entry is on disk, unless said otherwise.

local failure = require "weir.failure"
local store = require "weir.port.store"
local value_of = require "weir.value"

local M = {}

---@class weir.Journal
---@field recorded table<string, table> outcomes of steps by key
---@field choices table<string, any>
---@field attempts table<string, table[]> failed attempts by key
---@field starts table<string, integer> how often a step was begun without an outcome
local Journal = {}
Journal.__index = Journal

local READ = {
  step = function(self, entry) self.recorded[entry[2]] = entry end,
  choice = function(self, entry) self.choices[entry[2]] = entry end,
  start = function(self, entry) self.starts[entry[2]] = (self.starts[entry[2]] or 0) + 1 end,
  attempt = function(self, entry)
    local attempts = self.attempts[entry[2]] or {}
    attempts[#attempts + 1] = entry
    self.attempts[entry[2]] = attempts
  end,
}

--- A journal over the handle that the store gave for the run.
---@param handle userdata|nil `store:run(id, epoch)`; nil: nothing is kept
---@param entries table[]|nil what is there already
---@return weir.Journal
function M.new(handle, entries)
  local self = setmetatable({ handle = handle, recorded = {}, choices = {}, attempts = {}, starts = {}, latest_ms = 0 }, Journal)
  for number, entry in ipairs(entries or {}) do
    entry.n = number
    local read = READ[entry[1]]
    if read then read(self, entry) end
  end
  return self
end

local function must(result, message, code)
  if result == nil then failure.raise(code or "failed", "the journal could not be written: " .. tostring(message)) end
  return result
end

--- What identifies a question: the same question has the same text, whenever it is asked.
---@param kind string
---@param module string|nil
---@param input any plain data
---@return integer
function Journal:ask(kind, module, input)
  return store.fingerprint(kind, module or "", input)
end

--- The recorded outcome under a key, or nil. Raises `conflict` when something else was asked then.
---@param key string
---@param asked integer
---@return table|nil entry
function Journal:recall(key, asked)
  local entry = self.recorded[key]
  if not entry then return nil end
  if entry[3] ~= asked then
    failure.raise("conflict", "step '%s': record %d was made by another question than the definition asks now; "
      .. "the run stops, nothing was executed", key, entry.n or 0)
  end
  return entry
end

--- Says that an attempt begins; does not wait. The token lets its outcome overtake it.
function Journal:begin(key, asked, attempt, at_ms)
  return self.handle:note_of("start", key, asked, attempt, at_ms)
end

--- Keeps the outcome of a step: key, asked, status, from_ms, to_ms, attempt, value, extra. Waits until it is
--- on disk.
---@return table|nil refusal why the value cannot be kept (`invalid`, `limit`); nothing was written then
function Journal:finish(token, ...)
  local n, message, code = self.handle:append_of(token, "step", ...)
  if n == nil and (code == "invalid" or code == "limit") then
    return failure.new(code, "its output cannot be kept: %s", message)
  end
  must(n, message, code)
end

--- Keeps an entry. Waits until it is on disk.
---@param entry table
---@param row table|nil the run's row, when its status changes
---@param ended boolean|nil the run has ended
function Journal:append(entry, row, ended)
  must(self.handle:append(entry, row, ended))
end

--- Keeps an entry without waiting.
function Journal:note(entry)
  self.handle:note(entry)
end

--- The memory that a step had after its latest recorded attempt, or nil.
function Journal:memory(key)
  local attempts = self.attempts[key]
  local latest = attempts and attempts[#attempts]
  return latest and latest[8] and value_of.copy(latest[8])
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
