--- Runs between stores: one is written into a file with all that it needs, and taken from it. Whoever takes one
--- gets the program of its modules with it.

local archive = require "weir.run.archive"
local batches = require "weir.run.batches"
local clock = require "weir.port.clock"
local failure = require "weir.failure"
local json = require "weir.native.json"
local keeping = require "weir.run.keeping"
local load_definition = require "weir.definition.load"
local pages = require "weir.pages"
local question = require "weir.approval.question"
local registry = require "weir.registry"
local value_of = require "weir.value"

local M = {}

local STATUSES = { running = true, waiting = true, in_doubt = true, finished = true, failed = true, cancelled = true, quarantined = true }
local HAS_ENDED = keeping.HAS_ENDED
local RUN_ID = "^r_[0-9a-z]+$"
local TOGETHER = 1000 -- keys that are taken away in one transaction

local function known(value)
  if value == json.null then return nil end
  return value
end

-- Out ------------------------------------------------------------------------------------------------

-- What a run is pinned to, or was: keys of `definitions` and `modules` as "SPACE KEY".
local function pins_of(head, entries)
  local pins = { ["definitions " .. head.version] = true }
  local function add(full, version)
    pins[full:find "^pipelines/" and "definitions " .. version or ("modules %s@%s"):format(full, version)] = true
  end
  for full, version in pairs(known(head.pins) or {}) do add(full, version) end
  for _, entry in ipairs(entries) do
    local key = entry[1] == "choice" and entry[2] or ""
    local full = key:match "^pin/(.+)$"
    if full then add(full, entry[3]) end
    local is_plan = entry[1] == "choice" and key:find "/%(plan%)[#~%d.]*$" ~= nil
    local is_planning = is_plan or entry[1] == "choice" and key:find "/%(known%)[~%d.]*$" ~= nil
    if is_plan then pins["definitions " .. entry[3].version] = true end
    local others = key == "upgrade" and entry[3] or (key == "migrate" or is_planning) and entry[3].pins or {}
    for name, version in pairs(others) do add(name, version) end
    if key == "migrate" then add("pipelines/" .. head.pipeline, entry[3].version) end
  end
  return pins
end

local function put_kept(out, store, space, key)
  local value, message, code = store:get(space, key)
  if value ~= nil then return out:put { "kv", space, key, value } end
  if code ~= "not_found" then failure.raise(code, "%s", message) end -- stand-ins have no source
end

local function put_pinned(out, store, head, entries)
  for _, pinned in ipairs(value_of.names(pins_of(head, entries))) do
    local space, key = pinned:match "^(%a+) (.+)$"
    put_kept(out, store, space, key)
  end
end

local function put_questions(out, store, run_id)
  for _, space in ipairs { question.pending, question.decided } do
    for found in pages.rows(store, space, {}) do
      local asked = question.read(found.value.action)
      if asked and asked.run == run_id then out:put { "kv", space, found.key, found.value } end
    end
  end
end

--- Writes a run: its row and journal, the definition and modules it is pinned to, what it asked people and what they
--- decided, signals that it has not received. Runs that it started are not part of it. Raises {code, message}:
--- `not_found`, `corrupt`, `limit`.
---@param store userdata
---@param run_id string
---@param write fun(bytes: string) gets the archive piece by piece
---@return { run: string, entries: integer, bytes: integer, hash: string } hash: of the whole, hexadecimal
function M.export(store, run_id, write)
  local entries, row, code = store:load(run_id)
  if not entries then failure.raise(code or "failed", "%s", row) end
  local head = entries[1] and entries[1][1] == "run" and entries[1][2]
  if not head then failure.raise("corrupt", "run %s: its journal does not begin with its start", run_id) end
  local out = archive.writer(write, run_id, clock.wall_ms())
  out:put { "row", row }
  put_pinned(out, store, head, entries)
  put_questions(out, store, run_id)
  for found in pages.rows(store, "signals", { prefix = run_id .. "/" }) do
    out:put { "kv", "signals", found.key, found.value }
  end
  for _, entry in ipairs(entries) do out:put { "entry", entry } end
  local whole = out:close()
  return { run = run_id, entries = #entries, bytes = out.bytes, hash = whole }
end

-- In: what may stand in a file ------------------------------------------------------------------------

local function wrong(message, ...)
  failure.raise("corrupt", "it cannot be the record of a run: " .. message, ...)
end

-- What is kept by its hash has to have it.
local CHECK = {}

function CHECK.definitions(value, key)
  if value.version ~= key then wrong("a definition stands under the version of another") end
  if value.kind == "flow" then return type(value.text) == "string" or known(value.text) == nil end
  return type(value.normal) == "table" and load_definition.version(value.normal) == key
end

function CHECK.modules(value, key)
  local full, version = key:match "^([%w_%-/.]+)@(%x+)$"
  return full ~= nil and type(value.text) == "string" and type(value.file) == "string"
    and registry.version_of(value.text, known(value.used) or {}) == version
end

local function check_question(value, key, run_id)
  local asked = question.read(value.action)
  return asked ~= nil and asked.run == run_id and #key == question.id_length and key:find(question.id_pattern) ~= nil
end

CHECK[question.pending], CHECK[question.decided] = check_question, check_question

function CHECK.signals(value, key, run_id)
  return key:sub(1, #run_id + 1) == run_id .. "/" and value.value ~= nil and math.type(value.at) == "integer"
end

local function check_kv(record, run_id)
  local space, key, value = record[2], record[3], record[4]
  local check = type(space) == "string" and CHECK[space]
  if not check or type(key) ~= "string" or type(value) ~= "table" then wrong("it has a key of a space that belongs to no run") end
  local ok, fits = pcall(check, value, key, run_id)
  if not ok or not fits then wrong("'%s' of space '%s' is not what its key says", key:sub(1, 80), space) end
end

local function check_head(entry)
  local head = entry[1] == "run" and entry[2]
  if type(head) ~= "table" or math.type(head.format) ~= "integer" or type(head.version) ~= "string" or type(head.pipeline) ~= "string"
    or math.type(head.at) ~= "integer" then
    wrong "its journal does not begin with its start"
  end
  if head.format > keeping.FORMAT then
    failure.raise("invalid", "it was written by a newer weir (journal format %d, this one reads %d)", head.format, keeping.FORMAT)
  end
end

local function check_row(row)
  if type(row) ~= "table" or not STATUSES[row.status] or math.type(row.started_ms) ~= "integer" or type(row.pipeline) ~= "string" then
    wrong "its row says nothing"
  end
end

-- Goes through a file without changing anything.
local function check(source)
  local found = { records = 0, entries = 0, bytes = 0 }
  archive.read(source, function(record, size)
    found.records, found.bytes = found.records + 1, found.bytes + size
    if record[1] == "archive" then
      found.id = record[3]
      if not found.id:find(RUN_ID) or #found.id > 64 then wrong "its id is none of a run" end
    elseif record[1] == "row" then
      check_row(record[2])
      found.row = record[2]
    elseif record[1] == "kv" then
      check_kv(record, found.id)
    elseif record[1] == "entry" and type(record[2]) == "table" and type(record[2][1]) == "string" then
      found.entries, found.last = found.entries + 1, record[2][1]
      if found.entries == 1 then check_head(record[2]) end
    else
      wrong "it has a record of no known kind"
    end
  end)
  if not found.row or found.entries == 0 then wrong "its row or its journal is missing" end
  if HAS_ENDED[found.row.status] ~= (found.last == "end" or nil) then wrong "its row says something else than its journal" end
  return found
end

-- In: what is written ----------------------------------------------------------------------------------

-- It must not go on by itself in two stores.
local function paused(row)
  local waiting = known(row.waiting) or {}
  waiting[#waiting + 1] = { step = "", kind = "pause", since_ms = clock.wall_ms() }
  row.waiting, row.is_paused = waiting, true
  if row.status == "running" then row.status = "waiting" end
  return row
end

local PINNED = { definitions = true, modules = true }

-- Kept by its hash: what is there is the same. What is just coming may not come to be there, what leaves is not there any more.
local function take_pinned(self, space, key, value, size)
  local kept, id, operation = keeping.kept_of(self.store), space .. "/" .. key, { op = "put", space = space, key = key, value = value }
  local is_there = self.store:get(space, key) ~= nil and not kept.is_leaving[id]
  self.pinned[#self.pinned + 1] = operation
  keeping.count_coming(self.store, { operation }, 1) -- nobody sweeps it away meanwhile
  if not is_there then self.batches:add(operation, size) end
end

local function take_kv(self, record, size)
  local space, key, value = record[2], record[3], record[4]
  if PINNED[space] then return take_pinned(self, space, key, value, size) end
  self.own[#self.own + 1] = { op = "delete", space = space, key = key }
  self.batches:add({ op = "cas", space = space, key = key, version = 0, value = value }, size)
end

local function take_entry(self, entry, size)
  self.entries = self.entries + 1
  local found, row = self.found, nil
  local is_last = self.entries == found.entries
  if self.entries == 1 then row = self.is_long and self.aside or found.row end
  if is_last then row = found.row end
  local ended = is_last and HAS_ENDED[found.row.status] or nil
  self.batches:add({ op = "entry", journal = self.journal, entry = entry, row = row, ended = ended,
    park = is_last and not ended or nil }, size)
end

-- What more than one transaction brought and was not finished is taken away again; the run last, for as long as it is there
-- what is left of it is known to be its own.
local function undo(self)
  if not self.batches.has_begun then return end
  local operations = self.own
  operations[#operations + 1] = { op = "forget", run = self.found.id, ended = { "quarantined" } }
  for first = 1, #operations, TOGETHER do
    if not self.store:batch { table.unpack(operations, first, math.min(first + TOGETHER - 1, #operations)) } then return end
  end
end

-- The run comes before what belongs to it: whatever is written when the process dies can be told to be of a run.
local function take_first(self, open)
  archive.read(open(), function(record, size)
    if record[1] == "entry" and self.entries == 0 then take_entry(self, record[2], size) end
  end)
  self.has_first = true
end

local function take_all(self, open)
  if self.is_long then take_first(self, open) end
  archive.read(open(), function(record, size)
    if record[1] == "kv" then take_kv(self, record, size) end
    if record[1] ~= "entry" then return end
    if self.has_first then
      self.has_first = nil -- it is there already
    else
      take_entry(self, record[2], size)
    end
  end)
  self.batches:commit()
end

local function aside_of(row)
  return { status = "quarantined", pipeline = row.pipeline, version = row.version, started_ms = row.started_ms,
    error = { code = "failed", message = "the process ended while the run was being imported; import it again into another store" } }
end

--- Takes a run from an archive into the store, under its own id. A run that has not ended is paused: it goes on only
--- when somebody resumes it. All of the archive is checked first; when anything is wrong nothing is changed. Waits. Raises
--- {code, message, run}: `corrupt` (damaged, or no record of a run), `conflict` (the store has the run, or a question of it),
--- `invalid` (a newer format), `full`, ...
---@param store userdata
---@param open fun(): { read: (fun(count: integer): string|nil), size: integer } opens the archive; called up to three times
---@return { run: string, row: table, entries: integer }
function M.import(store, open)
  local found = check(open())
  local row, message, code = store:row(found.id)
  if row then
    local err = failure.new("conflict", "the store has a run %s already; nothing was changed", found.id)
    err.run = found.id
    error(err, 0)
  elseif code ~= "not_found" then
    failure.raise(code, "%s", message)
  end
  if not HAS_ENDED[found.row.status] and found.row.status ~= "quarantined" then paused(found.row) end
  local self = { store = store, found = found, journal = store:new_run(found.id, 1), batches = batches.new(store), entries = 0, pinned = {},
    own = {}, is_long = batches.is_long(found.records, found.bytes), aside = aside_of(found.row) }
  local ok, err = pcall(take_all, self, open)
  keeping.count_coming(store, self.pinned, -1)
  if not ok then
    keeping.not_there(store, self.pinned)
    undo(self)
    error(err, 0)
  end
  return { run = found.id, row = found.row, entries = found.entries }
end

return M
