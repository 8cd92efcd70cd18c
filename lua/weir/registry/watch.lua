--- Watches the folders of a project and tells which files have changed: modules/ and pipelines/ with what is below
--- them, the folders of the files that these require, and the project's own for folders that come and go. Nothing is
--- looked at until the system says that something has happened.

local failure = require "weir.failure"
local native = require "weir.native.scheduler"
local paths = require "weir.paths"
local port = require "weir.port.watch"
local reload = require "weir.registry.reload"
local source = require "weir.registry.source"
local system = require "weir.port.system"

local M = {}

local SETTLE = 0.03 -- seconds from the first event of a burst until it is looked at
local NOISE = 10 -- seconds; longer than it takes to go through all that the system holds
local TREES = { "modules", "pipelines" }
local EXTENSIONS = { lua = true, yaml = true, yml = true, json = true }

---@class weir.RegistryWatch
local Watch = {}
Watch.__index = Watch

local function is_file_of_user(name)
  local extension = name:match "^[^.].*%.(%a+)$"
  return extension ~= nil and EXTENSIONS[extension] == true
end

-- The roots of the user; weir's own files change only with weir, unless they are the project.
local function roots_of(registry)
  local roots = {}
  for index, root in ipairs(registry.roots) do
    if index < #registry.roots or root ~= paths.library then roots[#roots + 1] = root end
  end
  return roots
end

local function add_required(self, wanted, used)
  for _, file in ipairs(used or {}) do
    local folder = source.relative(file.name):match "^(.*)/[^/]*$"
    for _, root in ipairs(folder and self.roots or {}) do wanted[root .. "/" .. folder] = true end
  end
end

-- Folders above a required one are watched too: it may be made later.
local function add_wanted(self, wanted, needs)
  for relative in pairs(needs or {}) do
    local folder = relative:match "^(.*)/[^/]*$"
    while folder do
      for _, root in ipairs(self.roots) do wanted[root .. "/" .. folder] = true end
      folder = folder:match "^(.*)/[^/]*$"
    end
  end
end

local function wanted_folders(self)
  local wanted, registry = {}, self.registry
  for _, root in ipairs(self.roots) do
    wanted[root] = true
    for _, tree in ipairs(TREES) do
      wanted[root .. "/" .. tree] = true
      for _, folder in ipairs(port.folders_below(root .. "/" .. tree)) do wanted[folder] = true end
    end
  end
  for _, found in ipairs(registry.versions:list()) do
    if found.active then add_required(self, wanted, (registry.versions:lookup(found.name)).used) end
  end
  for _, definition in pairs(registry.definitions) do add_required(self, wanted, definition.used) end
  for _, broken in pairs(registry.failed) do add_wanted(self, wanted, broken.needs) end
  return wanted
end

local function note(self, path)
  self.events = self.events + 1
  if path then self.changed[path] = true end
  if self.waiter then self.waiter:wake() end
end

-- What is of no interest fills the system's queue as well: where that may have dropped something, all is looked at.
local function note_noise(self)
  local now = native.now()
  if now - self.noise_since > NOISE then self.noise, self.noise_since = 0, now end
  self.noise = self.noise + 1
  if self.noise < self.overflow then return end
  self.noise, self.is_stale, self.events = 0, true, self.overflow
  if self.waiter then self.waiter:wake() end
end

local function on_event(self, folder, name)
  local path = name and folder .. "/" .. name
  if not path then
    self.is_stale = true
  elseif not is_file_of_user(name) then
    if name:sub(1, 1) == "." then return note_noise(self) end -- of editors, and the store
    self.is_stale = true                     -- a folder may have come or gone, or another stands in its place
    self.moved[path], self.moved[folder] = true, folder:sub(-#name - 1) == "/" .. name or self.moved[folder]
    path = nil
  end
  note(self, path)
end

-- A folder that was made a moment ago may have files that nobody told of.
local function add_files(self, folder)
  for _, name in ipairs(system.file_names(folder)) do
    if is_file_of_user(name) then self.changed[folder .. "/" .. name] = true end
  end
end

local function watch_folder(self, folder)
  local watch, message, code = port.folder(folder, function(name) on_event(self, folder, name) end)
  if watch then
    self.watches[folder] = watch
    if self.is_started then add_files(self, folder) end
  elseif code ~= "not_found" and code ~= "invalid" then
    failure.raise(code, "watching %s", message)
  end
end

local function has_moved(self, folder)
  local at = folder
  while at ~= "" do
    if self.moved[at] then return true end
    at = at:match "^(.*)/[^/]*$" or ""
  end
  return not port.is_folder(folder)
end

-- A watch is of the folder that stood there: one in its place needs another.
local function watch_folders(self)
  self.is_stale = false
  local wanted = wanted_folders(self)
  for folder, watch in pairs(self.watches) do
    if not wanted[folder] or has_moved(self, folder) then
      watch:close()
      self.watches[folder] = nil
    end
  end
  for folder in pairs(wanted) do
    if not self.watches[folder] then watch_folder(self, folder) end
  end
  self.moved = {}
end

-- Events that did not fit the system's queue were dropped: what they told of is looked for.
local function after_overflow(self)
  for folder, watch in pairs(self.watches) do
    watch:close()
    self.watches[folder] = nil
  end
  watch_folders(self) -- which lists their files
  for full_path in pairs(self.seen) do self.changed[full_path] = true end
end

local function await_event(self)
  if next(self.changed) == nil and not self.is_stale then
    self.waiter = native.waiter()
    self.waiter:wait "a change of a file"
    self.waiter = nil
  end
  native.sleep(self.settle)
end

-- The paths of a burst.
local function take(self)
  if self.events >= self.overflow then
    after_overflow(self)
  elseif self.is_stale then
    watch_folders(self)
  end
  local list = {}
  for path in pairs(self.changed) do
    list[#list + 1] = path
    self.seen[path] = true
  end
  self.changed, self.events = {}, 0
  table.sort(list)
  return list
end

--- Begins to watch. Whoever begins ends it with `close`. Does not wait. Raises `limit`, `denied` when a folder cannot be
--- watched.
---@param registry weir.Registry
---@param options { settle: number?, overflow: integer? }|nil settle: seconds from the first event of a burst until it is
---   given, default 0.03; overflow: so many events in a burst may be all that the system holds
---@return weir.RegistryWatch
function M.open(registry, options)
  options = options or {}
  local self = setmetatable({ registry = registry, roots = roots_of(registry), watches = {}, changed = {}, seen = {}, moved = {},
    events = 0, noise = 0, noise_since = 0, settle = options.settle or SETTLE,
    overflow = options.overflow or port.queue_size() // 4 }, Watch)
  local ok, err = pcall(watch_folders, self)
  if not ok then
    self:close()
    error(err, 0)
  end
  self.is_started = true
  return self
end

--- The files that have changed since the last call. Waits until there is one. Folders that have come are watched from now on.
---@return string[] paths in order
function Watch:next()
  while true do
    await_event(self)
    local list = take(self)
    if #list > 0 then return list end
  end
end

--- Looks again at which folders matter: after a reload others may be required.
function Watch:refresh()
  watch_folders(self)
end

--- Ends the watch. Safe twice.
function Watch:close()
  for folder, watch in pairs(self.watches) do
    watch:close()
    self.watches[folder] = nil
  end
end

--- Watches and calls a function with the paths of each burst, until the task is cancelled. Waits.
---@param registry weir.Registry
---@param on_change nil|fun(paths: string[]) default: reloads what depends on them; who observes the registry is told
---@param options table|nil as of `open`
function M.run(registry, on_change, options)
  local watch <close> = setmetatable({ inner = M.open(registry, options) }, { __close = function(self) self.inner:close() end })
  on_change = on_change or function(changed) reload.changed(registry, changed, { via = "watch" }) end
  while true do
    on_change(watch.inner:next())
    watch.inner:refresh()
  end
end

return M
