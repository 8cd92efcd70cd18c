--- Agents as planners see them: what they say that they need and give, what they cost.

local failure = require "weir.failure"
local types = require "weir.planning.types"

local M = {}

--- The agents that a plan may use when its step names none: all that say what they need and give, and of which nobody says
--- that they have consequences. Waits for those that are loaded for the first time; one that cannot be loaded is none.
---@param registry weir.Registry
---@return string[] names
function M.found(registry)
  local names = {}
  for _, name in ipairs(registry:names "agent") do
    local entry = registry:lookup("agent", name)
    local module = entry and entry.module
    if module and not module.has_consequences and types.object(module.needs) and types.object(module.gives) then
      names[#names + 1] = name
    end
  end
  return names
end

--- What a planner is told of an agent. Raises `invalid` when the agent does not say what it needs and gives.
---@param name string
---@param entry weir.RegistryEntry
---@param facts weir.planning.Known|nil what is recorded of it
---@return weir.planning.Agent
function M.declared(name, entry, facts)
  local module = entry.module
  local needs, gives = types.object(module.needs), types.object(module.gives)
  if not needs or not gives then
    failure.raise("invalid", "agent '%s' does not say what it needs and gives; a plan can only use agents that do", name)
  end
  return { name = name, version = entry.version, doc = module.doc, needs = needs, gives = gives, cost = tonumber(module.cost) or 1,
    seconds = facts and facts.seconds, usd = facts and facts.usd }
end

return M
