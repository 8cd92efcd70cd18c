--- The project: the nearest folder with weir.lua, modules/ or .weir/, its settings, its pipelines.

local client = require "weir.serve.client"
local clock = require "weir.port.clock"
local failure = require "weir.failure"
local paths = require "weir.paths"
local registry = require "weir.registry"
local root_of = require "weir.root"
local settings_of = require "weir.settings"
local system = require "weir.port.system"
local value_of = require "weir.value"

local M = {}

local EXTENSIONS = { "lua", "yaml", "yml", "json" }

---@class weir.Project
---@field root string
---@field settings table
---@field registry weir.Registry
local Project = {}
Project.__index = Project

local function exists(path)
  local file = io.open(path, "r")
  if file then file:close() end
  return file ~= nil
end

local function read_settings(self)
  local file = self.root .. "/weir.lua"
  if not exists(file) then return {} end
  local handle = assert(io.open(file, "rb"))
  local text = handle:read "a"
  handle:close()
  local ok, settings = pcall(self.registry.run, self.registry, file, text)
  if not ok then
    local message = failure.of(settings).message
    failure.raise("invalid", "%s", message:find(file, 1, true) and message or ("%s: %s"):format(file, message))
  end
  return settings_of.check(file, settings)
end

M.find = root_of.find

--- Opens the project of a folder.
---@param folder string
---@return weir.Project
function M.open(folder)
  local root = root_of.find(folder)
  local self = setmetatable({ root = root, definitions = {} }, Project)
  self.registry = registry.new { root }
  self.registry.load_pipeline = function(name, overlay) return self:load_aside(name, overlay) end
  self.registry.pipeline = function(name) return self:pipeline(name) end
  self.registry.load_definition = function(kept) return self:definition_of(kept) end
  require("weir.skill.provider").attach_at_rest(self)
  self.settings = read_settings(self)
  if not client.host() then require("weir.secret").configure(self.settings.secrets, root) end -- a host's are those of its own project
  return self
end

--- The folder of the store: given, from the environment, from the settings, or .weir/ of the project.
function Project:store_path(given)
  return settings_of.one(self, "store", given).value
end

--- The options the settings give a module.
---@param full string such as "agents/writer"
function Project:options_of(full)
  return self.settings.options and self.settings.options[full]
end

--- The file of a pipeline, given as a file or by name.
---@param name string
---@return string|nil path
---@return string? message
function Project:pipeline_file(name)
  if name:find "[/.]" then
    if exists(name) then return name end
    return nil, ("no such file: %s"):format(name)
  end
  for _, root in ipairs { self.root, paths.library } do
    for _, extension in ipairs(EXTENSIONS) do
      local path = ("%s/pipelines/%s.%s"):format(root, name, extension)
      if exists(path) then return path end
    end
  end
  return nil, ("pipeline '%s' is unknown: there is no %s/pipelines/%s.lua, .yaml or .json"):format(name, self.root, name)
end

--- Whether a pipeline stands in the project itself, not among those that come with weir.
---@param name string
---@return boolean
function Project:is_own_pipeline(name)
  local file = self:pipeline_file(name)
  return file ~= nil and file:sub(1, #self.root + 11) == self.root .. "/pipelines/"
end

--- Names of the project's pipelines.
---@return string[]
function Project:pipeline_names()
  local seen, names = {}, {}
  for _, root in ipairs { self.root, paths.library } do
    for _, file in ipairs(system.file_names(root .. "/pipelines")) do
      local name = file:match "^([a-z][a-z0-9_-]*)%.%a+$"
      if name and not seen[name] then
        seen[name] = true
        names[#names + 1] = name
      end
    end
  end
  table.sort(names)
  return names
end

-- A tool is an agent, a pipeline, or what an MCP server offers: that is asked only when it is needed.
local function tool_declared(self, name, overlay)
  local folder, rest = name:match "^(%a+)/(.+)$"
  if folder == "pipelines" then return self:pipeline_file(rest) and {}, self:pipeline_names() end
  if folder == "mcp" then
    local servers, tool = self.settings.mcp or {}, rest:match "/(.*)$"
    local names = value_of.names(servers)
    for index, server in ipairs(names) do names[index] = ("mcp/%s/%s"):format(server, tool or "*") end
    return servers[rest:match "^[^/]+"] and {}, names
  end
  return self.registry:declaration("agent", folder == "agents" and rest or name, overlay)
end

-- What the checker asks of names. A module that is there and broken is told once, in its own words.
local function lookup(self, broken, overlay)
  return function(kind, name)
    if kind == "pipeline" then
      if self:pipeline_file(name) then return {} end
      return nil, self:pipeline_names()
    end
    if kind == "calendars" then return self.settings.calendars or {} end
    if kind == "group" then return self.settings.groups and self.settings.groups[name] end
    if kind == "model" then
      local models = require("weir.model.catalog").new(self)
      if models:has(name) then return {} end
      return nil, models:names()
    end
    if kind == "tool" then return tool_declared(self, name, overlay) end
    local ok, declared, names = pcall(self.registry.declaration, self.registry, kind, name, overlay)
    if ok then return declared, names end
    local err = declared
    if not broken[err.message] then
      broken[err.message] = true
      broken[#broken + 1] = { file = err.file, line = err.line, code = err.code, message = err.message }
    end
    return nil
  end
end

local function with_broken(definition, errors, broken)
  if #broken == 0 then return definition, errors end
  errors = errors or {}
  table.move(broken, 1, #broken, #errors + 1, errors)
  return nil, errors
end

---@class weir.ProjectLoadOptions
---@field kept weir.SourceFile[]|nil what the file may require besides the library; default: the project's files as they are
---@field trace weir.Trace|nil gets what it requires, also when it fails
---@field overlay table<string, weir.RegistryEntry>|nil modules by full name that are about to be active

--- Loads and checks a definition from a file. Waits.
---@param path string
---@param text string|nil instead of reading the file
---@param options weir.ProjectLoadOptions|nil
---@return weir.Definition|nil
---@return weir.DefinitionError[]? errors
function Project:load(path, text, options)
  options = options or {}
  local load = require("weir.definition.load").load
  local version, source, used
  local broken = {}
  local definition, errors = load(path, { text = text, modules = lookup(self, broken, options.overlay), load_lua = function(file, lua)
    local value
    source = lua
    value, version, used = self.registry:run(file, lua, true, options.trace, options.kept)
    return value
  end })
  if definition then
    definition.version = definition.version or version
    definition.text, definition.used, definition.loaded_at = source, used, clock.wall_ms()
  end
  return with_broken(definition, errors, broken)
end

-- All files that could be the one of a pipeline.
local function candidates(name)
  local relative = {}
  for index, extension in ipairs(EXTENSIONS) do relative[index] = ("pipelines/%s.%s"):format(name, extension) end
  return relative
end

--- The paths, below any root, of files a change of which may change a pipeline.
---@param name string
---@param definition weir.Definition
---@return table<string, boolean>
function Project.needs(name, definition)
  local needs = {}
  for _, relative in ipairs(candidates(name)) do
    for found in pairs(registry.needs_of(relative, { used = definition.used or {} })) do needs[found] = true end
  end
  return needs
end

--- Loads the file of a pipeline and checks it; what is active stays as it is. What went wrong is remembered until it goes
--- right. Waits.
---@param name string
---@param overlay table<string, weir.RegistryEntry>|nil modules by full name that are about to be active
---@return weir.Definition|nil
---@return table|nil err {code, message, file, line, details: weir.DefinitionError[]}
function Project:load_aside(name, overlay)
  local file, message = self:pipeline_file(name)
  if not file then return nil, failure.new("not_found", "%s", message) end
  local trace = { used = {}, missing = {} }
  local definition, errors = self:load(file, nil, { trace = trace, overlay = overlay })
  local err
  if not definition then
    local first = errors[1]
    err = failure.new("invalid", "pipeline '%s' cannot be loaded: %s", name, require("weir.definition.check").format(first))
    err.file, err.line, err.details = first.file or file, first.line, errors
  end
  self.registry:note_load("pipelines/" .. name, err, candidates(name), trace)
  return definition, err
end

--- The active definition of a pipeline: its file as it was loaded first, or by the latest reload. Waits when it is asked for
--- the first time.
---@param name string
---@return weir.Definition|nil
---@return table|nil err as of `load_aside`
function Project:pipeline(name)
  local active = self.registry.definitions
  return self.registry:first("pipelines/" .. name, function() return active[name] end, function() return self:load_aside(name) end,
    function(definition) active[name] = definition end)
end

--- A definition from what the store keeps of it. Waits. Raises `not_found` (a flow that was built in memory), `invalid`.
---@param kept { kind: string, normal: table?, text: string?, used: weir.SourceFile[]?, version: string, file: string? }
---@return weir.Definition
function Project:definition_of(kept)
  if kept.kind ~= "flow" then
    return { kind = "pipeline", name = kept.normal.name, normal = kept.normal, version = kept.version, file = kept.file }
  end
  if not kept.text then
    failure.raise("not_found", "the flow of version %s was built in memory; its source is not kept", kept.version)
  end
  local used = type(kept.used) == "table" and kept.used or nil -- an earlier release kept none
  local definition, errors = self:load(kept.file, kept.text, { kept = used })
  if not definition then failure.raise("invalid", "%s", errors[1].message) end
  return definition
end

--- Checks a definition that was built in Lua. A flow that was built in memory has a version of its own.
---@return weir.Definition|nil
---@return weir.DefinitionError[]? errors
function Project:check(value)
  local broken = {}
  local definition, errors = require("weir.definition.load").value(value, { modules = lookup(self, broken) })
  if definition and not definition.version then
    definition.version = require("weir.native.hash").sha256(("%s %s"):format(definition.name, definition.body))
  end
  return with_broken(definition, errors, broken)
end

return M
