--- Writes what changes often into the store, some seconds later and together: whoever says that a key has changed is not
--- kept waiting, and a key that changes a hundred times meanwhile is written once. A process that is killed loses what
--- changed in those seconds, and nothing else.

local default_clock = require "weir.port.clock"
local native = require "weir.native.scheduler"
local values = require "weir.value"

local M = {}

local SECONDS = 2
local BATCH = 200 -- operations of one transaction

---@class weir.Keeper
---@field problem string|nil why the latest writing failed; it is tried again
local Keeper = {}
Keeper.__index = Keeper

--- A keeper. Without a store nothing is kept.
---@param store weir.Store|nil
---@param clock table|nil wall_ms(), now(), sleep(seconds)
---@param seconds number|nil from a change to its writing, default 2
---@return weir.Keeper
function M.new(store, clock, seconds)
  return setmetatable({ store = store, clock = clock or default_clock, seconds = seconds or SECONDS, changed = {} }, Keeper)
end

-- A task of nobody: what is written later does not belong to the step that changed it.
local function write_later(self)
  if self.task or self.is_closed then return end
  self.task = native.spawn_root(function()
    native.set_context(nil)
    self.clock.sleep(self.seconds)
    self.task = nil
    self:flush()
  end)
end

local function note(self, space, key, change)
  self.changed[space .. " " .. key] = change
end

--- Has a key written soon. Does not wait.
---@param space string
---@param key string
---@param make fun(): any gives the value at the moment when it is written
function Keeper:put(space, key, make)
  if not self.store then return end
  note(self, space, key, { space = space, key = key, make = make })
  write_later(self)
end

--- Has a key removed soon. Does not wait.
function Keeper:delete(space, key)
  if not self.store then return end
  note(self, space, key, { space = space, key = key })
  write_later(self)
end

local function operation_of(change)
  if change.make then return { op = "put", space = change.space, key = change.key, value = change.make() } end
  return { op = "delete", space = change.space, key = change.key }
end

local function write(self, batch)
  local operations = {}
  for index, change in ipairs(batch) do operations[index] = operation_of(change) end
  local results, message, code = self.store:batch(operations)
  if results then return true end
  for _, change in ipairs(batch) do -- what has changed again meanwhile is newer
    if self.changed[change.space .. " " .. change.key] == nil then note(self, change.space, change.key, change) end
  end
  return nil, message, code
end

-- In the order of their keys, so that equal changes give equal transactions.
local function take_all(self)
  local names, batches = values.names(self.changed), {}
  for index, name in ipairs(names) do
    local number = (index - 1) // BATCH + 1
    batches[number] = batches[number] or {}
    table.insert(batches[number], self.changed[name])
  end
  self.changed = {}
  return batches
end

--- Writes all that has changed. Waits.
---@return true|nil
---@return string|nil message
---@return string|nil code as `store:batch`
function Keeper:flush()
  local problem, code
  for _, batch in ipairs(take_all(self)) do
    local ok, message, its_code = write(self, batch)
    if not ok then problem, code = message, its_code end
  end
  self.problem = problem
  if not problem then return true end
  write_later(self)
  return nil, problem, code
end

--- Writes what is left and ends. To be called before the store is closed. Waits. Safe twice.
---@return true|nil
---@return string|nil message
---@return string|nil code
function Keeper:close()
  if self.is_closed then return true end
  self.is_closed = true
  if self.task then
    self.task:cancel "nothing more is kept"
    self.task:join()
    self.task = nil
  end
  return self:flush()
end

return M
