--- Answers kept by what was asked, for steps that say how long one holds. What is asked includes the model: another one
--- might answer otherwise.

local clock = require "weir.port.clock"
local hash = require "weir.native.hash"
local json = require "weir.native.json"
local store_port = require "weir.port.store"

local M = {}

local SPACE = "answers"

--- What an answer is kept under.
---@param models string[] names of the candidates
---@param settings table of the request, without its messages
---@param hashes string[] of its messages
---@return string
function M.key(models, settings, hashes)
  return hash.sha256(assert(store_port.encode { models = json.list(models), settings = settings, messages = table.concat(hashes) }))
end

--- An answer that is not older than it may be, or nil. Does not wait.
---@param store userdata|nil
---@param key string
---@param ttl number seconds
---@return weir.model.Response|nil
function M.get(store, key, ttl)
  local kept = store and store:get(SPACE, key)
  if not kept or kept.at_ms + ttl * 1000 < clock.wall_ms() then return nil end
  return kept.response
end

--- Keeps an answer. What cannot be kept is not: the answer is there. Waits.
---@param store userdata|nil
---@param key string
---@param response weir.model.Response
function M.put(store, key, response)
  if store then store:put(SPACE, key, { at_ms = clock.wall_ms(), response = response }) end
end

return M
