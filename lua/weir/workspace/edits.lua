--- What a view does to a document before it is committed: a list of edits, as short as it can be, that is
--- folded over whatever the document is by then. A put or a deletion makes what came before it needless;
--- merges wait for the latest value, so that two writers who both merge lose nothing. Edits are plain data.
--- Pure; never yields. Nothing here changes what it is given.

local failure = require "weir.failure"
local json = require "weir.native.json"
local names = require "weir.workspace.names"
local texts = require "weir.text.merge"
local values = require "weir.value"

local M = {}

---@class weir.WorkspaceEdit
---@field kind "put"|"delete"|"append"|"counter"|"set"|"text"
---@field value any          of a put: the document's value; of a merge: what is merged into it
---@field base string|nil    of a merge of texts: the text that its writer began with
---@field blob string|nil    instead of the value, in the store: the hash of its encoding
---@field type string|nil
---@field tags string[]|nil
---@field author string|nil
---@field run string|nil
---@field step string|nil
---@field at_ms integer      since 1970
---@field expires_ms integer|nil

local function refuse(where, kind, wanted, value)
  failure.raise("invalid", "%s: '%s' merges %s, got %s", where, kind, wanted, values.show(value))
end

-- An empty table is an empty list here, marked as one or not.
local function list_of(where, kind, value)
  if type(value) ~= "table" or not json.is_list(value) and next(value) ~= nil then refuse(where, kind, "lists", value) end
  return value
end

local function append(where, old, new)
  local list = json.list {}
  table.move(list_of(where, "append", old), 1, #old, 1, list)
  return table.move(list_of(where, "append", new), 1, #new, #list + 1, list)
end

local function add_numbers(where, old, new)
  if type(old) ~= "number" then refuse(where, "counter", "numbers", old) end
  if type(new) ~= "number" then refuse(where, "counter", "numbers", new) end
  local sum = old + new
  if math.type(sum) == "integer" and (new >= 0) ~= (sum >= old) then
    failure.raise("limit", "%s: 'counter' goes beyond what an integer holds: %d and %d", where, old, new)
  end
  return sum
end

local function union(where, old, new)
  local list, has = json.list {}, {}
  for _, source in ipairs { list_of(where, "set", old), list_of(where, "set", new) } do
    for _, element in ipairs(source) do
      local key = values.key(element)
      if not has[key] then list[#list + 1], has[key] = element, true end
    end
  end
  return list
end

-- A conflict carries all that somebody needs to settle it.
local function merge_texts(where, old, new, base)
  if type(old) ~= "string" then refuse(where, "text", "texts", old) end
  if type(new) ~= "string" then refuse(where, "text", "texts", new) end
  local merged, message, code, details = texts.merge(base or "", new, old)
  if merged then return merged end
  local err = failure.new(code, "%s: %s; read it again", where, message)
  if details then
    err.details = { document = where, base = base or "", ours = new, theirs = old, text = details.text, conflicts = details.conflicts }
  end
  error(err, 0)
end

local MERGES = { append = append, counter = add_numbers, set = union, text = merge_texts }
local NOTHING = { append = json.list {}, counter = 0, set = json.list {}, text = "" }
M.merges = "append, counter, set or text"

--- Whether a word names a merge.
---@param kind any
---@return boolean
function M.is_merge(kind)
  return MERGES[kind] ~= nil
end

--- Merges a value into another. Raises `invalid` where a value does not fit the merge, `limit` for a counter
--- that overflows or texts that are too long, `conflict` for texts of which the same lines were changed (details:
--- document, base, ours, theirs, conflicts, and text with the conflicts between marks).
---@param where string names the document, for messages
---@param kind "append"|"counter"|"set"|"text"
---@param old any nil: there is none
---@param new any
---@param base string|nil of texts: what `new` was made from, nil for nothing
---@return any
function M.merge(where, kind, old, new, base)
  if old == nil then old = NOTHING[kind] end
  return MERGES[kind](where, old, new, base)
end

-- What is kept with a document, from the edit or else from what was there.
local function described(edit, before, value)
  before = before or {}
  return { value = value, type = edit.type or before.type, tags = edit.tags or before.tags, author = edit.author, run = edit.run,
    step = edit.step, at_ms = edit.at_ms, expires_ms = edit.expires_ms or before.expires_ms }
end

local function apply(where, document, edit)
  if edit.kind == "delete" then return nil end
  if edit.kind == "put" then return described(edit, nil, edit.value) end
  return described(edit, document, M.merge(where, edit.kind, document and document.value, edit.value, edit.base))
end

-- A text that was changed twice by one writer; nil when something else was merged into it in between.
local function one_text(last, edit)
  if edit.base ~= last.value then return nil end
  local made = described(edit, last, edit.value)
  made.kind, made.base = "text", last.base
  return made
end

-- One edit that does what two do, or nil.
local function combined(where, last, edit)
  if last.kind == "put" or last.kind == "delete" then
    local made = apply(where, last.kind == "put" and last or nil, edit)
    made.kind = "put"
    return made
  end
  if last.kind ~= edit.kind then return nil end
  if edit.kind == "text" then return one_text(last, edit) end
  local made = described(edit, last, M.merge(where, edit.kind, last.value, edit.value))
  made.kind = edit.kind
  return made
end

local function check_mergeable(where, edit)
  if edit.kind == "text" then
    if type(edit.value) ~= "string" then refuse(where, "text", "texts", edit.value) end
  else
    M.merge(where, edit.kind, nil, edit.value)
  end
end

--- The list with one edit more. Raises as `merge`.
---@param scope string
---@param name string
---@param list weir.WorkspaceEdit[]
---@param edit weir.WorkspaceEdit
---@return weir.WorkspaceEdit[] list a new one
function M.add(scope, name, list, edit)
  if not MERGES[edit.kind] or #list == 0 then
    if MERGES[edit.kind] then check_mergeable(names.document(scope, name), edit) end
    return { edit }
  end
  local made = combined(names.document(scope, name), list[#list], edit)
  local longer = table.move(list, 1, #list, 1, {})
  longer[made and #longer or #longer + 1] = made or edit
  return longer
end

--- The list in which a conflict of texts is settled: `text` stands in the place of what was merged and of what it met.
---@param list weir.WorkspaceEdit[]
---@param details table of the error
---@param text string
---@return weir.WorkspaceEdit[]|nil list a new one; nil: the conflict is not one of these edits
function M.settle(list, details, text)
  for place, edit in ipairs(list) do
    if edit.kind == "text" and (edit.base or "") == details.base and edit.value == details.ours then
      local settled, longer = {}, table.move(list, 1, #list, 1, {})
      for field, value in pairs(edit) do settled[field] = value end
      settled.base, settled.value = details.theirs, text
      longer[place] = settled
      return longer
    end
  end
end

--- Whether the list needs the value that is there already.
---@param list weir.WorkspaceEdit[]
---@return boolean
function M.needs_value(list)
  return MERGES[list[1].kind] ~= nil
end

--- What becomes of a document: nil when it ends deleted. Raises as `merge`.
---@param scope string
---@param name string
---@param document table|nil {value, type, tags, ...}; nil: there is none
---@param list weir.WorkspaceEdit[]
---@return table|nil document a new one
function M.fold(scope, name, document, list)
  local where = names.document(scope, name)
  for _, edit in ipairs(list) do document = apply(where, document, edit) end
  return document
end

return M
