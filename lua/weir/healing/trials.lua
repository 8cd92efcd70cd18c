--- Which versions are on trial, and which runs have them: what every run that begins asks, so it is small. See `weir.healing.canary`.
--- The space `canaries` is read once for each store, since one process owns it.

local hash = require "weir.native.hash"
local pages = require "weir.pages"
local value_of = require "weir.value"

local M = { SPACE = "canaries" }

local PARTS = 10000

---@class weir.Canary
---@field name string    full name
---@field old string     version that serves
---@field new string     version on trial
---@field percent number of the runs that begin
---@field policy string
---@field options table|nil
---@field state "running"|"promoted"|"rolled_back"|"stopped"
---@field looked integer calls of the new version when the policy looked last
---@field at_ms integer
---@field by string
---@field ended_ms integer|nil
---@field reason string|nil

local of_store = setmetatable({}, { __mode = "k" })

local function all(store)
  local known = of_store[store]
  if known then return known end
  known = {}
  for found in pages.rows(store, M.SPACE, {}) do known[found.key] = value_of.known(found.value) end
  of_store[store] = known
  return known
end

--- All trials, by name; of each name the latest. Does not wait.
---@param store weir.Store
---@return weir.Canary[]
function M.list(store)
  local list = {}
  for _, one in pairs(all(store)) do list[#list + 1] = one end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

--- The trial of a name that is under way, or nil.
---@param store weir.Store|nil
---@param full string
---@return weir.Canary|nil
function M.of(store, full)
  local one = store and all(store)[full]
  return one and one.state == "running" and one or nil
end

--- The latest trial of a name, under way or over, or nil.
---@param store weir.Store
---@param full string
---@return weir.Canary|nil
function M.latest(store, full) return all(store)[full] end

--- Whether a run has the new version: its part of all ids.
---@param full string
---@param percent number
---@param run_id string
---@return boolean
function M.is_chosen(full, percent, run_id)
  local draw = tonumber(hash.sha256(full .. "\0" .. run_id):sub(1, 8), 16) % PARTS
  return draw < percent * (PARTS / 100)
end

--- The versions on trial that a run is to have, by full name; nil when it has none.
---@param store weir.Store|nil
---@param run_id string
---@return table<string, string>|nil
function M.pins(store, run_id)
  local pins
  for full, one in pairs(store and all(store) or {}) do
    if one.state == "running" and M.is_chosen(full, one.percent, run_id) then
      pins = pins or {}
      pins[full] = one.new
    end
  end
  return pins
end

--- The names on trial; nil when there are none.
---@param store weir.Store|nil
---@return table<string, weir.Canary>|nil
function M.running(store)
  local running
  for full, one in pairs(store and all(store) or {}) do
    if one.state == "running" then
      running = running or {}
      running[full] = one
    end
  end
  return running
end

--- Notes what was written of a trial.
---@param store weir.Store
---@param one weir.Canary
function M.set(store, one) all(store)[one.name] = one end

return M
