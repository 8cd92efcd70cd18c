--- When an agent stumbles over what it was given: what in its input is not what it says it needs, in the place of Lua's own
--- words about a value that it did not expect. An input is compared with `needs` only then, so that what an agent can do
--- with another one it still does. Pure.

local failure = require "weir.failure"
local schema = require "weir.schema"

local M = {}

local function has_stumbled(err)
  return err.code == "failed" and err.traceback ~= nil
    and (err.message:find("attempt to ", 1, true) ~= nil or err.message:find("bad argument #", 1, true) ~= nil)
end

-- The first thing that does not fit; fields that the agent does not name are none.
local function misfit_in(needs, input)
  local check = schema.compile(needs)
  if not check then return nil end
  local fits, errors = check(input == nil and {} or input, "input")
  for _, entry in ipairs(fits and {} or errors) do
    if entry.keyword ~= "additionalProperties" then return entry.message end
  end
end

--- The error of an attempt, as `invalid` if the agent has stumbled over an input that is not what it needs.
---@param frame table
---@param step table of the plan
---@param input any
---@param err table {code, message, traceback}
---@return table err
function M.of(frame, step, input, err)
  if not step.agent or not has_stumbled(err) then return err end
  local modules = (frame.held or frame.run).modules
  local module = modules and modules[step.module]
  if not module or type(module.needs) ~= "table" then return err end
  local needs = schema.object(module.needs)
  local message = needs and misfit_in(needs, input)
  if not message then return err end
  local found = failure.new("invalid", "agent '%s': %s", step.agent, message)
  found.traceback = err.traceback
  return found
end

return M
