--- Which variables of the environment hold secrets: no child process inherits them, and no module reads them. Names
--- only; the values stay in the host. Never waits.

local native = require "weir.native.secret"

local M = {}

local WORDS = { "KEY", "TOKEN", "SECRET", "PASSW", "CREDENTIAL" }

local owners = {}

--- Says that a variable holds the value of a secret.
---@param variable string
---@param name string the secret
function M.hide(variable, name)
  owners[variable] = name
end

--- The secret whose value a variable holds, or nil.
---@param variable string
---@return string|nil
function M.owner(variable)
  return owners[variable]
end

--- Whether a variable holds a secret, or is called as if it did.
---@param variable string
---@return boolean
function M.looks_secret(variable)
  if owners[variable] then return true end
  local upper = variable:upper()
  for _, word in ipairs(WORDS) do
    if upper:find(word, 1, true) then return true end
  end
  return false
end

--- The environment without what holds a secret, or looks as if it did.
---@return table<string, string>
function M.harmless()
  local copy = {}
  for _, variable in ipairs(native.variables()) do
    if not M.looks_secret(variable) then copy[variable] = os.getenv(variable) end
  end
  return copy
end

return M
