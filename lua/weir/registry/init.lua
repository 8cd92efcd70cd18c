--- Modules by kind and name, in versions. A version is the content hash of a module's source and of the
--- files of the user that it requires; the library is never part of it. A module is loaded aside, its
--- contract is checked, and only then is it swapped in; if anything fails, the old version keeps serving.

local environment = require "weir.registry.environment"
local failure = require "weir.failure"
local hash = require "weir.native.hash"
local json = require "weir.native.json"
local kinds = require "weir.registry.kinds"
local native = require "weir.native.registry"
local paths = require "weir.paths"
local scheduler = require "weir.native.scheduler"
local schema = require "weir.schema"
local system = require "weir.port.system"

local M = {}

environment.protect_strings()

local SHORT = 12 -- characters of a hash that people see
local FOREIGN = { cjson = true, lpeg = true, re = true }

---@class weir.Registry
local Registry = {}
Registry.__index = Registry

--- The registry of a project.
---@param roots string[] folders that hold modules/, the user's before the built-in ones
---@return weir.Registry
function M.new(roots)
  local all = {}
  for _, root in ipairs(roots) do all[#all + 1] = root end
  all[#all + 1] = paths.library
  return setmetatable({ roots = all, versions = native.new(), entries = {}, sources = {}, generation = 0 }, Registry)
end

local function read_file(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read "a"
  file:close()
  return text
end

local function find(self, relative)
  for _, root in ipairs(self.roots) do
    local path = root .. "/" .. relative
    local text = read_file(path)
    if text then return text, path end
  end
end

-- What a module may require: the library (never its native modules), a few packages of the system, and
-- the user's own files, which become part of the version.
local function requirer(self, used, loaded, is_repeatable)
  local function require_in_module(name)
    if name == "weir" or (name:find "^weir%." and not name:find "^weir%.native") or FOREIGN[name] then
      return require(name)
    end
    if loaded[name] ~= nil then return loaded[name] end
    local text, path = find(self, name:gsub("%.", "/") .. ".lua")
    if not text then
      error(("module '%s' not found: weir's library, cjson, lpeg and the project's own files can be required"):format(name), 2)
    end
    used[#used + 1] = { name = name, text = text }
    local chunk = assert(load(text, "@" .. path, "t", environment.new(require_in_module, is_repeatable)))
    local value = chunk(name)
    loaded[name] = value == nil and true or value
    return loaded[name]
  end
  return require_in_module
end

--- The version of a text and of the files that it requires: SHA-256, hexadecimal.
---@param text string
---@param used { name: string, text: string }[] gets sorted
---@return string
function M.version_of(text, used)
  if #used == 0 then return hash.sha256(text) end
  table.sort(used, function(a, b) return a.name < b.name end)
  local parts = { hash.sha256(text) }
  for _, file in ipairs(used) do parts[#parts + 1] = file.name .. "=" .. hash.sha256(file.text) end
  return hash.sha256(table.concat(parts, "\n"))
end

--- Runs the text of a file of the user in an environment of its own.
---@param file string for messages
---@param text string
---@param is_repeatable boolean|nil for pipelines, see `environment.new`
---@return any value what it returns
---@return string version
---@return { name: string, text: string }[] used files it required
function Registry:run(file, text, is_repeatable)
  local used = {}
  local world = environment.new(requirer(self, used, {}, is_repeatable), is_repeatable)
  local chunk, message = load(text, "@" .. file, "t", world)
  if not chunk then error(message, 0) end
  return chunk(), M.version_of(text, used), used
end

local function where(err)
  local file, line, message = tostring(err):match "^(.-):(%d+): (.*)$"
  if not file then return { message = tostring(err) } end
  return { file = file, line = math.tointeger(line), message = message }
end

local function load_failed(kind, name, path, err)
  local found = failure.of(err)
  local place = where(found.message)
  local result = failure.new("invalid", "%s '%s' cannot be loaded: %s%s", kind, name,
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

local function load_aside(self, kind, name)
  local relative = ("modules/%s/%s.lua"):format(kinds.kinds[kind].folder, name)
  local text, path = find(self, relative)
  if not text then return nil, failure.new("not_found", "%s '%s' is not registered", kind, name) end
  local ok, module, version, used = xpcall(self.run, failure.explain, self, path, text)
  if not ok then return nil, load_failed(kind, name, path, module) end
  local refusal = kinds.refusal(module, kind, name)
  if refusal then return nil, load_failed(kind, name, path, ("%s:1: %s"):format(path, refusal)) end
  local options, validate = check_options(module)
  if not options then return nil, load_failed(kind, name, path, ("%s:1: %s"):format(path, validate)) end
  return { kind = kind, name = name, module = module, version = version, file = path, text = text, used = used,
    options = options, validate = validate, states = {}, loaded_at = scheduler.wall_ms() }
end

local function full_name(kind, name)
  return kinds.kinds[kind].folder .. "/" .. name
end

local function swap(self, entry)
  local name = full_name(entry.kind, entry.name)
  self.versions:register(name, entry.version, entry)
  self.versions:activate(name, entry.version)
  self.generation = self.generation + 1
  return entry
end

--- The active version of a module; loads its file when it is asked for the first time.
---@param kind string
---@param name string
---@return table|nil entry {kind, name, module, version, file, options}
---@return table|nil err {code, message, file, line}
function Registry:lookup(kind, name)
  local entry = self.versions:lookup(full_name(kind, name))
  if entry then return entry end
  local loaded, err = load_aside(self, kind, name)
  if not loaded then return nil, err end
  return swap(self, loaded)
end

--- Loads the file again. On any failure the old version keeps serving.
---@return table|nil entry
---@return table|nil err
function Registry:reload(kind, name)
  local loaded, err = load_aside(self, kind, name)
  if not loaded then return nil, err end
  return swap(self, loaded)
end

--- Puts a version back from its kept sources, for a run that is pinned to it.
---@param kind string
---@param name string
---@param version string
---@param kept { text: string, file: string, used: table[] }
function Registry:restore(kind, name, version, kept)
  local full = full_name(kind, name)
  local entry = self.versions:lookup(full, version)
  if entry then return entry end
  local loaded = {}
  local by_name = {}
  for _, file in ipairs(kept.used or {}) do by_name[file.name] = file.text end
  local function require_kept(wanted)
    if not by_name[wanted] then return require(wanted) end
    if loaded[wanted] == nil then
      loaded[wanted] = assert(load(by_name[wanted], "@" .. wanted, "t", environment.new(require_kept)))(wanted) or true
    end
    return loaded[wanted]
  end
  local chunk = assert(load(kept.text, "@" .. kept.file, "t", environment.new(require_kept)))
  local module = chunk()
  local options, validate = check_options(module)
  entry = { kind = kind, name = name, module = module, version = version, file = kept.file, text = kept.text, used = kept.used,
    options = options, validate = validate, states = {}, loaded_at = scheduler.wall_ms() }
  self.versions:register(full, version, entry)
  return entry
end

--- Puts a module that has no file, such as a stand-in of a test, in the place of any other of its name.
---@param module table as a module's file would return it
function Registry:put(module)
  local options, validate = check_options(module)
  if not options then failure.raise("invalid", "%s '%s': %s", module.kind, module.name, validate) end
  return swap(self, { kind = module.kind, name = module.name, module = module, version = ("memory %p"):format(module),
    options = options, validate = validate, states = {}, loaded_at = scheduler.wall_ms() })
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

--- The state of a version under certain options, set up when it is first asked for. `setup` may not wait.
function Registry:state(entry, options)
  if not entry.module.setup then return nil end
  local key = json.encode(options, { canonical = true })
  if not entry.states[key] then
    entry.states[key] = { value = scheduler.atomic(entry.module.setup, options, nil) }
  end
  return entry.states[key].value
end

local function module_names(folder)
  local names = {}
  for _, file in ipairs(system.file_names(folder)) do names[#names + 1] = file:match "^([a-z][a-z0-9_]*)%.lua$" end
  return names
end

--- The names of all modules of a kind that have a file.
---@param kind string
---@return string[]
function Registry:names(kind)
  local seen, names = {}, {}
  for _, root in ipairs(self.roots) do
    for _, name in ipairs(module_names(root .. "/modules/" .. kinds.kinds[kind].folder)) do
      if not seen[name] then
        seen[name] = true
        names[#names + 1] = name
      end
    end
  end
  table.sort(names)
  return names
end

--- What the checker of definitions asks: the declaration of a module, or nil and the names of its kind, or
--- nil alone when nothing of that kind is there to compare with.
---@return table|nil declaration {options}
---@return string[]|nil names
function Registry:declaration(kind, name)
  if not kinds.kinds[kind] then return nil end
  local entry, err = self:lookup(kind, name)
  if entry then return { options = entry.module.options } end
  if err.code ~= "not_found" then error(err, 0) end
  local names = self:names(kind)
  return nil, #names > 0 and names or nil
end

return M
