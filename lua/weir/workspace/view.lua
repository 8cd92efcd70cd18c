--- A view: the workspace as one writer sees it. It reads one moment of the store and, over that, what its
--- branch and it itself wrote. Writes stay in the view until they are committed, all in one batch.

local changes = require "weir.workspace.changes"
local clock = require "weir.port.clock"
local edits = require "weir.workspace.edits"
local failure = require "weir.failure"
local names = require "weir.workspace.names"
local pages = require "weir.pages"
local plan = require "weir.workspace.plan"
local record = require "weir.workspace.record"
local sight = require "weir.workspace.sight"
local values = require "weir.value"

local M = {}

local spaces = names.spaces
local LIST_DEFAULT, LIST_MAX = 100, 1000
local TTL_MAX = 100 * 366 * 86400 -- seconds

---@class weir.Document
---@field name string
---@field scope string          `run:ID`, `pipeline:NAME` or `project`
---@field value any             plain data; absent in lists
---@field version integer       of this document, from 1; of what is not committed yet the version it was made from, 0 for none
---@field pending boolean|nil   written by this view or its branch, not committed yet
---@field type string|nil
---@field tags string[]         each once, in order
---@field author string|nil
---@field run string|nil        the run that wrote it
---@field step string|nil       the step that wrote it
---@field at_ms integer         when it was written, since 1970
---@field expires_ms integer|nil from then on it is not there

---@class weir.WorkspaceView
---@field snapshot integer|nil the LSN that is read; nil: the latest
local View = {}
View.__index = View

-- A new view; see `workspace.view`.
function M.new(store, options)
  local self = setmetatable({ store = store, run = options.run, pipeline = options.pipeline, step = options.step,
    author = options.author, snapshot = options.snapshot, overlay = options.overlay, default_scope = options.scope or "run",
    buffer = {}, own = {}, open_transactions = 0, planned = nil }, View)
  names.check_word(options.author, "workspace: the author")
  names.check_word(options.step, "workspace: the step")
  return self
end

local function scope_of(self, options)
  return names.scope(options and options.scope or self.default_scope, self)
end

--- The full name of a scope of this view: `run:ID`, `pipeline:NAME` or `project`. Does not wait. Raises
--- `invalid`, `limit`.
---@param options { scope: "run"|"pipeline"|"project"|nil }|nil
---@return string
function View:full_scope(options)
  return scope_of(self, options)
end

-- Reading --------------------------------------------------------------------------------------------

--- Gets a document as this view sees it. Does not wait. Raises `invalid`, `limit` for a name, `corrupt`.
---@param name string
---@param options { scope: "run"|"pipeline"|"project"|nil, version: integer|nil }|nil version: that one, no later than the snapshot
---@return weir.Document|nil
function View:get(name, options)
  names.check_name(name)
  local scope = scope_of(self, options)
  if options and options.version then
    local n = options.version
    if math.type(n) ~= "integer" or n < 1 then error("version: an integer from 1 expected", 2) end
    return sight.version(self, scope, name, n)
  end
  local found, n, is_pending = sight.look_up(self, scope, name, true)
  if not found then return nil end
  local document = sight.present(scope, name, found, n, is_pending)
  document.value = is_pending and values.copy(found.value) or found.value
  return document
end

local function check_limit(limit)
  if limit == nil then return LIST_DEFAULT end
  if math.type(limit) ~= "integer" or limit < 1 or limit > LIST_MAX then
    error(("limit: an integer from 1 to %d expected"):format(LIST_MAX), 3)
  end
  return limit
end

--- The versions of a document, the newest first, without their values; tombstones have the kind `delete`.
--- Does not wait. What the view has not committed yet is not among them.
---@param name string
---@param options { scope: string|nil, limit: integer|nil, before: integer|nil }|nil limit: 1..1000, default 100; before: only
---  older versions
---@return { version: integer, lsn: integer, kind: "post"|"delete", meta: table }[]
function View:history(name, options)
  options = options or {}
  names.check_name(name)
  local key, list = names.key(scope_of(self, options), name), {}
  local last = sight.last_number(self, key)
  local limit = check_limit(options.limit)
  local before = math.min(options.before or math.maxinteger, (last or 0) + 1)
  local rows = pages.rows(self.store, spaces.versions, { prefix = key .. "\0", before = names.version_key(key, before), reverse = true,
    limit = math.min(limit, 100) })
  for row in rows do
    local _, n = names.parse_version_key(row.key)
    list[#list + 1] = { version = n, lsn = row.version, kind = row.value.dead and "delete" or "post", meta = record.meta(row.value) }
    if #list >= limit then break end
  end
  return list
end

--- Lists documents in the order of their names (of their bytes), without their values. Does not wait.
---@param options { scope: string|nil, prefix: string|nil, type: string|nil, tag: string|nil, author: string|nil,
---  limit: integer|nil, after: string|nil }|nil limit: 1..1000, default 100; after: a name, to go on from there
---@return weir.Document[]
function View:list(options)
  options = options or {}
  return sight.list(self, scope_of(self, options), options, check_limit(options.limit))
end

--- Finds documents by the words of a query, in their names, types, tags and texts (of each the first 128
--- KiB, the 500 most frequent words). The best first; a document needs one of the words. Does not
--- wait.
---@param text string
---@param options { scope: string|nil, limit: integer|nil }|nil limit: 1..1000, default 10
---@return weir.Document[] documents without their values, each with its `score`
function View:search(text, options)
  if type(text) ~= "string" then error("text: a string expected", 2) end
  local scope, limit = scope_of(self, options), check_limit(options and options.limit or 10)
  local pinned = { snapshot = self.snapshot or record.lsn(self.store), now_ms = clock.wall_ms() } -- the same view, held at one moment
  return sight.search(setmetatable(pinned, { __index = self }), scope, text, limit)
end

-- Writing --------------------------------------------------------------------------------------------

local function expires(now_ms, ttl, where)
  if ttl == nil then return nil end
  local seconds, message = require("weir.duration").parse(ttl)
  if not seconds then failure.raise("invalid", "%s: ttl: %s", where, message) end
  if seconds > TTL_MAX then failure.raise("limit", "%s: ttl: at most %d s are allowed, leave it out for no end", where, TTL_MAX) end
  return now_ms + math.ceil(seconds * 1000)
end

local function check_version(options, where)
  local n = options.version
  if n ~= nil and (math.type(n) ~= "integer" or n < 0) then
    failure.raise("invalid", "%s: version must be an integer from 0 (there is none)", where)
  end
  return n
end

-- Takes an edit into the buffer. Entries of the buffer are never changed, so a transaction can go back.
local function buffer(self, scope, name, edit, expected)
  local key = names.key(scope, name)
  local before = self.buffer[key]
  local held = before and before.expected
  if held and expected and held ~= expected then error(plan.conflict(scope, name, expected, held), 0) end
  self.buffer[key] = { scope = scope, name = name, edits = edits.add(scope, name, before and before.edits or {}, edit),
    expected = held or expected, arbiter = edit.arbiter or before and before.arbiter }
  edit.arbiter = nil
end

-- The text that a change was made from, as the view sees it.
local function base_of(self, scope, name, where, version)
  local found
  if version then
    found = sight.version(self, scope, name, version)
    if not found then failure.raise("not_found", "%s: there is no version %d to change", where, version) end
  else
    found = sight.look_up(self, scope, name, true)
  end
  if not found then return "" end
  if type(found.value) ~= "string" then
    failure.raise("invalid", "%s: 'text' merges texts, got %s", where, values.show(found.value))
  end
  return found.value
end

--- Posts a document: puts a new version in the place of what there is or, with `merge`, merges a value into
--- it: `append` a list to a list, `counter` a number to a number, `set` a list to a list without what is
--- there already (by JSON's equality), `text` what was changed of a text, by lines, against the text that this
--- view sees. Merges are applied to the latest version when the view is committed,
--- so that writers side by side lose nothing, and keep type and tags where none are given. Nothing reaches
--- the store before the commit. Does not wait. Raises `invalid` for what is no plain data or does not fit
--- the merge, `limit` for a name above 200 bytes, a value above 16 MiB, more than 32 tags, a century, and `conflict`
--- when two versions are expected of one document. The commit raises `conflict` where two changed the same lines
--- of a text; in a step, `arbiter` names the agent that is asked instead.
---@param name string 1 to 200 bytes without control characters
---@param value any plain data
---@param options { type: string|nil, tags: string[]|nil, scope: "run"|"pipeline"|"project"|nil, ttl: number|string|nil,
---  version: integer|nil, merge: "append"|"counter"|"set"|"text"|nil, base: integer|nil, arbiter: string|nil }|nil
---  ttl: seconds, or a duration such as "7d"; version: what has to be the latest version at the commit, 0 for none; base: of a
---  text, the version it was made from, instead of what this view sees; arbiter: of a text, who settles a conflict
function View:post(name, value, options)
  options = options or {}
  names.check_name(name)
  local scope = scope_of(self, options)
  local where, now_ms = names.document(scope, name), clock.wall_ms()
  local kind = options.merge or "put"
  if kind ~= "put" and not edits.is_merge(kind) then
    failure.raise("invalid", "%s: merge must be %s, got '%s'", where, edits.merges, tostring(kind))
  end
  if options.arbiter ~= nil and kind ~= "text" then
    failure.raise("invalid", "%s: an arbiter settles conflicts of texts: it needs merge = 'text'", where)
  end
  if options.base ~= nil and (kind ~= "text" or math.type(options.base) ~= "integer" or options.base < 1) then
    failure.raise("invalid", "%s: base is the version that a text was made from, an integer from 1: it needs merge = 'text'", where)
  end
  local edit = { kind = kind, value = (record.copy(where, value)), type = names.check_word(options.type, where .. ": its type"),
    tags = names.check_tags(options.tags, name), author = self.author, run = self.run, step = self.step, at_ms = now_ms,
    expires_ms = expires(now_ms, options.ttl, where), arbiter = names.check_word(options.arbiter, where .. ": its arbiter"),
    base = kind == "text" and base_of(self, scope, name, where, options.base) or nil }
  buffer(self, scope, name, edit, check_version(options, where))
end

--- Deletes a document: its versions stay, for readers of older snapshots, under a tombstone. Nothing
--- reaches the store before the commit. Does not wait. Raises as `post`.
---@param name string
---@param options { scope: string|nil, version: integer|nil }|nil version: what has to be the latest version at the commit
---@return boolean was_there as this view sees it
function View:delete(name, options)
  options = options or {}
  names.check_name(name)
  local scope = scope_of(self, options)
  local was_there = sight.look_up(self, scope, name, false) ~= nil
  local edit = { kind = "delete", author = self.author, run = self.run, step = self.step, at_ms = clock.wall_ms() }
  buffer(self, scope, name, edit, check_version(options, names.document(scope, name)))
  return was_there
end

--- Runs a function that writes all or nothing: when it raises, the view is as it was before, and the error
--- goes on. Waits as long as the function does; nobody else may write through the view meanwhile.
---@param body fun(tx: weir.WorkspaceView): ... gets the view
---@return any ... what the function returns
function View:transaction(body)
  local before = {}
  for key, entry in pairs(self.buffer) do before[key] = entry end
  self.open_transactions = self.open_transactions + 1
  local results = table.pack(pcall(body, self))
  self.open_transactions = self.open_transactions - 1
  if results[1] then return table.unpack(results, 2, results.n) end
  self.buffer = before
  error(results[2], 0)
end

-- Committing -----------------------------------------------------------------------------------------

--- Whether something was written that is not committed. Does not wait.
---@return boolean
function View:is_dirty()
  return next(self.buffer) ~= nil
end

local function sorted_items(self)
  local keys, items = {}, {}
  for key in pairs(self.buffer) do keys[#keys + 1] = key end
  table.sort(keys)
  for place, key in ipairs(keys) do items[place] = self.buffer[key] end
  return items
end

--- The operations that commit what was written, for one `store:batch`, computed against what is committed
--- now. If the batch is refused with `conflict` another writer was faster: ask again and retry. Once it has
--- been accepted, `committed` has to be called. Two views that wrote one document do not fit into one batch.
--- Does not wait. Raises `conflict` (details: scope, name,
--- expected, found) where an expected version is not the latest any more, `invalid` where a merge does not
--- fit what is there, `limit`.
---@return table[] operations of `store:batch`; none when nothing was written
function View:operations()
  if self.open_transactions > 0 then error("a transaction is open; its writes are not complete", 2) end
  local operations, items = {}, sorted_items(self)
  if self.overlay then
    self.overlay:add(operations, items, function(item)
      return sight.committed_number(self, names.key(item.scope, item.name))
    end)
    self.planned = {}
  else
    self.planned = plan.add(self.store, items, operations)
  end
  return operations
end

--- Who settles a conflict that a commit of this view met. Does not wait.
---@param err any what was raised
---@return string|nil arbiter the agent's name; nil: nobody, or the conflict is another one
---@return string|nil key of what is disputed, for `settle`
function View:arbiter_of(err)
  local details = type(err) == "table" and err.code == "conflict" and err.details
  if not details or not details.conflicts then return nil end
  for key, item in pairs(self.buffer) do
    if item.arbiter and names.document(item.scope, item.name) == details.document then return item.arbiter, key end
  end
end

--- Takes the text that an arbiter gave in the place of what was disputed. Another writer may be faster again. Does
--- not wait.
---@param key string
---@param err table
---@param text string
---@return boolean is_settled
function View:settle(key, err, text)
  local item = self.buffer[key]
  local list = edits.settle(item.edits, err.details, text)
  if not list then return false end
  self.buffer[key] = { scope = item.scope, name = item.name, edits = list, expected = item.expected, arbiter = item.arbiter }
  return true
end

--- Says that the operations are in the store: the view is clean, goes on to see what it wrote, and those
--- who watch are woken. Does not wait.
function View:committed()
  local scopes = {}
  for _, entry in pairs(self.buffer) do scopes[entry.scope] = true end
  if self.snapshot then -- whoever reads the latest finds it there
    for key, n in pairs(self.planned or {}) do self.own[key] = n end
  end
  self.buffer, self.planned = {}, nil
  if not self.overlay then changes.wake(self.store, scopes) end
end

-- Watching and comparing -----------------------------------------------------------------------------

--- The offset of the latest change of a scope, 0 when there is none: where `watch` goes on from now. Waits
--- for the disk.
---@param options { scope: string|nil }|nil
---@return integer offset
function View:offset(options)
  return changes.latest(self.store, scope_of(self, options))
end

--- Iterates over the committed changes of a scope, in the order of the commits, whatever the snapshot of
--- the view. Waits for the next one, and never ends by itself. A change keeps its offset, so whoever
--- remembers the last one and watches from there, also in another process, misses nothing and gets nothing twice.
---@param filter { scope: string|nil, prefix: string|nil, type: string|nil, tag: string|nil, author: string|nil }|nil type, tag: those
---  of the version or, for a deletion, of the document that has gone; author: who wrote or deleted
---@param after_offset integer|nil nil: only what comes from now on
---@return fun(): { offset: integer, name: string, version: integer, kind: "post"|"delete", meta: table } meta: type, tags, author,
---  run, step, at_ms, expires_ms, as far as given
function View:watch(filter, after_offset)
  filter = filter or {}
  local scope = scope_of(self, filter)
  if after_offset ~= nil and (math.type(after_offset) ~= "integer" or after_offset < 0) then
    error("after_offset: an integer from 0 expected", 2)
  end
  return changes.watch(self.store, scope, filter, after_offset or changes.latest(self.store, scope))
end

--- What differs between two moments, in every scope of the view. Does not wait. A document whose time has
--- run out counts as there until it is deleted. Versions that were trimmed count as not there.
---@param lsn_a integer as `workspace.snapshot` gives it
---@param lsn_b integer
---@return { name: string, scope: string, before: integer|nil, after: integer|nil }[] versions, nil where there is no document
function View:diff(lsn_a, lsn_b)
  for place, lsn in ipairs { lsn_a, lsn_b } do
    if math.type(lsn) ~= "integer" then error(("argument %d: an LSN expected"):format(place), 2) end
  end
  local list = {}
  for _, kind in ipairs(names.kinds) do
    if kind == "project" or self[kind] then sight.add_differences(self, list, names.scope(kind, self), lsn_a, lsn_b) end
  end
  return list
end

return M
