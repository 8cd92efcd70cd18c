--- Bindings of a run in which one module has another version than the run began with: what the remedy `version` needs.

local active = require "weir.registry.active"
local binding = require "weir.run.binding"
local failure = require "weir.failure"

local M = {}

-- A version by its beginning, or the one that served before.
local function resolve(registry, full, current, wanted)
  local history = active.history(registry, full, current)
  if wanted == "previous" then
    local before = history[1]
    return before and before.version
  end
  for _, one in ipairs(history) do
    if one.version:sub(1, #wanted) == wanted then return one.version end
  end
  return current:sub(1, #wanted) == wanted and current or nil
end

--- A binding of a run with another version of one module; the run lets it go when it ends. Waits. Raises `not_found` when
--- that version is not kept.
---@param run weir.Run
---@param full string of the module
---@param wanted string a version, the beginning of one, or "previous"
---@return weir.Binding
function M.held(run, full, wanted)
  local registry = run.engine.project.registry
  local current = run.binding.pins[full]
  local version = resolve(registry, full, current, wanted)
  if not version then
    failure.raise("not_found", "there is no version '%s' of '%s' that is kept; `weir modules` lists them", wanted, full)
  end
  local pins = {}
  for name, pinned in pairs(run.binding.pins) do pins[name] = pinned end
  pins[full] = version
  local held = binding.hold_all(run.engine, run.plan, pins)
  run.superseded = run.superseded or {}
  run.superseded[#run.superseded + 1] = held
  return held
end

return M
