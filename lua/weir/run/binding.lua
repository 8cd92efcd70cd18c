--- What the names in a plan stand for at a moment: modules and child pipelines in certain versions. Runs of
--- one plan share a binding until a module changes; a flow has one of its own, since it finds out as it goes
--- what it uses. A version is pinned as long as a binding that a run holds names it.

local registry = require "weir.registry"

local M = {}

---@class weir.Binding
---@field modules table<string, table>  by full name, such as "agents/echo"
---@field entries table<string, table>  of the registry, by full name
---@field children table<string, table> plans by the name of their pipeline
---@field pins table<string, string>    versions by full name, child pipelines as "pipelines/NAME"
---@field options table<table, table>   merged options by step
local Binding = {}
Binding.__index = Binding

local function entry_of(self, full, version)
  local entry, err = self.engine.project.registry:get(full, version)
  if entry then return entry end
  local store = self.engine.store
  local kept = version and store and store:get("modules", full .. "@" .. version)
  if not kept then error(err, 0) end
  local kind, name = registry.split(full)
  return self.engine.project.registry:restore(kind, name, version, kept)
end

local function versions(self)
  return self.engine.project.registry.versions
end

-- A critic serves as a judge, and a judge as a critic.
local SIBLING = { judges = "critics/", critics = "judges/" }

local function sibling_of(full)
  local folder, name = full:match "^(.-)/(.*)$"
  return SIBLING[folder] and SIBLING[folder] .. name
end

-- What a name stands for: of a run that goes on, what it stood for when it began.
local function real_name(self, full, pins)
  local sibling = sibling_of(full)
  if not sibling or pins[full] then return full end
  if pins[sibling] then return sibling end
  local entry, err = self.engine.project.registry:get(full)
  if entry or err.code ~= "not_found" then return full end
  return self.engine.project.registry:get(sibling) and sibling or full
end

-- What was added under one name is found under the other as well.
local function by_other_name(entries)
  return setmetatable(entries, { __index = function(_, full)
    local sibling = sibling_of(full)
    return sibling and rawget(entries, sibling)
  end })
end

--- Adds a module, in a version or in the active one. A judge that is not there is looked for among the critics, and the
--- other way round.
---@param full string
---@param version string|nil
---@param pins table<string, string>|nil versions of a run that goes on
---@return table entry of the registry
function Binding:add(full, version, pins)
  full = real_name(self, full, pins or { [full] = version })
  if rawget(self.entries, full) then return self.entries[full] end
  local entry = entry_of(self, full, version or pins and pins[full])
  self.entries[full], self.modules[full], self.pins[full] = entry, entry.module, entry.version
  versions(self):pin(full, entry.version)
  return entry
end

local function load_child(self, name, version)
  local engine = self.engine
  if version and engine.store then return engine:plan_of_version(version) end
  local definition, err = engine.project:pipeline(name)
  if not definition then error(err, 0) end
  return engine:plan_of(definition)
end

-- All that a plan names, and what that names.
local function add_all(self, plan, pins)
  for _, full in ipairs(plan.modules) do
    if not self.modules[full] then self:add(full, pins[full], pins) end
  end
  for _, name in ipairs(plan.pipelines) do
    if not self.children[name] then self:add_child(name, pins["pipelines/" .. name], pins) end
  end
end

--- Adds a child pipeline and all that it uses.
---@param name string
---@param version string|nil
---@param pins table<string, string>|nil versions of what it uses
---@return table plan
function Binding:add_child(name, version, pins)
  local child = load_child(self, name, version)
  self.children[name] = child
  self.pins["pipelines/" .. name] = child.version
  add_all(self, child, pins or {})
  return child
end

-- What nobody needs any more leaves the memory; its source is in the store. What has none stays.
local function unpin(self)
  local all = versions(self)
  for full, entry in pairs(self.entries) do
    if all:unpin(full, entry.version) == 0 and entry.text then all:retire(full, entry.version) end
  end
end

-- Of files that are loaded on the way, and of what is active meanwhile, one may have changed before the other was looked
-- at: then all is looked at again, so that a run never has half of a reload.
local function new(engine, plan, pins)
  while true do
    local self = setmetatable({ engine = engine, plan = plan, modules = by_other_name {}, entries = by_other_name {}, children = {},
      pins = {}, options = {}, runs = 0 }, Binding)
    self.generation = engine.project.registry.generation
    local ok, err = pcall(add_all, self, plan, pins)
    if not ok then
      unpin(self)
      error(err, 0)
    end
    if engine.project.registry.generation == self.generation then return self end
    unpin(self)
  end
end

local function is_current(self, engine)
  return self.engine == engine and self.generation == engine.project.registry.generation
end

--- The binding of a plan to what is active now, held for a run.
---@param engine weir.Engine
---@param plan table
---@return weir.Binding
function M.hold(engine, plan)
  if plan.flow then return M.hold_pinned(engine, plan, {}) end
  if not plan.binding or not is_current(plan.binding, engine) then
    local made = new(engine, plan, {})
    local shared = plan.binding -- somebody else may have made one meanwhile
    if shared and is_current(shared, engine) then
      unpin(made)
    else
      plan.binding = made -- whoever has the one before lets go of it
    end
  end
  local shared = plan.binding
  shared.runs = shared.runs + 1
  engine.project.registry.idle[shared] = nil
  return shared
end

local function is_same(pins, others)
  for full, version in pairs(pins) do
    if others[full] ~= version then return false end
  end
  for full in pairs(others) do
    if pins[full] == nil then return false end
  end
  return true
end

--- A binding to given versions, held for a run that goes on.
function M.hold_pinned(engine, plan, pins)
  local shared = plan.binding
  if not plan.flow and shared and is_current(shared, engine) and is_same(shared.pins, pins) then
    shared.runs = shared.runs + 1
    engine.project.registry.idle[shared] = nil
    return shared
  end
  local own = new(engine, plan, pins)
  own.runs = 1
  return own
end

-- A binding of its own, with all modules that the pins name, also those that a flow found on its way.
local function own_of(engine, plan, pins, modules)
  local own = new(engine, plan, pins)
  local ok, err = pcall(function()
    for _, full in ipairs(modules) do
      if not own.modules[full] then own:add(full, pins[full], pins) end
    end
  end)
  if not ok then
    unpin(own)
    error(err, 0)
  end
  own.runs = 1
  return own
end

--- A binding of its own to all that pins name, held for a run.
---@param engine weir.Engine
---@param plan table
---@param pins table<string, string>
---@return weir.Binding
function M.hold_all(engine, plan, pins)
  local modules = {}
  for full in pairs(pins) do
    if not full:find "^pipelines/" then modules[#modules + 1] = full end
  end
  return own_of(engine, plan, pins, modules)
end

--- A binding of its own to what serves now, held by whoever asks.
---@param engine weir.Engine
---@param plan table
---@return weir.Binding
function M.hold_own(engine, plan)
  return own_of(engine, plan, {}, {})
end

--- A binding to the same pipelines and to the modules as they are now, held for a run; nil when these are the same. Waits
--- when one of them has to be loaded.
---@param held weir.Binding
---@return weir.Binding|nil
function M.upgraded(held)
  local registry_of, is_other, modules, pins = held.engine.project.registry, false, {}, {}
  for full, entry in pairs(held.entries) do
    local current = registry_of:get(full) -- nil: it cannot be loaded, and what there is serves on
    is_other = is_other or current ~= nil and current.version ~= entry.version
    modules[#modules + 1] = full
    pins[full] = not current and entry.version or nil
  end
  if not is_other then return nil end
  for full, version in pairs(held.pins) do
    if full:find "^pipelines/" then pins[full] = version end
  end
  local own = own_of(held.engine, held.plan, pins, modules)
  for name, child in pairs(held.children) do -- also those that a flow found on its way
    own.children[name], own.pins["pipelines/" .. name] = child, child.version
  end
  return own
end

--- Lets go of a binding when its run has ended. The one that the next run of its plan would have is kept until something
--- else serves.
function Binding:release()
  self.runs = self.runs - 1
  if self.runs > 0 then return end
  if self.plan.binding ~= self then return unpin(self) end
  if not is_current(self, self.engine) then return self:drop() end
  self.engine.project.registry.idle[self] = true
end

--- Ends a binding that no run holds. The registry calls this when something else serves.
function Binding:drop()
  if self.plan.binding == self then self.plan.binding = nil end
  unpin(self)
end

return M
