--- What things of the workspace are called: scopes, names, tags, and the keys under which the store keeps
--- them. A key is its parts with a zero byte between them; no part may hold one, so no key is the beginning
--- of another part's. Pure; never yields.

local failure = require "weir.failure"

local M = {}

local NAME_MAX, ID_MAX, TAGS_MAX, TAG_MAX = 200, 100, 32, 100 -- bytes, bytes, tags, bytes

--- The spaces of the store that hold the workspace.
M.spaces = {
  heads = "workspace.heads",       -- scope, name -> the latest version's number and what is said about it
  versions = "workspace.versions", -- scope, name, n -> one version; the record's own version is its LSN
  terms = "workspace.terms",       -- scope, name -> what the latest version is found by
  postings = "workspace.postings", -- scope, term, name, n -> found by this term from version n on
  closed = "workspace.closed",     -- scope, name, n -> postings that version n ended
  expiry = "workspace.expiry",     -- time, scope, name -> what goes then
  floors = "workspace.floors",     -- scope -> the highest number of a document that has been forgotten
  overlays = "workspace.overlays", -- run, branch, scope, name -> what a branch wrote
}

-- Text for a message: short, on one line.
local function shown(text)
  if type(text) ~= "string" then return ("a %s"):format(type(text)) end
  local safe = text:gsub("[%c\128-\255]", function(byte) return ("\\x%02x"):format(byte:byte()) end)
  return ("'%s'"):format(#safe > 60 and safe:sub(1, 57) .. "..." or safe)
end

-- Text without control characters; `most` bytes.
local function check_text(value, most, what)
  if type(value) ~= "string" or value == "" or value:find "%c" or not utf8.len(value) then
    failure.raise("invalid", "%s must be text in UTF-8 without control characters, got %s", what, shown(value))
  end
  if #value > most then failure.raise("limit", "%s has %d bytes, at most %d are allowed", what, #value, most) end
  return value
end

--- A document as a message names it.
---@param scope string
---@param name string
---@return string
function M.document(scope, name)
  return ("document '%s' of %s"):format(name, scope)
end

--- Checks the name of a document. Raises `invalid`, `limit`.
---@param name any
---@return string name
function M.check_name(name)
  return check_text(name, NAME_MAX, ("document %s: its name"):format(shown(name)))
end

--- Checks a word that is kept with documents. Raises `invalid`, `limit`.
---@param word any
---@param what string what it is, for messages
---@return string|nil word
function M.check_word(word, what)
  if word == nil then return nil end
  return check_text(word, TAG_MAX, what)
end

--- Checks tags: each at most once, in the order of their bytes. Raises `invalid`, `limit`.
---@param tags string[]|nil
---@param name string of the document
---@return string[]|nil tags
function M.check_tags(tags, name)
  if tags == nil then return nil end
  if type(tags) ~= "table" or #tags == 0 and next(tags) ~= nil then
    failure.raise("invalid", "document '%s': its tags must be a list of texts", name)
  end
  local list, has = {}, {}
  for _, tag in ipairs(tags) do
    check_text(tag, TAG_MAX, ("document '%s': a tag"):format(name))
    if not has[tag] then list[#list + 1], has[tag] = tag, true end
  end
  if #list > TAGS_MAX then failure.raise("limit", "document '%s' has %d tags, at most %d are allowed", name, #list, TAGS_MAX) end
  table.sort(list)
  return list
end

--- The scopes, by what a view is bound to: the field of the view that names it, or none.
M.kinds = { "run", "pipeline", "project" }

--- The full name of a scope: `run:ID`, `pipeline:NAME` or `project`. Raises `invalid`, `limit`.
---@param kind "run"|"pipeline"|"project"
---@param place { run: string?, pipeline: string? }
---@return string
function M.scope(kind, place)
  if kind == "project" then return "project" end
  if kind ~= "run" and kind ~= "pipeline" then
    failure.raise("invalid", "scope must be run, pipeline or project, got %s", shown(kind))
  end
  local id = place[kind]
  if id == nil then failure.raise("invalid", "scope '%s': the view belongs to no %s; name one, or use another scope", kind, kind) end
  return kind .. ":" .. check_text(id, ID_MAX, ("scope '%s': its id"):format(kind))
end

--- Reads the full name of a scope. Raises `invalid`, `limit`.
---@param text string
---@return "run"|"pipeline"|"project" kind
---@return { run: string?, pipeline: string? } place
function M.parse_scope(text)
  if text == "project" then return "project", {} end
  local kind, id = text:match "^(%l+):(.+)$"
  if kind ~= "run" and kind ~= "pipeline" then
    failure.raise("invalid", "scope must be run:ID, pipeline:NAME or project, got %s", shown(text))
  end
  local place = { [kind] = id }
  M.scope(kind, place)
  return kind, place
end

--- The key of a document, and the beginning of the keys of its versions.
---@param scope string
---@param name string
---@return string
function M.key(scope, name)
  return scope .. "\0" .. name
end

--- Scope and name of a document's key.
---@param key string
---@return string scope
---@return string name
function M.parse_key(key)
  return key:match "^(%Z*)%z(%Z*)$"
end

--- The key of one version of a document.
---@param key string of the document
---@param n integer
---@return string
function M.version_key(key, n)
  return key .. string.pack(">zI8", "", n)
end

--- The document's key and the number of the key of a version.
---@param version_key string
---@return string key
---@return integer n
function M.parse_version_key(version_key)
  return version_key:sub(1, -10), (string.unpack(">I8", version_key, -8))
end

--- The key of a posting; without a name the beginning of all keys of a term.
---@param scope string
---@param term string
---@param name string|nil
---@param n integer|nil
---@return string
function M.posting_key(scope, term, name, n)
  local prefix = scope .. "\0" .. term .. "\0"
  return name and M.version_key(prefix .. name, n) or prefix
end

--- The key of the time at which a document goes; without a document the end of all keys before it.
---@param ms integer
---@param key string|nil of the document
---@return string
function M.expiry_key(ms, key)
  return string.pack(">I8", ms) .. (key or "")
end

--- The beginning of the keys of what a branch wrote. Raises `invalid`, `limit`.
---@param run string
---@param branch string
---@return string
function M.overlay_prefix(run, branch)
  check_text(run, ID_MAX, "overlay: its run")
  check_text(branch, ID_MAX, "overlay: its branch")
  return run .. "\0" .. branch .. "\0"
end

return M
