--- What all checks of a definition stand on: the errors that are noted, the names that exist, and what may stand in any
--- field: a module with its options, a value with paths, a condition, a duration, a schema. Pure; never yields.

local duration = require "weir.duration"
local json = require "weir.native.json"
local normal = require "weir.definition.normal"
local path = require "weir.path"
local schema = require "weir.schema"
local scope = require "weir.definition.scope"
local suggest = require "weir.suggest"
local value_of = require "weir.value"

local M = {}

---@class weir.Checker
---@field root table                    the normal form
---@field errors weir.DefinitionError[] as they were found
---@field lookup weir.Lookup|nil        nil: names are not checked
---@field all_steps table<string, true> names of the steps, wherever they stand
---@field all_groups table<string, true> names of the groups of the definition itself
local Checker = {}
Checker.__index = Checker

local function note_steps(value, names)
  if type(value) ~= "table" then return end
  for key, inner in pairs(value) do
    if (key == "steps" or key == "branches") and json.is_list(inner) then
      for _, step in ipairs(inner) do
        if type(step) == "table" and type(step.name) == "string" then names[step.name] = true end
      end
    elseif key == "each" and type(inner) == "table" and type(inner.name) == "string" then
      names[inner.name] = true
    end
    if key == "groups" or type(key) == "number" or key == "steps" or key == "map" or key == "speculate" or key == "each"
      or key == "branches" then
      note_steps(inner, names)
    end
  end
end

local function note_groups(groups, names)
  for _, group in ipairs(type(groups) == "table" and groups or {}) do
    if type(group) == "table" and type(group.name) == "string" then names[group.name] = true end
  end
end

---@param data table the normal form
---@param sources weir.Sources
---@param lookup weir.Lookup|nil
---@return weir.Checker
function M.new(data, sources, lookup)
  local self = setmetatable({ root = data, sources = sources, errors = {}, all_steps = {}, all_groups = {}, validators = {},
    lookup = lookup }, Checker)
  note_steps(data, self.all_steps)
  note_groups(data.groups, self.all_groups)
  return self
end

--- Keys of the normal form, further in.
---@param keys (string|integer)[]
---@param ... string|integer indexes from 0
---@return (string|integer)[]
function M.below(keys, ...)
  local result = table.move(keys, 1, #keys, 1, {})
  for _, key in ipairs { ... } do result[#result + 1] = key end
  return result
end

local below = M.below

--- Where a path stands: what it sees, and what runs beside it, for the message.
---@param seen table<string, true>
---@param beside table<string, true>|nil
---@param itself string|nil the step's name
---@return { seen: table, beside: table, itself: string? }
function M.place(seen, beside, itself)
  return { seen = seen, beside = beside or {}, itself = itself }
end

--- Notes an error.
---@param keys (string|integer)[]
---@param what string what follows the field's name, such as `is unknown`
---@param extra { code: string?, did_you_mean: string?, plain: boolean? }|nil plain: `what` stands alone
function Checker:refuse(keys, what, extra)
  self.errors[#self.errors + 1] = normal.error_at(self.root, keys, what, self.sources, extra)
end

--- Notes an error that does not begin with the field's name.
---@param keys (string|integer)[]
---@param what string
---@param code string|nil
---@param meant string|nil the name that may have been meant
function Checker:refuse_plainly(keys, what, code, meant)
  self:refuse(keys, what, { plain = true, code = code, did_you_mean = meant })
end

-- Names of modules and pipelines -----------------------------------------------------------------

--- What a name stands for. The caller's lookup gives the declaration; or nil and the names it knows; or nil alone where it
--- cannot tell, and then nothing is said.
---@param kinds string[] the first is what a message calls it
---@param name any
---@param keys (string|integer)[]
---@return table|nil declared
function Checker:find(kinds, name, keys)
  if not self.lookup or type(name) ~= "string" then return nil end
  local known = {}
  for _, kind in ipairs(kinds) do
    local declared, names = self.lookup(kind, name)
    if declared then return declared end
    if not names then return nil end
    table.move(names, 1, #names, #known + 1, known)
  end
  local what = ("%s '%s' is unknown"):format(kinds[1], name)
  if #known == 0 then what = what .. (", and no %s is registered"):format(kinds[1]) end
  self:refuse_plainly(keys, what, "not_found", suggest.nearest(name, known))
  return nil
end

local function validator(self, declared)
  local ready = self.validators[declared]
  if ready then return ready end
  local whole = schema.object(declared.options or {})
  ready = whole and schema.compile(whole)
  self.validators[declared] = ready
  return ready
end

--- Options against what their module declares. Its own mistake there is told when the module is loaded, not here.
---@param declared table|nil
---@param options table|nil
---@param keys (string|integer)[]
function Checker:check_options(declared, options, keys)
  local validate = declared and validator(self, declared)
  if not validate then return end
  local fits, errors = validate(scope.union(declared.defaults or {}, options or {}))
  for _, entry in ipairs(fits and {} or errors) do
    self:refuse(below(keys, table.unpack(entry.keys)), entry.what, { did_you_mean = entry.did_you_mean })
  end
end

--- A module of one of some kinds: `use` and `options`.
function Checker:check_use(kinds, use, keys)
  if not use then return end
  local declared = self:find(kinds, use.use, below(keys, "use"))
  self:check_options(declared, use.options, below(keys, "options"))
end

--- An agent: `agent` and `options`.
function Checker:check_agent(holder, keys)
  if not holder then return end
  local declared = self:find({ "agent" }, holder.agent, below(keys, "agent"))
  self:check_options(declared, holder.options, below(keys, "options"))
end

--- Names of one kind.
function Checker:find_each(kind, names, keys)
  for index, name in ipairs(names or {}) do self:find({ kind }, name, below(keys, index - 1)) end
end

-- Paths, conditions, text, durations -------------------------------------------------------------

local function why_unseen(self, name, place)
  if name == place.itself then return "is this step's own output and not there yet" end
  if place.beside[name] then return "runs beside it; a path sees only what ran in the groups before" end
  if self.all_steps[name] then return "does not run before it, or is inside another step" end
  return "is no step here"
end

local function check_references(self, references, keys, place)
  for _, reference in ipairs(references) do
    local name = reference.root
    if name and not place.seen[name] then
      local reason = why_unseen(self, name, place)
      local meant = suggest.nearest(name, value_of.names(place.seen))
      if self.all_steps[name] then meant = nil end
      local at = reference.at ~= "" and reference.at .. ": " or ""
      local what = ("%spath '%s' needs '%s', which %s"):format(at, reference.path, name, reason)
      self:refuse_plainly(keys, ("%s: %s"):format(keys[#keys], what), "not_found", meant)
    end
  end
end

--- A value with paths in it, which see what is at its place.
function Checker:check_value(value, keys, place)
  if value == nil then return end
  local evaluate, references = path.compile_value(value)
  if not evaluate then return self:refuse_plainly(keys, ("%s: %s"):format(keys[#keys], references)) end
  check_references(self, references, keys, place)
end

--- A condition on what is not StepData: only that it can be read is looked at.
---@return table|nil compiled
function Checker:check_text_of_condition(text, keys)
  if text == nil then return end
  local compiled, message = require("weir.condition").compile(text)
  if compiled then return compiled end
  self:refuse_plainly(keys, ("%s: %s"):format(keys[#keys], message))
end

--- A condition on StepData.
function Checker:check_condition(text, keys, place)
  local compiled = self:check_text_of_condition(text, keys)
  if compiled then check_references(self, compiled.references, keys, place) end
end

--- A time span.
function Checker:check_duration(value, keys)
  if value == nil then return end
  local seconds, message = duration.parse(value)
  if not seconds then self:refuse_plainly(keys, ("%s: %s"):format(keys[#keys], message)) end
end

--- A JSON Schema, or its short form.
function Checker:check_schema(value, keys)
  if value == nil then return end
  local compiled, message = schema.compile(value)
  if not compiled then self:refuse_plainly(keys, ("%s: %s"):format(keys[#keys], message)) end
end

return M
