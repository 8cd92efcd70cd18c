--- Keys under which runs are started: an equal key finds the run that was started first, so that who asks twice, since
--- an answer was lost, starts once. A key stands for one pipeline and one input; with another it is refused.
---
--- Space `starts`: by key, {run, asked}; kept in the transaction that begins the run, removed with the run.

local failure = require "weir.failure"
local hash = require "weir.native.hash"
local store_port = require "weir.port.store"

local M = {}

M.SPACE = "starts"

local LONGEST = 256 -- bytes

--- Raises `invalid` for what cannot be a key.
---@param key any
function M.check(key)
  if type(key) == "string" and #key >= 1 and #key <= LONGEST and not key:find "%c" and utf8.len(key) then return end
  failure.raise("invalid", "a start key is a text in UTF-8 of 1 to %d bytes without control characters, got '%s'", LONGEST,
    tostring(key):sub(1, 80))
end

--- What a key stands for: SHA-256, hexadecimal, of the pipeline's name and its input, defaults filled in.
---@param pipeline string
---@param input table plain data
---@return string
function M.asked(pipeline, input)
  local encoded, message, code = store_port.encode { pipeline, input }
  if not encoded then failure.raise(code or "invalid", "%s", message) end
  return hash.sha256(encoded)
end

--- The run that a key started, or nil. Raises `conflict` when it was started with something else.
---@param store userdata
---@param key string
---@param asked string of `M.asked`
---@return string|nil run_id
function M.find(store, key, asked)
  local found, message, code = store:get(M.SPACE, key)
  if not found then
    if code == "not_found" or code == nil then return nil end
    failure.raise(code, "%s", message)
  end
  if found.asked == asked then return found.run end
  local err = failure.new("conflict", "the key '%s' started run %s, of another pipeline or with another input; take another key", key,
    found.run)
  err.run = found.run
  error(err, 0)
end

--- The operation that claims a key; its batch is refused with `conflict` if it is claimed already.
---@param key string
---@param run_id string
---@param asked string
function M.claim(key, run_id, asked)
  return { op = "cas", space = M.SPACE, key = key, version = 0, value = { run = run_id, asked = asked } }
end

return M
