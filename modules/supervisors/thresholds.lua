--- Supervises by rules: when so many failures of a kind have come in a while, the first rule that fits says what is done about it.
--- A rule: {when = {code, step, agent, message, fingerprint, family, kind}, count = 1, within = "10m", remedy = "retry", args = {...}}.

local duration = require "weir.duration"
local rules = require "weir.healing.rules"
local weir = require "weir"

local TIME = { type = { "string", "number" }, minimum = 0, pattern = duration.pattern }
local ONE_OR_MANY = { type = { "string", "array" }, items = { type = "string" } }

local RULE = { type = "object", required = { "remedy" }, additionalProperties = false, properties = {
  when = { type = "object", additionalProperties = false, properties = { code = ONE_OR_MANY, step = ONE_OR_MANY, name = ONE_OR_MANY,
    agent = ONE_OR_MANY, kind = ONE_OR_MANY, fingerprint = ONE_OR_MANY, family = ONE_OR_MANY, pipeline = ONE_OR_MANY,
    monitor = ONE_OR_MANY, message = { type = "string" } } },
  count = { type = "integer", minimum = 1 },      -- failures of one family
  within = TIME,                                  -- in so long a time; without it all of the last day
  remedy = { enum = weir.list(require("weir.healing.remedies").names) },
  args = { type = "object" },
  reason = { type = "string" },                   -- for people
} }

-- What runs report over a while, held against a threshold: an incident of kind `monitor`, for a rule with `when = {monitor = NAME}`.
local MONITOR = { type = "object", required = { "name", "on", "within" }, additionalProperties = false,
  anyOf = { { required = { "above" } }, { required = { "below" } } }, properties = {
  name = { type = "string", minLength = 1 },
  on = { enum = weir.list(require("weir.healing.monitor").sources) },
  metric = { type = "string" }, level = { type = "string" }, text = { type = "string" }, status = { type = "string" },
  step = { type = "string" },
  within = TIME,
  measure = { enum = weir.list(require("weir.healing.window").measures) },
  above = { type = "number" }, below = { type = "number" },
  minimum = { type = "integer", minimum = 1 },    -- numbers in the window, before it says anything
} }

local M = {
  kind = "supervisor", name = "thresholds", api = 1,
  options = { type = "object", additionalProperties = false, properties = {
    rules = { type = "array", items = RULE, default = weir.list {} },
    monitors = { type = "array", items = MONITOR, default = weir.list {} },
    attempts = { type = "integer", minimum = 1, maximum = 20, default = 3 },  -- remedies that one step of a run gets
    cooldown = TIME,                                                          -- between two of them
    cap = { type = "integer", minimum = 1 },                                  -- remedies of the pipeline within `within`
    within = TIME,
    stuck = TIME,                                                             -- a step without a sign of life for so long
    ask = { type = "boolean", default = true },                               -- a person, when remedies did not help
  } },
}

-- Durations as numbers, once.
function M.setup(options)
  local parsed = {}
  for index, rule in ipairs(options.rules) do
    local one = {}
    for name, value in pairs(rule) do one[name] = value end
    one.within = rule.within ~= nil and duration.parse(rule.within) or nil
    parsed[index] = one
  end
  return parsed
end

--- Decides about one incident.
---@param ctx table state: the rules
---@param incident table
---@return table|nil decision {remedy, args, reason}; nil: no rule fits
function M.on(ctx, incident)
  local rule, number = rules.choose(ctx.state, incident)
  if not rule then return nil end
  return { remedy = rule.remedy, args = rule.args, reason = rule.reason or ("rule %d"):format(number) }
end

return M
