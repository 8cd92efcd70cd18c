--- Looks at the source of a skill without running any of it: size, text, whether it parses, and names that no honest skill
--- needs. The names are for people and for an early no; what a source can do is decided by the sandbox, not here.

local names = require "weir.skill.names"
local sandbox = require "weir.sandbox"
local task = require "weir.task"

local M = {}

--- Checks a source. It is parsed in a sandbox and not called. Waits.
---@param source string
---@param name string of the skill
---@return true?
---@return string? message
---@return string? code `limit` (size), `denied` (bytecode, names), `invalid` (it does not parse), `unavailable`
function M.check(source, name)
  local ok, message, code = sandbox.check(source, name)
  if not ok then return nil, message, code end
  local found = names.find(source, task.yield)
  if #found == 0 then return true end
  local places = {}
  for index, one in ipairs(found) do places[index] = ("'%s' in line %d"):format(one.name, one.line) end
  return nil, ("skill '%s': its source uses %s; a skill works without"):format(name, table.concat(places, ", ")), "denied"
end

return M
