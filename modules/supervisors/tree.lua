--- Supervises the steps of a group as Erlang's supervisors do their children: who failed is started again, or with all that come
--- after it, or with all of the group; more than `restarts` of them within `period` are too many, and the failure goes up: to a
--- person, or in a run that another one started to the supervisors of that.

local duration = require "weir.duration"
local tree = require "weir.healing.tree"
local weir = require "weir"

local TIME = { type = { "string", "number" }, minimum = 0, pattern = duration.pattern }

local M = {
  kind = "supervisor", name = "tree", api = 1,
  options = { type = "object", additionalProperties = false, properties = {
    strategy = { enum = weir.list(tree.strategies), default = "one_for_one" },
    restarts = { type = "integer", minimum = 1, maximum = 20, default = 3 },
    period = { type = { "string", "number" }, minimum = 0, pattern = duration.pattern, default = "1m" },
    stuck = TIME,
    up = { type = "boolean", default = true }, -- too many: the step fails, for who is above it; false: a person is asked
  } },
}

-- One more than the intensity, which decides: the limits that hold for all remedies are never met first.
local function has_given_up(ctx, incident)
  local restarts = {}
  for index, one in ipairs(incident.before) do restarts[index] = one.at end
  return tree.is_too_many(restarts, incident.at, ctx.options.restarts, assert(duration.parse(ctx.options.period)))
end

--- Decides about one incident.
---@param ctx table
---@param incident table
---@return table decision
function M.on(ctx, incident)
  if has_given_up(ctx, incident) then
    return { remedy = "escalate", args = { ask = not ctx.options.up },
      reason = ("more than %d restarts in %s"):format(ctx.options.restarts, ctx.options.period) }
  end
  if ctx.options.strategy == "one_for_one" then return { remedy = "retry" } end
  return { remedy = "restart", args = { strategy = ctx.options.strategy } }
end

return M
