--- The project: the nearest folder with weir.lua, modules/ or .weir/, its settings, its pipelines.

local failure = require "weir.failure"
local paths = require "weir.paths"
local registry = require "weir.registry"
local root_of = require "weir.root"
local settings_of = require "weir.settings"
local system = require "weir.port.system"

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
  if not ok then failure.raise("invalid", "%s", failure.of(settings).message) end
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
  self.settings = read_settings(self)
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

-- What the checker asks of names. A module that is there and broken is told once, in its own words.
local function lookup(self, broken)
  return function(kind, name)
    if kind == "pipeline" then
      if self:pipeline_file(name) then return {} end
      return nil, self:pipeline_names()
    end
    if kind == "group" then return self.settings.groups and self.settings.groups[name] end
    local ok, declared, names = pcall(self.registry.declaration, self.registry, kind, name)
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

--- Loads and checks a definition from a file.
---@param path string
---@param text string|nil instead of reading the file
---@return weir.Definition|nil
---@return weir.DefinitionError[]? errors
function Project:load(path, text)
  local load = require("weir.definition.load").load
  local version, source
  local broken = {}
  local definition, errors = load(path, { text = text, modules = lookup(self, broken), load_lua = function(file, lua)
    local value
    source = lua
    value, version = self.registry:run(file, lua, true)
    return value
  end })
  if definition then
    definition.version = definition.version or version
    definition.text = source
  end
  return with_broken(definition, errors, broken)
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
