--- Modules by kind and name, in versions. A version is the content hash of a module's source and of the
--- files of the user that it requires; the library is never part of it. A module is loaded aside, its
--- contract is checked, and only then is it swapped in; if anything fails, the old version keeps serving.

local failure = require "weir.failure"
local json = require "weir.native.json"
local kinds = require "weir.registry.kinds"
local native = require "weir.native.registry"
local paths = require "weir.paths"
local scheduler = require "weir.native.scheduler"
local schema = require "weir.schema"
local source = require "weir.registry.source"
local system = require "weir.port.system"

local M = { version_of = source.version_of }

local SHORT = 12 -- characters of a hash that people see

---@class weir.RegistryEntry a version of a module
---@field kind string
---@field name string
---@field module table
---@field version string
---@field file string|nil    nil: it was put there, and has no source
---@field text string|nil
---@field used weir.SourceFile[]|nil
---@field options table      JSON Schema
---@field states table<string, { value: any, options: table }> what `setup` returned, by options
---@field loaded_at integer  ms since 1970

---@class weir.Registry
---@field roots string[]     folders that hold modules/ and pipelines/, the user's before the built-in ones
---@field versions userdata  of the host: names to entries
---@field generation integer grows with each swap
---@field changes integer grows each time that files are told to have changed
---@field failed table<string, { err: table, needs: table<string, boolean> }> what could not be loaded when last tried, by
---   full name; pipelines as "pipelines/NAME"
---@field definitions table<string, weir.Definition> active pipelines by name
---@field store weir.Store|nil where it is kept what serves instead of a file, see `weir.registry.active`
---@field observers table<function, boolean> called with each report of `weir.registry.reload`
---@field counts table<string, { reloaded: integer, failed: integer }> since the process began, by full name
---@field idle table<weir.Binding, boolean> that no run holds and that the next one would
---@field provide nil|fun(kind: string, name: string): string?, string? the text of a module that has no file, and what messages call
---   it: a registered skill, see `weir.skill`
---@field provided nil|fun(kind: string): string[] names of all that `provide` gives
---@field choose nil|fun(full: string, loaded: table): table what is to serve when a file was loaded first
---@field pipeline nil|fun(name: string): weir.Definition?, table? the project's, see `Project:pipeline`
---@field load_definition nil|fun(kept: table): weir.Definition the project's, see `Project:definition_of`
---@field load_pipeline nil|fun(name: string, overlay: table?): weir.Definition?, table? the project's, see `Project:load_aside`
local Registry = {}
Registry.__index = Registry

--- The registry of a project.
---@param roots string[] folders that hold modules/, the user's before the built-in ones
---@return weir.Registry
function M.new(roots)
  local all = {}
  for _, root in ipairs(roots) do all[#all + 1] = root end
  all[#all + 1] = paths.library
  return setmetatable({ roots = all, versions = native.new(), generation = 0, failed = {}, definitions = {}, observers = {},
    changes = 0, idle = {}, counts = {} }, Registry)
end

--- Calls a function with the report of each reload, also of one that failed.
---@param observer fun(report: weir.ReloadReport)
---@return fun() stop
function Registry:observe(observer)
  self.observers[observer] = true
  return function() self.observers[observer] = nil end
end

--- Runs the text of a file of the user in an environment of its own, for at most 1 s. Waits. Raises what it raises.
---@param file string for messages
---@param text string
---@param is_repeatable boolean|nil for pipelines, see `environment.new`
---@param trace weir.Trace|nil gets what it requires, also when it fails
---@param kept weir.SourceFile[]|nil what it may require besides the library; default: the project's files as they are
---@return any value what it returns
---@return string version
---@return weir.SourceFile[] used files it required
function Registry:run(file, text, is_repeatable, trace, kept)
  trace = trace or source.trace()
  local find = kept and source.kept_finder(kept) or source.finder(self.roots)
  local value, version = source.run(file, text, { find = find, trace = trace, is_repeatable = is_repeatable })
  return value, version, trace.used
end

local function where(err)
  local file, line, message = tostring(err):match "^(.-):(%d+): (.*)$"
  if not file then return { message = tostring(err) } end
  return { file = file, line = math.tointeger(line), message = message }
end

local TOLD = { timeout = true, limit = true } -- codes that say more than `invalid`

local function load_failed(kind, name, path, err)
  local found = failure.of(err)
  local place = where(found.message)
  local result = failure.new(TOLD[found.code] and found.code or "invalid", "%s '%s' cannot be loaded: %s%s", kind, name,
    place.file and ("%s:%d: "):format(place.file, place.line) or path .. ": ", place.message)
  result.file, result.line = place.file or path, place.line
  return result
end

local function check_options(module)
  if module.options == nil then return { type = "object" }, nil end
  local whole, message = schema.object(module.options)
  if not whole then return nil, "options: " .. message end
  local validate, why = schema.compile(whole)
  if not validate then return nil, "options: " .. why end
  return whole, validate
end

local function entry_of(kind, name, fields)
  local options, validate = check_options(fields.module)
  if not options then return nil, validate end
  fields.kind, fields.name, fields.options, fields.validate = kind, name, options, validate
  fields.states, fields.loaded_at = {}, scheduler.wall_ms()
  return fields
end

-- The entry of a text, with its contract checked.
local function entry_of_text(self, kind, name, place)
  local ok, module, version = xpcall(self.run, failure.explain, self, place.file, place.text, false, place.trace, place.kept)
  if not ok then return nil, load_failed(kind, name, place.file, module) end
  local refusal = kinds.refusal(module, kind, name)
  if refusal then return nil, load_failed(kind, name, place.file, ("%s:1: %s"):format(place.file, refusal)) end
  local entry, why = entry_of(kind, name, { module = module, version = version, file = place.file, text = place.text,
    used = place.trace.used })
  if not entry then return nil, load_failed(kind, name, place.file, ("%s:1: %s"):format(place.file, why)) end
  return entry
end

local function full_name(kind, name)
  return kinds.kinds[kind].folder .. "/" .. name
end

local function relative_of(kind, name)
  return ("modules/%s.lua"):format(full_name(kind, name))
end

-- What a change of which may change what a file gives: paths below a root.
local function needs_of(relative, trace)
  local needs = { [relative] = true }
  for _, file in ipairs(trace.used) do needs[source.relative(file.name)] = true end
  for _, name in ipairs(trace.missing or {}) do needs[source.relative(name)] = true end
  return needs
end

M.needs_of = needs_of

--- Notes what became of loading something aside.
---@param full string
---@param err table|nil
---@param relative string|string[] of its own file, or of all that could be it
---@param trace weir.Trace
function Registry:note_load(full, err, relative, trace)
  if not err then
    self.failed[full] = nil
    return
  end
  local needs = {}
  for _, path in ipairs(type(relative) == "table" and relative or { relative }) do
    for found in pairs(needs_of(path, trace)) do needs[found] = true end
  end
  self.failed[full] = { err = err, needs = needs }
end

--- The paths, below any root, of the files that an entry was made of.
---@param entry weir.RegistryEntry
---@return table<string, boolean>
function M.needs(entry)
  return needs_of(relative_of(entry.kind, entry.name), { used = entry.used or {} })
end

--- Loads a module's file and checks its contract; what is active stays as it is. What went wrong is remembered until it
--- goes right. Waits.
---@param kind string
---@param name string
---@return weir.RegistryEntry|nil
---@return table|nil err {code, message, file, line}: `not_found`, `invalid`, `timeout`
function Registry:load_aside(kind, name)
  local relative, full, trace = relative_of(kind, name), full_name(kind, name), source.trace()
  local text, path = source.find(self.roots, relative)
  if not text and self.provide then text, path = self.provide(kind, name) end
  if not text then return nil, failure.new("not_found", "%s '%s' is not registered", kind, name) end
  local entry, err = entry_of_text(self, kind, name, { file = path, text = text, trace = trace })
  self:note_load(full, err, relative, trace)
  return entry, err
end

-- A version that is here already stays the one that it is, with its states.
local function keep(self, entry)
  local full = full_name(entry.kind, entry.name)
  local known = self.versions:lookup(full, entry.version)
  if known then return known end
  self.versions:register(full, entry.version, entry)
  return entry
end

--- Makes entries the active ones of their names, all at once. Does not wait.
---@param entries weir.RegistryEntry[]
---@return weir.RegistryEntry[] entries that serve now; one of a version that was here is the one that was here
function Registry:swap(entries)
  local active = {}
  for index, entry in ipairs(entries) do
    active[index] = keep(self, entry)
    self.versions:activate(full_name(entry.kind, entry.name), entry.version)
  end
  self.generation = self.generation + 1
  local idle = self.idle
  self.idle = {}
  for binding in pairs(idle) do binding:drop() end
  return active
end

--- The active version of a module; loads its file when it is asked for the first time. Waits then.
---@param kind string
---@param name string
---@return weir.RegistryEntry|nil
---@return table|nil err {code, message, file, line}
function Registry:lookup(kind, name)
  local full = full_name(kind, name)
  return self:first(full, function() return (self.versions:lookup(full)) end, function() return self:load_aside(kind, name) end,
    function(loaded) self:swap { loaded } end)
end

-- Nothing is lost between the look at whether files have changed and the swap.
local function take(self, changes, current, loaded, activate)
  if self.changes == changes and not current() then activate(loaded) end
end

--- What serves; else what its file says is loaded and made active, again when files were told to have changed meanwhile:
--- a reload does not know yet what is being loaded for the first time. Waits.
---@param full string
---@param current fun(): table|nil what serves
---@param load fun(): table|nil, table|nil
---@param activate fun(loaded: table) does not wait
---@return table|nil
---@return table|nil err
function Registry:first(full, current, load, activate)
  local serving = current()
  while not serving do
    local changes = self.changes
    local loaded, err = load()
    if loaded and self.choose then loaded = self.choose(full, loaded) end
    if loaded then
      scheduler.atomic(take, self, changes, current, loaded, activate)
    elseif self.changes == changes then
      return nil, err
    end
    serving = current() -- perhaps somebody else was faster
  end
  return serving
end

--- A version from its kept sources, loaded and checked like any other; it is not active. Waits.
---@param kind string
---@param name string
---@param kept { text: string, file: string, used: weir.SourceFile[]? }
---@return weir.RegistryEntry|nil
---@return table|nil err
function Registry:load_kept(kind, name, kept)
  local trace = source.trace()
  local used = kept.used ~= json.null and kept.used or {}
  local entry, err = entry_of_text(self, kind, name, { file = kept.file, text = kept.text, trace = trace, kept = used })
  return entry and keep(self, entry), err
end

--- Puts a version back from its kept sources, for a run that is pinned to it. Waits. Raises when it cannot be loaded.
---@param kind string
---@param name string
---@param version string
---@param kept { text: string, file: string, used: weir.SourceFile[]? }
---@return weir.RegistryEntry
function Registry:restore(kind, name, version, kept)
  local entry = self.versions:lookup(full_name(kind, name), version)
  if entry then return entry end
  local err
  entry, err = self:load_kept(kind, name, kept)
  if not entry then error(err, 0) end
  if entry.version ~= version then
    failure.raise("corrupt", "%s '%s': what is kept of version %s is not what it was", kind, name, version:sub(1, SHORT))
  end
  return entry
end

--- Puts a module that has no file, such as a stand-in of a test, in the place of any other of its name.
---@param module table as a module's file would return it
function Registry:put(module)
  local entry, why = entry_of(module.kind, module.name, { module = module, version = ("memory %p"):format(module) })
  if not entry then failure.raise("invalid", "%s '%s': %s", module.kind, module.name, why) end
  return self:swap({ entry })[1]
end

--- Splits "agents/echo" into kind and name.
function M.split(full)
  local folder, name = full:match "^([^/]+)/(.+)$"
  return kinds.folders[folder], name
end

--- A module by its full name, such as "agents/echo", and optionally a version that is loaded already.
---@return table|nil entry
---@return table|nil err
function Registry:get(full, version)
  if version then
    local entry = self.versions:lookup(full, version)
    if entry then return entry end
    return nil, failure.new("not_found", "'%s' version %s is not loaded", full, version:sub(1, SHORT))
  end
  return self:lookup(M.split(full))
end

--- The options of a use of a module: its defaults, under the project's, under the step's.
---@param entry table
---@param project table|nil from weir.lua
---@param given table|nil from the step
---@return table
function Registry:options(entry, project, given)
  local merged = {}
  for _, layer in ipairs { project or {}, given or {} } do
    for name, value in pairs(layer) do merged[name] = value end
  end
  merged = schema.defaults(entry.options, merged)
  if entry.validate then
    local ok, errors = entry.validate(merged, "options")
    if not ok then failure.raise("invalid", "%s '%s': %s", entry.kind, entry.name, errors[1].message) end
  end
  return merged
end

--- Under which key a version keeps its state of certain options.
---@param options table
---@return string
function Registry.state_key(options)
  return json.encode(options, { canonical = true })
end

--- The state of a version under certain options, set up when it is first asked for. `setup` may not wait.
function Registry:state(entry, options)
  if not entry.module.setup then return nil end
  local key = self.state_key(options)
  if not entry.states[key] then
    entry.states[key] = { value = scheduler.atomic(entry.module.setup, options, nil), options = options }
  end
  return entry.states[key].value
end

local function module_names(folder)
  local names = {}
  for _, file in ipairs(system.file_names(folder)) do names[#names + 1] = file:match "^([a-z][a-z0-9_]*)%.lua$" end
  return names
end

--- The names of all modules of a kind that have a file, and of skills.
---@param kind string
---@return string[]
function Registry:names(kind)
  local seen, names = {}, {}
  local function add(list)
    for _, name in ipairs(list) do
      if not seen[name] then
        seen[name] = true
        names[#names + 1] = name
      end
    end
  end
  for _, root in ipairs(self.roots) do add(module_names(root .. "/modules/" .. kinds.kinds[kind].folder)) end
  if self.provided then add(self.provided(kind)) end
  table.sort(names)
  return names
end

--- What the checker of definitions asks: the declaration of a module, or nil and the names of its kind, or
--- nil alone when nothing of that kind is there to compare with.
---@return table|nil declaration {options}
---@return string[]|nil names
---@param overlay table<string, weir.RegistryEntry>|nil entries by full name that are about to be active
function Registry:declaration(kind, name, overlay)
  if not kinds.kinds[kind] then return nil end
  local entry, err = overlay and overlay[full_name(kind, name)], nil
  if not entry then entry, err = self:lookup(kind, name) end
  if entry then return { options = entry.module.options } end
  if err.code ~= "not_found" then error(err, 0) end
  local names = self:names(kind)
  return nil, #names > 0 and names or nil
end

return M
