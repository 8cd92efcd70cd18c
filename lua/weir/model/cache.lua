--- Answers kept by what was asked, for steps that say how long one holds. What is asked includes the model: another one
--- might answer otherwise. Space `answers`: {response, at_ms, until_ms}; once nobody may use it any more it is swept away.

local clock = require "weir.port.clock"
local hash = require "weir.native.hash"
local json = require "weir.native.json"
local store_port = require "weir.port.store"

local M = {}

M.SPACE = "answers"
local KEPT_MS = 30 * 86400000 -- of an answer that does not say for how long

--- What an answer is kept under.
---@param models string[] names of the candidates
---@param settings table of the request, without its messages
---@param hashes string[] of its messages
---@return string
function M.key(models, settings, hashes)
  return hash.sha256(assert(store_port.encode { models = json.list(models), settings = settings, messages = table.concat(hashes) }))
end

--- An answer that is not older than it may be, or nil; of one that was kept under a clock which was ahead by more nobody knows how old
--- it is. Does not wait.
---@param store userdata|nil
---@param key string
---@param ttl number seconds
---@return weir.model.Response|nil
function M.get(store, key, ttl)
  local kept = store and store:get(M.SPACE, key)
  if not kept or math.abs(clock.wall_ms() - kept.at_ms) > ttl * 1000 then return nil end
  return kept.response
end

--- Keeps an answer. What cannot be kept is not: the answer is there. Waits.
---@param store userdata|nil
---@param key string
---@param response weir.model.Response
---@param ttl number seconds that it holds
function M.put(store, key, response, ttl)
  local now_ms = clock.wall_ms()
  if store then store:put(M.SPACE, key, { at_ms = now_ms, until_ms = now_ms + math.ceil(ttl * 1000), response = response }) end
end

--- Whether an answer holds for nobody any more.
---@param kept table a value of the space
---@param now_ms integer
---@return boolean
function M.is_over(kept, now_ms)
  return (kept.until_ms or kept.at_ms + KEPT_MS) <= now_ms
end

return M
