--- Makes the heads, the expiry times and the search index of all documents anew from their versions, for a store in
--- which some of that is damaged or lost. Nobody else may write documents meanwhile.

local failure = require "weir.failure"
local index = require "weir.workspace.index"
local names = require "weir.workspace.names"
local native = require "weir.native.scheduler"
local pages = require "weir.pages"
local record = require "weir.workspace.record"
local value_of = require "weir.value"

local M = {}

local spaces = names.spaces
local BATCH = 400 -- operations

local Writer = {}
Writer.__index = Writer

function Writer:add(operation)
  self.operations[#self.operations + 1] = operation
  if #self.operations >= BATCH then self:flush() end
end

function Writer:flush()
  local operations = self.operations
  self.operations = {}
  if #operations == 0 then return end
  local done, message, code = self.store:batch(operations)
  if not done then failure.raise(code, "%s", message) end
end

-- The head says what the latest version says.
local function head_of(version, n)
  local head = record.meta(version)
  head.n, head.dead, head.size, head.words = n, version.dead, version.size, version.words
  return head
end

-- Stands where the store stands: what the index has written of one document.
local Sheet = {}
Sheet.__index = Sheet

function Sheet:get(space, key)
  local value = self.written[space .. "\0" .. key]
  if value == nil then return nil, "none", "not_found" end
  return value, 1
end

local function play(sheet, operations)
  for _, operation in ipairs(operations) do
    local id = operation.space .. "\0" .. operation.key
    sheet.written[id] = operation.op == "put" and operation.value or nil
    sheet.place[id] = operation
  end
end

local function add_terms(store, sheet, scope, name, n, version)
  local classes = {}
  if not version.dead then
    classes = index.terms_of(name, { value = record.value(store, version), type = version.type, tags = version.tags })
  end
  local operations = {}
  index.update(sheet, operations, scope, name, n, classes)
  play(sheet, operations)
end

local function write_sheet(writer, sheet)
  for id, value in pairs(sheet.written) do
    local operation = sheet.place[id]
    writer:add { op = "put", space = operation.space, key = operation.key, value = value }
  end
end

local function write_head(writer, result, key, head)
  local kept = writer.store:get(spaces.heads, key)
  if kept ~= nil and value_of.equal(kept, head) then return end
  result.heads = result.heads + 1
  writer:add { op = "put", space = spaces.heads, key = key, value = head }
end

-- All versions of one document.
local function rebuild_document(writer, result, key, versions)
  local scope, name = names.parse_key(key)
  local last = versions[#versions]
  local head = head_of(last.record, last.n)
  write_head(writer, result, key, head)
  if head.expires_ms and not head.dead then
    writer:add { op = "put", space = spaces.expiry, key = names.expiry_key(head.expires_ms, key), value = 1 }
  end
  local sheet = setmetatable({ written = {}, place = {} }, Sheet)
  for _, version in ipairs(versions) do add_terms(writer.store, sheet, scope, name, version.n, version.record) end
  write_sheet(writer, sheet)
  result.documents = result.documents + 1
end

local function empty(writer, space)
  for found in pages.keys(writer.store, space) do writer:add { op = "delete", space = space, key = found.key } end
end

-- Documents one by one, each with its versions in order.
local function each_document(store, body)
  local key, versions
  for found in pages.keys(store, spaces.versions) do
    local of, n = names.parse_version_key(found.key)
    if of ~= key then
      if key then body(key, versions) end
      key, versions = of, {}
    end
    versions[#versions + 1] = { n = n, record = found.value, damaged = found.damaged }
  end
  if key then body(key, versions) end
end

local function shown(key)
  local scope, name = names.parse_key(key)
  return scope and names.document(scope, name) or ("document %q"):format(key)
end

local function is_damaged(versions)
  for _, version in ipairs(versions) do
    if version.damaged then return true end
  end
  return false
end

-- A head without any version is of a document that was lost.
local function check_heads(store, note)
  for found in pages.keys(store, spaces.heads) do
    if not found.damaged and not store:get(spaces.versions, names.version_key(found.key, found.value.n)) then
      note(shown(found.key), "its latest version is missing or damaged")
    end
  end
end

--- Makes it all anew. Waits.
---@param store weir.Store
---@param result { heads: integer, documents: integer } is counted up
---@param note fun(what: string, message: string) told of what cannot be made again
function M.all(store, result, note)
  local writer = setmetatable({ store = store, operations = {} }, Writer)
  for _, space in ipairs { spaces.terms, spaces.postings, spaces.closed, spaces.expiry } do empty(writer, space) end
  writer:flush()
  each_document(store, function(key, versions)
    if is_damaged(versions) then return note(shown(key), "a version is damaged; it is not found by searching") end
    local ok, err = pcall(rebuild_document, writer, result, key, versions)
    if ok then return end
    native.recover()
    if failure.of(err).code ~= "corrupt" then error(err, 0) end
    note(shown(key), failure.of(err).message)
  end)
  writer:flush()
  check_heads(store, note)
end

return M
