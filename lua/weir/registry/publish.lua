--- Makes loaded versions the active ones, all at once: states are handed over, the change is kept, then all are swapped
--- without a wait in between. Until then the old versions serve; if anything fails, they go on serving.

local active = require "weir.registry.active"
local audit = require "weir.audit"
local failure = require "weir.failure"
local keeping = require "weir.run.keeping"
local limit = require "weir.registry.limit"
local lock_of = require "weir.lock"
local names = require "weir.registry.names"
local native = require "weir.native.scheduler"
local schema = require "weir.schema"
local system = require "weir.port.system"
local task = require "weir.task"
local value_of = require "weir.value"

local M = {}

---@class weir.Change one name that gets another version
---@field full string
---@field new table        an entry of the registry, or a definition
---@field old table|nil    what serves until now
---@field instead_of string|nil the version that the file gives, when another was chosen
---@field history table|nil what served before; default: that of before with `old`
---@field states table|nil of `new`, as `hand_over` makes them

-- One at a time ---------------------------------------------------------------------------------------

--- Calls a function while nobody else changes what is active. Waits for those who do. Raises what it raises.
---@param registry weir.Registry
---@param body fun(...): ...
function M.exclusively(registry, body, ...)
  registry.changing = registry.changing or lock_of.new "a reload"
  return registry.changing:hold(body, ...)
end

-- States ----------------------------------------------------------------------------------------------

-- What somebody has set, and not the old version's defaults.
local function given(entry, options)
  local defaults, set = schema.defaults(entry.options, {}), {}
  for name, value in pairs(options) do
    if not value_of.equal(value, defaults[name]) then set[name] = value end
  end
  return set
end

local function refused(change, err)
  local found = failure.new(err.code == "timeout" and "timeout" or "invalid", "%s '%s': setup: %s", change.new.kind, change.new.name,
    err.message)
  local file, line = err.message:match "^(.-):(%d+): "
  found.file, found.line = err.file or file or change.new.file, err.line or math.tointeger(tonumber(line))
  return found
end

--- Sets a version up for the options that are in use, with the state of the old version. What was set for the old one and
--- does not fit the new one is not handed over. Waits.
---@param registry weir.Registry
---@param change weir.Change gets `states`
---@return table|nil err {code, message, file, line}
function M.hand_over(registry, change)
  local old, new = change.old, change.new
  if not (old and old.states and new.module and new.module.setup) then return nil end
  change.states = {}
  for _, state in pairs(old.states) do
    local fits, options = pcall(registry.options, registry, new, nil, given(old, state.options))
    if fits then
      local ok, value = limit.call(native.atomic, new.module.setup, options, state.value)
      if not ok then return refused(change, value) end
      change.states[registry.state_key(options)] = { value = value, options = options }
    end
  end
end

-- Keeping and swapping --------------------------------------------------------------------------------

local function keep(registry, records, changes, about)
  if not registry.store then return end
  local operations = {}
  for index, change in ipairs(changes) do
    active.operations(change.full, records[index], change, operations)
    if about.action then
      operations[#operations + 1] = audit.operation { by = about.by, via = about.via, action = about.action, what = change.full,
        from = change.old and change.old.version, to = change.new.version }
    end
  end
  local done, message, code = registry.store:batch(operations)
  if not done then failure.raise(code or "failed", "%s", message) end
  local kept = keeping.kept_of(registry.store)
  for _, operation in ipairs(operations) do
    local space = operation.space
    if space == "modules" or space == "definitions" then kept:mark(space .. "/" .. operation.key) end
  end
end

-- Nothing here waits: nobody sees some of the changes and not the others.
local function swap(registry, records, changes)
  local entries = {}
  for _, change in ipairs(changes) do
    local name = names.pipeline(change.full)
    if name then
      local old = registry.definitions[name]
      if old then old.is_replaced = true end -- whoever holds it still begins no run with it
      registry.definitions[name], change.new.is_replaced = change.new, nil
    else
      entries[#entries + 1] = change.new
    end
  end
  registry:swap(entries)
  for index, change in ipairs(changes) do
    for key, state in pairs(change.states or {}) do change.new.states[key] = state end
    active.note(registry, change.full, records[index], change)
    if not names.pipeline(change.full) and change.old and change.old.text then registry.versions:retire(change.full, change.old.version) end
  end
end

-- A version that is here already serves with its own entry.
local function settle(registry, changes)
  for _, change in ipairs(changes) do
    change.old = names.current(registry, change.full)
    if change.new.module then change.new = registry.versions:lookup(change.full, change.new.version) or change.new end
  end
end

--- Sets all up, keeps the change, swaps. Waits for `setup` and the disk. Inside of `exclusively`.
---@param registry weir.Registry
---@param changes weir.Change[]
---@param about { by: string?, via: string?, action: string? } action: what the audit says; nil: nobody did it
---@return table[]|nil failures {full, err}; nil: all serve. Raises when it could not be kept; nothing has changed then
function M.all(registry, changes, about)
  settle(registry, changes)
  local failures = {}
  for _, change in ipairs(changes) do
    local err = M.hand_over(registry, change)
    if err then failures[#failures + 1] = { full = change.full, err = err } end
  end
  if #failures > 0 then return failures end
  local by, at = about.by or system.user_name(), native.wall_ms()
  local ok, err = task.within({ shield = true }, function() -- on disk and in memory, or in neither
    local records = {}
    for index, change in ipairs(changes) do records[index] = active.next(registry, change, at, by) end
    keep(registry, records, changes, about)
    swap(registry, records, changes)
  end)
  if not ok then error(err, 0) end
end

return M
