--- What the specs of planning share: agents as planners see them, and worlds in which steps plan.

local support = require "spec.lua.weir.run.support"
local types = require "weir.planning.types"
local weir = require "weir"

local M = {}

--- An agent as a planner sees it.
function M.agent(name, needs, gives, cost)
  return { name = name, version = "v-" .. name, doc = name, needs = types.object(needs), gives = types.object(gives), cost = cost or 1 }
end

--- The same by name.
function M.by_name(agents)
  local found = {}
  for _, agent in ipairs(agents) do found[agent.name] = agent end
  return found
end

--- Agents of a project: name = { needs, gives, execute }.
function M.put_agents(here, agents)
  for name, one in pairs(agents) do
    here.registry:put { kind = "agent", name = name, api = 1, needs = one[1], gives = one[2], execute = one[3], cost = one.cost,
      has_consequences = one.has_consequences }
  end
end

--- A planner of a project.
function M.put_planner(here, name, plan)
  here.registry:put { kind = "planner", name = name, api = 1, plan = plan }
end

--- A world (see the specs of runs) with agents and planners.
function M.world(agents, planners, options)
  local world = support.world({}, options)
  local counted = {}
  for name, one in pairs(agents) do
    counted[name] = { one[1], one[2], cost = one.cost, has_consequences = one.has_consequences, function(ctx, input)
      local key = ctx.idempotency_key:match "/(.*)"
      if world.mortal and world.mortal.is_over then error { code = "unavailable", message = "the process has ended" } end
      world.done[key] = (world.done[key] or 0) + 1
      return one[3](ctx, input)
    end }
  end
  M.put_agents(world.here, counted)
  for name, plan in pairs(planners or {}) do M.put_planner(world.here, name, plan) end
  return world
end

--- A pipeline with one step that plans.
function M.pipeline(plan, more)
  local fields = { input = "$.input" }
  for name, value in pairs(plan) do fields[name] = value end
  for name, value in pairs(more or {}) do fields[name] = value end
  return weir.pipeline "planned" { input = { type = "object" }, weir.plan "work" (fields) }
end

--- A plan of steps in a row: { name, agent, input }.
function M.plan_of(steps, output)
  local groups = weir.list {}
  for index, step in ipairs(steps) do
    groups[index] = { name = step[1], steps = weir.list { { name = step[1], agent = step[2], input = step[3] } } }
  end
  return { groups = groups, output = output }
end

return M
