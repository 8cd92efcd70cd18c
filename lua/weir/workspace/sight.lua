--- What a view sees: the committed versions of its moment, over them what its branch wrote, over that what it
--- has not committed itself. No reader of the store stays open: a version never changes, so it does not
--- matter what is committed while these functions read. A view is here any table with `store`, `snapshot`,
--- `own` (numbers of the versions it committed), `buffer` and perhaps `overlay`. Nothing here waits.

local changes = require "weir.workspace.changes"
local clock = require "weir.port.clock"
local edits = require "weir.workspace.edits"
local index = require "weir.workspace.index"
local names = require "weir.workspace.names"
local pages = require "weir.pages"
local record = require "weir.workspace.record"

local M = {}

local spaces = names.spaces

-- What is committed, as the view sees it: the record and its number, or nothing.
local function committed(self, key)
  local n, head = self.own[key], nil
  if not n then n, head = record.number_at(self.store, key, self.snapshot) end
  if not n then return nil end
  return head or record.version(self.store, key, n), n
end

local function live(self, found, n)
  if found and record.is_live(found, self.now_ms or clock.wall_ms()) then return found, n end
end

-- The record with its value.
local function with_value(self, key, found, n)
  if not found then return nil end
  if found.value == nil and not found.blob then found = record.version(self.store, key, n) end
  local document = record.meta(found)
  document.value = record.value(self.store, found)
  return document
end

--- A document as the view sees it.
---@param self table a view
---@param scope string
---@param name string
---@param wants_value boolean
---@return table|nil found its record
---@return integer|nil n the version that it comes from, 0 for none
---@return boolean|nil is_pending it is not committed yet
function M.look_up(self, scope, name, wants_value)
  local key = names.key(scope, name)
  local branch, buffered = self.overlay and self.overlay:read(key), self.buffer[key]
  local found, n = live(self, committed(self, key))
  if branch then
    n = branch.base
    found = n > 0 and live(self, (record.version(self.store, key, n))) or nil
  end
  n = n or 0
  if not branch and not buffered then return wants_value and with_value(self, key, found, n) or found, n, nil end
  local document = with_value(self, key, found, n)
  if branch then document = edits.fold(scope, name, document, branch.edits) end
  if buffered then document = edits.fold(scope, name, document, buffered.edits) end
  return live(self, document), n, true
end

--- A record as readers get it, without its value.
---@return weir.Document
function M.present(scope, name, found, n, is_pending)
  local document = record.document(scope, name, found, n)
  document.pending = is_pending
  return document
end

--- The committed version that the view sees, if it is there.
---@return integer n 0 for none
function M.committed_number(self, key)
  local found, n = live(self, committed(self, key))
  return found and n or 0
end

--- The number of the latest version that the view sees, tombstones among them.
---@return integer|nil
function M.last_number(self, key)
  return self.own[key] or record.number_at(self.store, key, self.snapshot)
end

--- One version of a document, no later than what the view sees.
---@return weir.Document|nil
function M.version(self, scope, name, n)
  local key = names.key(scope, name)
  local last = M.last_number(self, key)
  if not last or n > last then return nil end
  local found = live(self, (record.version(self.store, key, n)))
  local document = found and M.present(scope, name, found, n)
  if document then document.value = record.value(self.store, found) end
  return document
end

-- Names that only this view or its branch knows how to read, in order.
local function local_names(self, scope, prefix, after)
  local list, is_local = {}, {}
  local function add(key)
    local of_scope, name = names.parse_key(key)
    if of_scope ~= scope or is_local[name] then return end
    is_local[name] = true
    if name:sub(1, #prefix) == prefix and name > after then list[#list + 1] = name end
  end
  for key in pairs(self.buffer) do add(key) end
  for key in pairs(self.own) do add(key) end
  if self.overlay then
    for key in self.overlay:keys(scope) do add(key) end
  end
  table.sort(list)
  return list, is_local
end

-- Every document of a scope that may be there, in the order of the names: name, head and its LSN.
local function each_name(self, scope, prefix, after)
  local own, is_local = local_names(self, scope, prefix, after)
  local heads = pages.rows(self.store, spaces.heads, { prefix = names.key(scope, prefix),
    after = after ~= "" and names.key(scope, after) or nil, limit = 200 })
  local function next_head()
    for row in heads do
      local _, name = names.parse_key(row.key)
      if not is_local[name] then return name, row end
    end
  end
  local at, name, row = 1, next_head()
  return function()
    local mine = own[at]
    if mine and (not name or mine < name) then
      at = at + 1
      return mine
    end
    if not name then return nil end
    local this, head = name, row
    name, row = next_head()
    return this, head
  end
end

-- A document of `each_name`, without its value.
local function look_at(self, scope, name, head)
  if not head then return M.look_up(self, scope, name, false) end
  local key = names.key(scope, name)
  local n, latest = record.number_at(self.store, key, self.snapshot, head.value, head.version)
  if not n then return nil end
  return live(self, latest or record.version(self.store, key, n), n)
end

--- Documents in the order of their names, without their values.
---@param self table a view
---@param scope string
---@param filter table see `changes.fits`, and `after`
---@param limit integer
---@return weir.Document[]
function M.list(self, scope, filter, limit)
  local list = {}
  for name, head in each_name(self, scope, filter.prefix or "", filter.after or "") do
    local found, n, is_pending = look_at(self, scope, name, head)
    if found and changes.fits(filter, name, found) then list[#list + 1] = M.present(scope, name, found, n, is_pending) end
    if #list >= limit then break end
  end
  return list
end

-- What the index knows of a term in a version: the posting that holds at n.
local function add_posting(candidates, name, term, class, from, to)
  local candidate = candidates[name] or {}
  candidates[name] = candidate
  candidate[#candidate + 1] = { term = term, class = class, from = from, to = to }
end

local function classes_at(candidate, n)
  local classes = {}
  for _, posting in ipairs(candidate) do
    if posting.from <= n and (posting.to == 0 or n < posting.to) then classes[posting.term] = posting.class end
  end
  return classes
end

local function indexed(self, scope, terms, is_local)
  local candidates, found = {}, {}
  for _, term in ipairs(terms) do
    for name, class, from, to in index.postings(self.store, scope, term) do
      if not is_local[name] then add_posting(candidates, name, term, class, from, to) end
    end
  end
  for name, candidate in pairs(candidates) do
    local document, n = live(self, committed(self, names.key(scope, name)))
    local classes = document and classes_at(candidate, n)
    if classes and next(classes) then
      found[#found + 1] = { name = name, classes = classes, words = document.words or 0, document = document, n = n }
    end
  end
  return found
end

-- What is not in the index, or not as this view sees it, is read.
local function add_local(self, scope, terms, own, found)
  for _, name in ipairs(own) do
    local document, n, is_pending = M.look_up(self, scope, name, true)
    if document then
      local all, words = index.terms_of(name, document)
      local classes = {}
      for _, term in ipairs(terms) do classes[term] = all[term] end
      if next(classes) then
        found[#found + 1] = { name = name, classes = classes, words = words, document = document, n = n, is_pending = is_pending }
      end
    end
  end
end

--- Documents by the words of a query, the best first, without their values, each with its `score`.
---@param self table a view with a snapshot
---@param scope string
---@param text string
---@param limit integer
---@return weir.Document[]
function M.search(self, scope, text, limit)
  local terms, list = index.query(text), {}
  local own, is_local = local_names(self, scope, "", "")
  local found = indexed(self, scope, terms, is_local)
  add_local(self, scope, terms, own, found)
  for place, entry in ipairs(index.rank(found, terms)) do
    if place > limit then break end
    list[place] = M.present(scope, entry.name, entry.document, entry.n, entry.is_pending)
    list[place].score = entry.score
  end
  return list
end

local function number_at(self, key, head, lsn)
  local n, latest = record.number_at(self.store, key, lsn, head.value, head.version)
  local found = n and (latest or record.version(self.store, key, n))
  return found and not found.dead and n or nil
end

--- Adds what differs in a scope between two moments.
---@param self table a view
---@param list table[]
---@param scope string
---@param first integer LSN
---@param second integer LSN
function M.add_differences(self, list, scope, first, second)
  for row in pages.rows(self.store, spaces.heads, { prefix = scope .. "\0", limit = 200 }) do
    if row.version > math.min(first, second) then
      local before, after = number_at(self, row.key, row, first), number_at(self, row.key, row, second)
      if before ~= after then
        local _, name = names.parse_key(row.key)
        list[#list + 1] = { name = name, scope = scope, before = before, after = after }
      end
    end
  end
end

return M
