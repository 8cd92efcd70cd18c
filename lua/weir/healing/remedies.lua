--- The remedies there are, what each takes, and where it acts: on the step that failed, on the run, or on what many runs share.
--- What a remedy does to a step lives in the run's journal and ends with the run; what it does beyond that is a control (see
--- `weir.healing.controls`), and is taken back with `weir incidents revert`. Pure.

local duration = require "weir.duration"

local M = {}

local NAME = { type = "string", minLength = 1 }
local WHOLE = { type = "integer", minimum = 1 }
local TIME = { type = { "string", "number" }, minimum = 0, pattern = duration.pattern }

---@class weir.Remedy
---@field doc string
---@field args table<string, table> JSON Schemas by name
---@field needs string[]|nil  those that have to be there
---@field again boolean      whether the step that failed is tried once more
---@field shared boolean|nil it acts on more than the run
---@field reversible boolean

---@type table<string, weir.Remedy>
M.by_name = {
  retry = { doc = "another attempt", again = true, reversible = false, args = { delay = TIME } },
  parameter = { doc = "another attempt with other options", again = true, reversible = true, needs = { "options" },
    args = { options = { type = "object", minProperties = 1 }, delay = TIME } },
  model = { doc = "another attempt with another model", again = true, reversible = true, needs = { "model" },
    args = { model = NAME, delay = TIME } },
  version = { doc = "another attempt by another version of the agent", again = true, reversible = true, needs = { "version" },
    args = { version = NAME, delay = TIME } },
  restart = { doc = "the run goes on from an earlier group, or the steps of this one begin again", again = false, reversible = false,
    args = { from = NAME, strategy = { enum = require("weir.healing.tree").strategies } } },
  quarantine = { doc = "the input is set aside, and the run goes on without the step", again = false, reversible = true, args = {} },
  pause = { doc = "the run stops until somebody resumes it", again = true, reversible = true, args = {} },
  escalate = { doc = "a person decides: try again, go on without the step, or let it fail", again = true, reversible = false,
    args = { ask = { type = "boolean" }, who = { type = "array", items = NAME }, title = NAME } },
  concurrency = { doc = "fewer runs of the pipeline, and fewer items of its maps, at once", again = true, shared = true,
    reversible = true, needs = { "limit" }, args = { limit = WHOLE, ["for"] = TIME, delay = TIME } },
  breaker = { doc = "a model is not asked for a while", again = true, shared = true, reversible = true, needs = { "model" },
    args = { model = NAME, ["for"] = TIME, delay = TIME } },
  pause_pipeline = { doc = "no run of the pipeline begins until it is let go on", again = false, shared = true, reversible = true,
    args = { ["for"] = TIME } },
}

--- Their names, in order.
M.names = {}
for name in pairs(M.by_name) do M.names[#M.names + 1] = name end
table.sort(M.names)

--- A JSON Schema of `args` of a remedy.
---@param name string
---@return table
function M.schema(name)
  local remedy = M.by_name[name]
  return { type = "object", properties = remedy.args, required = remedy.needs, additionalProperties = false }
end

local DURATIONS = { "delay", "for" }

--- A decision as it is carried out: a known remedy, its arguments checked, durations in seconds.
---@param decision any what a supervisor gave
---@param validate fun(schema: table, value: any): boolean, string|nil
---@return { name: string, args: table, reason: string|nil }|nil
---@return string? refusal
function M.read(decision, validate)
  if type(decision) ~= "table" then return nil, ("gave a %s; a remedy is {remedy, args}"):format(type(decision)) end
  local name = decision.remedy
  local remedy = M.by_name[name]
  if not remedy then
    return nil, ("gave the remedy '%s'; there are %s"):format(tostring(name), table.concat(M.names, ", "))
  end
  local args = {}
  for key, value in pairs(type(decision.args) == "table" and decision.args or {}) do args[key] = value end
  local ok, message = validate(M.schema(name), args)
  if not ok then return nil, ("gave the remedy '%s' with arguments that do not fit: %s"):format(name, message) end
  for _, key in ipairs(DURATIONS) do
    if args[key] ~= nil then args[key] = duration.parse(args[key]) end
  end
  return { name = name, args = args, reason = type(decision.reason) == "string" and decision.reason or nil }
end

return M
