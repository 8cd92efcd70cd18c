--- Documents as the store keeps them, and how they are read back at a moment of the store. A moment is a
--- number, the LSN of the last operation committed by then. Each version of a document is a record of its
--- own, written once, and the record's own version is the LSN of its commit; so what a document was at a
--- moment is its last version at or below that number. Reads never wait.

local checkpoint = require "weir.native.checkpoint"
local failure = require "weir.failure"
local hash = require "weir.native.hash"
local json = require "weir.native.json"
local names = require "weir.workspace.names"

local M = {}

local spaces = names.spaces
local INLINE_MAX = 1536 -- bytes of an encoded value that stands in the record itself, as in the journals
local META = { "type", "tags", "author", "run", "step", "at_ms", "expires_ms" }

local function raise(message, code)
  failure.raise(code or "failed", "%s", message)
end

-- The value of a key and its version; nothing when there is none.
local function get(store, space, key)
  local value, version, code = store:get(space, key)
  if value ~= nil then return value, version end
  if code ~= "not_found" then raise(version, code) end
end
M.get = get

--- The number of the last commit. Does not wait.
---@param store weir.Store
---@return integer lsn
function M.lsn(store)
  return store:lsn()
end

--- The head of a document: {n, dead?, type?, tags?, author?, run?, step?, at_ms, expires_ms?, size, words}.
---@param store weir.Store
---@param key string
---@return table|nil head
---@return integer|nil lsn
function M.head(store, key)
  return get(store, spaces.heads, key)
end

--- Whether a version is there for readers at a time.
---@param record table a head or a version
---@param now_ms integer
---@return boolean
function M.is_live(record, now_ms)
  return not record.dead and not (record.expires_ms and record.expires_ms <= now_ms)
end

--- A version of a document, its value still where it is; nothing when it is not there.
---@param store weir.Store
---@param key string
---@param n integer
---@return table|nil record
---@return integer|nil lsn
function M.version(store, key, n)
  return get(store, spaces.versions, names.version_key(key, n))
end

-- Versions are numbered without gaps; those that were trimmed are the oldest. So the question is asked in
-- strides that double, downwards from the latest, and then between the last two answers. The head is written
-- after its version: at a moment between the two the version is there.
local function number_at_or_below(store, key, newest, lsn)
  local function is_later(n)
    local _, at = M.version(store, key, n)
    return at ~= nil and at > lsn
  end
  local high, stride = newest + 1, 1
  local low = high - stride
  while low >= 1 and is_later(low) do
    high, stride = low, stride * 2
    low = high - stride
  end
  low = math.max(low, 0)
  while high - low > 1 do
    local middle = (low + high) // 2
    if is_later(middle) then high = middle else low = middle end
  end
  return low
end

--- The number of the version that stood at a moment; nil when there was none, or it has been trimmed.
---@param store weir.Store
---@param key string
---@param lsn integer|nil nil: now
---@param head table|nil when it is known already, with its LSN
---@param head_lsn integer|nil
---@return integer|nil n
---@return table|nil head when the version is the latest one
function M.number_at(store, key, lsn, head, head_lsn)
  if not head then head, head_lsn = M.head(store, key) end
  if not head then return nil end
  if not lsn or head_lsn <= lsn then return head.n, head end
  local n = number_at_or_below(store, key, head.n, lsn)
  return n > 0 and n or nil
end

--- The value of a version or an edit.
---@param store weir.Store
---@param record { value: any, blob: string? }
---@return any
function M.value(store, record)
  if not record.blob then return record.value end
  local bytes, message, code = store:get_blob(record.blob)
  if not bytes then raise(message, code == "not_found" and "corrupt" or code) end
  local value
  value, message, code = checkpoint.decode(bytes)
  if value == nil then raise(message, code) end
  return value
end

--- A copy of plain data and the size of its encoding in bytes. Raises `invalid`, `limit`, both naming the document.
---@param where string
---@param value any
---@return any copy
---@return integer size
function M.copy(where, value)
  if value == nil then failure.raise("invalid", "%s: a value other than nil expected; delete takes a document away", where) end
  local bytes, message, code = checkpoint.encode(value)
  if not bytes then failure.raise(code, "%s: %s", where, message) end
  return checkpoint.decode(bytes), #bytes
end

--- Puts a value into a record: itself, or its hash and an operation that keeps the bytes. Raises as `copy`.
---@param where string
---@param record table gets `value` or `blob`
---@param value any
---@param operations table[] gets the blob
---@return integer size of the encoding in bytes
function M.place(where, record, value, operations)
  local bytes, message, code = checkpoint.encode(value)
  if not bytes then failure.raise(code, "%s: %s", where, message) end
  if #bytes <= INLINE_MAX then
    record.value = value
  else
    record.blob = hash.sha256(bytes)
    operations[#operations + 1] = { op = "blob", bytes = bytes }
  end
  return #bytes
end

--- What is said about a document, as a new table.
---@param record table
---@return table
function M.meta(record)
  local meta = {}
  for _, field in ipairs(META) do meta[field] = record[field] end
  return meta
end

--- A version as readers get it: meta, scope, name and version; no value.
---@param scope string
---@param name string
---@param record table
---@param n integer
---@return weir.Document
function M.document(scope, name, record, n)
  local document = M.meta(record)
  document.scope, document.name, document.version, document.tags = scope, name, n, record.tags or json.list {}
  return document
end

return M
