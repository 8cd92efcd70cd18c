--- One-time links: who has one may decide one question, as it was asked, once, under one name, until it expires. A link is
--- a record of the store's space `approvals.links` and a mark, the HMAC-SHA256 (RFC 2104) of all that the record says under
--- a key that only the owner of the store can read. So neither a record alone nor a mark alone opens anything.
---
---     LINK.MARK     22 characters and 64 hexadecimal digits

local audit = require "weir.audit"
local clock = require "weir.port.clock"
local digest = require "weir.native.digest"
local failure = require "weir.failure"
local ids = require "weir.id"
local json = require "weir.native.json"
local private = require "weir.port.private"
local records = require "weir.approval.records"
local question = require "weir.approval.question"
local rules = require "weir.approval.rules"

local M = {}

local SPACE = question.links
M.EXPIRES, M.LONGEST = 24 * 3600, 30 * 86400 -- seconds

local KEY_BYTES = 32
local TOKEN = "^(k_[0-9a-z]+)%.(%x+)$"
local TOKEN_LENGTH = 22 + 1 + 64
local NOWHERE = { approval = "", hash = "", by = "", expires_ms = 0 } -- what a link that is not there is compared with

local keys = setmetatable({}, { __mode = "k" }) -- of stores; a store in memory has its key as long as it lives

local function new_key()
  local bytes, message, code = digest.random(KEY_BYTES)
  if not bytes then failure.raise(code, "%s", message) end
  return bytes
end

-- The file `links.key` of the store's folder: 64 hexadecimal digits, for its owner alone.
local function key_of_file(path)
  local text, message, code = private.read(path)
  if text then
    local key = digest.from_hex((text:gsub("%s+$", "")))
    if not key or #key ~= KEY_BYTES then
      failure.raise("corrupt", "%s: 64 hexadecimal digits expected; remove it to make a new key", path)
    end
    return key
  end
  if code ~= "not_found" then failure.raise(code, "%s", message) end
  local key = new_key()
  private.write(path, digest.to_hex(key) .. "\n")
  return key
end

local function key_of(store)
  if not keys[store] then
    local folder = store:path()
    keys[store] = folder == ":memory:" and new_key() or key_of_file(folder .. "/links.key")
  end
  return keys[store]
end

local function mark_of(store, id, link)
  return digest.hmac_sha256(key_of(store), json.encode({ id, link.approval, link.hash, link.by, link.expires_ms }, { canonical = true }))
end

local function asked_of(store, id)
  local record, message, code = records.read(store, question.pending, id)
  if record then return record end
  if code ~= "not_found" then failure.raise(code, "%s", message) end
  local winner = records.read(store, question.decided, id)
  local _, why, what = (winner and records.lost_to or records.not_found)(winner or id)
  failure.raise(what, "%s", why)
end

--- Makes a link. Waits until it is on disk, and in the audit trail. Raises `denied` (that person may not decide), `conflict`
--- (it is decided), `not_found`, `invalid`, `limit`, and what the store refuses with.
---@param store weir.Store
---@param id string of the question, whole
---@param given { by: string, expires: number|nil, made_by: string, via: string } by: who will have decided; expires: seconds
---@param options { groups: table|nil, now_ms: integer|nil }|nil
---@return { token: string, link: string, by: string, expires_ms: integer }
function M.make(store, id, given, options)
  options = options or {}
  local now_ms = options.now_ms or clock.wall_ms()
  local ok, message, code = rules.check_shape { decision = "approve", by = given.by }
  if not ok then failure.raise(code, "%s", message) end
  local expires = given.expires or M.EXPIRES
  if expires < 1 or expires > M.LONGEST then failure.raise("limit", "a link lasts from a second to 30 days") end
  local record = asked_of(store, id)
  ok, message, code = rules.check_person(record, given.by, options.groups, now_ms)
  if not ok then failure.raise(code, "approval %s: %s", id, message) end
  local link_id = ids.new "k"
  local link = { approval = id, hash = record.hash, by = given.by, expires_ms = now_ms + math.ceil(expires * 1000), made_by = given.made_by,
    at_ms = now_ms }
  local done
  done, message, code = store:batch { { op = "cas", space = SPACE, key = link_id, version = 0, value = link },
    audit.operation { by = given.made_by, via = given.via, action = "link", what = id, to = given.by } }
  if not done then failure.raise(code, "%s", message) end
  return { token = link_id .. "." .. mark_of(store, link_id, link), link = link_id, by = given.by, expires_ms = link.expires_ms }
end

--- What a link opens. Does not wait. Whoever asks with a wrong mark learns nothing, not even whether there is such a link.
---@param store weir.Store
---@param token string
---@param now_ms integer|nil default: the clock
---@return { id: string, approval: string, hash: string, by: string, version: integer }|nil link
---@return "not_found"|"closed"|nil code closed: it has been used, or has expired
function M.open(store, token, now_ms)
  local id, mark = token:match(TOKEN)
  if not id or #token ~= TOKEN_LENGTH then return nil, "not_found" end
  local link, version = store:get(SPACE, id)
  local is_right = digest.equal(mark_of(store, id, link or NOWHERE), mark:lower())
  if not link or not is_right then return nil, "not_found" end
  if link.used_ms or (now_ms or clock.wall_ms()) >= link.expires_ms then return nil, "closed" end
  return { id = id, approval = link.approval, hash = link.hash, by = link.by, version = version }
end

--- The operations that spend a link, for the batch of the decision: it fails with `conflict` if somebody has spent it.
---@param store weir.Store
---@param link table as `open` gives it
---@param decision string
---@param now_ms integer|nil
---@return table[]
function M.spend(store, link, decision, now_ms)
  local kept = store:get(SPACE, link.id) or {}
  kept.used_ms = now_ms or clock.wall_ms()
  return { { op = "cas", space = SPACE, key = link.id, version = link.version, value = kept },
    audit.operation { by = link.by, via = "link", action = decision, what = link.approval } }
end

return M
