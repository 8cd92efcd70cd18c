--- The models that a project can ask, by name: those of its settings, and every model module as it is.
--- `local/NAME` is the module NAME that needs no network, or the extractive one with the method NAME. Never waits but for a
--- module's first load.

local failure = require "weir.failure"
local salience = require "weir.text.salience"
local suggest = require "weir.suggest"

local M = {}

M.DEFAULT = "local/textrank"

local EXTRACTIVE = "extractive" -- the module whose methods are models of their own
local METHOD = {}
for _, method in ipairs(salience.methods) do METHOD["local/" .. method] = method end

---@class weir.model.Entry
---@field name string
---@field module string       full name, such as "models/openai"
---@field provider string     what limits and breakers are shared by, default the module's name
---@field options table
---@field price table|nil     usd per 1,000,000 tokens: {input, output, cached}
---@field limits table|nil    {requests_per_minute, tokens_per_minute, concurrency, context}
---@field weight number|nil
---@field capabilities table  {tools, schema, stream}
---@field key string|nil      the secret it is asked with, for budgets

---@class weir.model.Catalog
local Catalog = {}
Catalog.__index = Catalog

--- The catalog of a project. Settings are read when they are asked for.
---@param project weir.Project
---@return weir.model.Catalog
function M.new(project)
  return setmetatable({ project = project }, Catalog)
end

local function declared(self, use)
  local entry, err = self.project.registry:lookup("model", use)
  if entry then return entry.module end
  error(err, 0)
end

local function made(self, name, use, given)
  local module = declared(self, use)
  local options = given.options or {}
  return { name = name, module = "models/" .. use, provider = given.provider or use, options = options,
    price = given.price or module.price, limits = given.limits, weight = given.weight,
    capabilities = given.capabilities or module.capabilities or {}, key = options.secret }
end

--- All names that can be asked for, sorted.
---@return string[]
function Catalog:names()
  local seen, names = {}, {}
  local function add(name)
    if not seen[name] then seen[name], names[#names + 1] = true, name end
  end
  for name in pairs(self.project.settings.models or {}) do add(name) end
  for _, name in ipairs(self.project.registry:names "model") do
    if not declared(self, name).is_local then
      add(name)
    elseif name == EXTRACTIVE then
      for local_name in pairs(METHOD) do add(local_name) end
    else
      add("local/" .. name)
    end
  end
  table.sort(names)
  return names
end

--- A model by its name. Raises `not_found`, `invalid` (its module cannot be loaded).
---@param name string
---@return weir.model.Entry
function Catalog:find(name)
  local given = (self.project.settings.models or {})[name]
  if given then return made(self, name, given.use, given) end
  if METHOD[name] then return made(self, name, EXTRACTIVE, { options = { method = METHOD[name] } }) end
  local use = name:match "^local/(.+)$" or name
  if self.project.registry:lookup("model", use) then return made(self, name, use, {}) end
  local names = self:names()
  failure.raise("not_found", "model '%s' is unknown%s; there are %s", name, suggest.hint(name, names), table.concat(names, ", "))
end

--- The models that the settings name; without any, those that need nothing.
---@return weir.model.Entry[] sorted by name
function Catalog:all()
  local settings, list = self.project.settings.models or {}, {}
  for _, name in ipairs(self:names()) do
    if settings[name] or next(settings) == nil and name:find "^local/" then list[#list + 1] = self:find(name) end
  end
  return list
end

--- Whether a name can be asked for.
---@param name string
---@return boolean
function Catalog:has(name)
  return METHOD[name] ~= nil or (self.project.settings.models or {})[name] ~= nil
    or self.project.registry:lookup("model", (name:gsub("^local/", ""))) ~= nil
end

local function fits(entry, needs)
  for _, need in ipairs(needs or {}) do
    if entry.capabilities[need] == false then return false end
  end
  return true
end

--- What a step's `model` names: the models to choose from and who chooses. Raises `not_found`, `invalid`.
---@param spec string|{ candidates: string[]?, policy: string?, options: table?, needs: string[]? }|nil nil: the setting `model`
---  candidates: a name that ends with `?` is left out where no model is called that
---@return weir.model.Entry[] candidates
---@return { use: string, options: table }|nil policy nil: in the order in which they stand
function Catalog:choice(spec)
  spec = spec or self.project.settings.model or M.DEFAULT
  if type(spec) == "string" then return { self:find(spec) } end
  local candidates = {}
  for _, name in ipairs(spec.candidates or { self.project.settings.model or M.DEFAULT }) do
    local optional = name:match "^(.*)%?$"
    local entry = (not optional or self:has(optional)) and self:find(optional or name)
    if entry and fits(entry, spec.needs) then candidates[#candidates + 1] = entry end
  end
  if #candidates == 0 and not spec.needs then
    failure.raise("not_found", "none of the models %s is there; name one in `models` of weir.lua", table.concat(spec.candidates, ", "))
  elseif #candidates == 0 then
    failure.raise("not_found", "no model of %s can do %s", table.concat(spec.candidates or {}, ", "), table.concat(spec.needs or {}, ", "))
  end
  return candidates, spec.policy and { use = spec.policy, options = spec.options or {} } or nil
end

return M
