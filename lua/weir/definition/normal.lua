--- From what was written (built in Lua, or plain data from YAML and JSON) to the normal form: short
--- forms are written out, nothing else is changed or filled in. The result fits the schema of
--- `weir.definition.form`, or all errors are told. Pure; never yields.

local build = require "weir.definition.build"
local form = require "weir.definition.form"
local json = require "weir.native.json"
local lower = require "weir.definition.lower"
local schema = require "weir.schema"
local source = require "weir.source"
local suggest = require "weir.suggest"
local value_of = require "weir.value"

local M = {}

local Expander = {}
Expander.__index = Expander

local KINDS = form.kinds
local GROUP_FIELDS = { name = true, steps = true, join = true, fail_fast = true, branch = true, gate = true }

local function is_object(value)
  return type(value) == "table" and not json.is_list(value)
end

local function fresh(self, value)
  local copy = {}
  for key, inner in pairs(value) do copy[key] = inner end
  if json.is_list(value) then json.list(copy) end
  return self.sources:derive(copy, value)
end

local function note_at(self, place, field, message)
  local entry = { file = self.sources.file, field = field, code = "invalid", message = message }
  if place then entry.file, entry.line, entry.column = place.file, place.line, place.column end
  self.errors[#self.errors + 1] = entry
end

local function note(self, value, key, message)
  note_at(self, key and self.sources:field(value, key) or self.sources:place(value), key, message)
end

-- Short forms of values --------------------------------------------------------------------------

-- A string for a list of one. An empty table where a list belongs is an empty list.
local function as_list(value)
  if type(value) == "string" then return json.list { value } end
  if is_object(value) and next(value) == nil then return json.list {} end
  return value
end

local function as_use(value)
  return type(value) == "string" and { use = value } or value
end

local function as_agent(self, value)
  if type(value) == "string" then return { agent = value } end
  if is_object(value) and value.use ~= nil and value.agent == nil then
    local copy = fresh(self, value)
    copy.agent, copy.use = copy.use, nil
    return copy
  end
  return value
end

local function change(value, key, expand, ...)
  if is_object(value) and value[key] ~= nil then value[key] = expand(value[key], ...) end
end

local function each_item(self, value, expand)
  if not json.is_list(value) then return value end
  local copy = fresh(self, value)
  for index = 1, #copy do copy[index] = expand(self, copy[index]) end
  return copy
end

-- {use, options} where a name and its options stand side by side in the normal form.
local function unfold_use(self, value, key)
  local use = value[key]
  if not is_object(use) or use.use == nil then return end
  for name in pairs(use) do
    if name ~= "use" and name ~= "options" then
      note(self, use, name, ("%s.%s is unknown; known here: use, options"):format(key, name))
    end
  end
  if use.options ~= nil and value.options ~= nil then
    note(self, value, "options", ("options are given twice, beside and inside '%s'"):format(key))
  end
  value[key] = use.use
  if value.options == nil then value.options = use.options end
end

-- Steps ------------------------------------------------------------------------------------------

local expand_step, expand_members

-- critic: {use: [{use, options}, ...], quorum, attempts, ...}. Options given beside `use` go to each
-- critic that has none of its own.
local function expand_critic(self, value)
  if type(value) == "string" or json.is_list(value) then value = { use = value } end
  if not is_object(value) then return value end
  local copy = fresh(self, value)
  local uses = copy.use
  if type(uses) == "string" or is_object(uses) then uses = json.list { uses } end
  if not json.is_list(uses) then return copy end
  uses = each_item(self, uses, function(_, use)
    use = as_use(use)
    if copy.options == nil or not is_object(use) or use.options ~= nil then return use end
    local with_options = fresh(self, use)
    with_options.options = copy.options
    return with_options
  end)
  copy.use, copy.options = uses, nil
  if is_object(copy.ask) then
    copy.ask = fresh(self, copy.ask)
    change(copy.ask, "who", as_list)
  end
  return copy
end

local function expand_wait(self, value)
  if not is_object(value) then return value end
  local copy = fresh(self, value)
  for _, key in ipairs { "any", "all", "of" } do
    local inner = copy[key]
    if is_object(inner) and next(inner) ~= nil then inner = json.list { inner } end
    if inner ~= nil then copy[key] = each_item(self, inner, expand_wait) end
  end
  return copy
end

local function expand_map(self, value)
  if not is_object(value) then return value end
  local copy = fresh(self, value)
  if copy.chunk ~= nil then copy.chunk = as_agent(self, copy.chunk) end
  if copy.reduce ~= nil then copy.reduce = as_agent(self, copy.reduce) end
  if is_object(copy.each) then copy.each = expand_step(self, copy.each) end
  return copy
end

local function expand_speculate(self, value)
  if not is_object(value) then return value end
  local copy = fresh(self, value)
  change(copy, "judge", as_use)
  if copy.branches ~= nil then copy.branches = each_item(self, as_list(copy.branches), expand_step) end
  return copy
end

local function expand_plan(self, value)
  if type(value) == "string" then value = { goal = value } end
  if not is_object(value) then return value end
  local copy = fresh(self, value)
  change(copy, "planner", as_use)
  change(copy, "agents", as_list)
  return copy
end

local function expand_rung(self, value)
  if type(value) == "string" then return { to = json.list { value } } end
  if not is_object(value) then return value end
  local copy = fresh(self, value)
  change(copy, "to", as_list)
  return copy
end

local function expand_approval(self, value)
  if not is_object(value) then return value end
  local copy = fresh(self, value)
  change(copy, "who", as_list)
  change(copy, "escalate", as_list)
  if copy.precondition ~= nil then copy.precondition = as_agent(self, copy.precondition) end
  if copy.escalate ~= nil then copy.escalate = each_item(self, copy.escalate, expand_rung) end
  return copy
end

local function expand_retry(self, value)
  if not is_object(value) then return value end
  local copy = fresh(self, value)
  change(copy, "on", as_list)
  change(copy, "not_on", as_list)
  return copy
end

local function expand_model(self, value)
  if not is_object(value) then return value end
  local copy = fresh(self, value)
  unfold_use(self, copy, "policy")
  change(copy, "candidates", as_list)
  change(copy, "needs", as_list)
  return copy
end

-- tools: [{use, ...}, ...]
local function expand_tools(self, value)
  if value == nil then return nil end
  if is_object(value) and next(value) ~= nil then value = json.list { value } end
  return each_item(self, as_list(value), function(_, tool) return as_use(tool) end)
end

local function expand_post(self, value)
  if not is_object(value) then return value end
  local copy = fresh(self, value)
  change(copy, "tags", as_list)
  return copy
end

local function expand_from(self, value)
  if not is_object(value) or next(value) == nil then return as_list(value) end
  local copy = fresh(self, value)
  change(copy, "steps", as_list)
  return copy
end

local STEP_FIELDS = {
  approval = expand_approval, wait = expand_wait, map = expand_map, speculate = expand_speculate, plan = expand_plan,
  critic = expand_critic, retry = expand_retry, model = expand_model, post = expand_post, from = expand_from,
  undo = as_agent,
}

function expand_step(self, value)
  if not is_object(value) then return value end
  local copy = fresh(self, value)
  unfold_use(self, copy, "agent")
  for name, expand in pairs(STEP_FIELDS) do
    if copy[name] ~= nil then copy[name] = expand(self, copy[name]) end
  end
  copy.tools = expand_tools(self, copy.tools)
  if copy.groups ~= nil then copy.groups = expand_members(self, copy.groups) end
  return copy
end

-- Groups -----------------------------------------------------------------------------------------

-- Without `steps`: what has a step's kind, a step's field, or something nearly spelt so, is a step.
local function is_bare_step(self, value)
  if self.is_step[value] then return true end
  if not is_object(value) or value.steps ~= nil then return false end
  for name in pairs(value) do
    if form.is_step_field[name] and not GROUP_FIELDS[name] then return true end
  end
  for name in pairs(value) do
    if not GROUP_FIELDS[name] and suggest.nearest(name, KINDS) then return true end
  end
  return false
end

local function group_of(self, value)
  local step = expand_step(self, value)
  local group = self.sources:derive({ name = step.name, branch = step.branch, gate = step.gate }, value)
  step.branch, step.gate = nil, nil
  self.bare[group] = true
  group.steps = self.sources:derive(json.list { step }, value)
  return group
end

local function expand_group(self, value)
  if is_bare_step(self, value) then
    value = group_of(self, value)
  elseif is_object(value) then
    value = fresh(self, value)
    if value.steps ~= nil then value.steps = each_item(self, as_list(value.steps), expand_step) end
  else
    return value
  end
  if value.gate ~= nil then value.gate = expand_approval(self, value.gate) end
  return value
end

function expand_members(self, value)
  if is_object(value) then
    if next(value) == nil then return json.list {} end
    return value
  end
  return each_item(self, value, expand_group)
end

-- Pipelines --------------------------------------------------------------------------------------

local function expand_input(self, data)
  if data.input == nil then return end
  local written, message, _, name = schema.object(data.input)
  if not written then
    local sources = self.sources
    local place = name and sources:field(data.input, name) or sources:field(data, "input") or sources:place(data)
    note_at(self, place, name and "input." .. name or "input", "input: " .. message)
    data.input = nil
    return
  end
  self.sources:derive(written, data.input)
  if type(written.properties) == "table" then
    self.sources:derive(written.properties, data.input.properties or data.input)
  end
  data.input = written
end

local function expand_trigger(self, value)
  if type(value) == "string" then return self.sources:derive({ [value] = {} }, nil) end
  if not is_object(value) then return value end
  local copy = fresh(self, value)
  for name, inner in pairs(copy) do
    if inner == json.null and not form.is_trigger_field[name] then copy[name] = {} end
  end
  return copy
end

local function expand_on(self, value)
  if type(value) == "string" or is_object(value) and next(value) ~= nil then value = json.list { value } end
  return each_item(self, as_list(value), expand_trigger)
end

local function expand_supervise(self, value)
  if type(value) == "string" or is_object(value) and next(value) ~= nil then value = json.list { value } end
  return each_item(self, as_list(value), function(_, use) return as_use(use) end)
end

-- A metric is a path, or who judges.
local function as_metric(value)
  if type(value) == "string" and not value:find "^%$" then return { use = value } end
  return value
end

local function expand_reflect(self, value)
  value = as_use(value)
  if not is_object(value) then return value end
  local copy = fresh(self, value)
  change(copy, "metric", as_metric)
  if is_object(copy.examples) and next(copy.examples) ~= nil then copy.examples = json.list { copy.examples } end
  for _, name in ipairs { "who", "protect" } do change(copy, name, as_list) end
  return copy
end

local function expand_pipeline(self, value)
  local data = fresh(self, value)
  data["$schema"] = nil
  if data.weir == nil then data.weir = 1 end
  expand_input(self, data)
  if data.on ~= nil then data.on = expand_on(self, data.on) end
  if is_object(data.queue) then
    data.queue = fresh(self, data.queue)
    change(data.queue, "policy", as_use)
  end
  if data.supervise ~= nil then data.supervise = expand_supervise(self, data.supervise) end
  if data.reflect ~= nil then data.reflect = expand_reflect(self, data.reflect) end
  if data.groups ~= nil then data.groups = expand_members(self, data.groups) end
  return data
end

-- Errors of the schema, with their place ---------------------------------------------------------

-- The innermost named group or step on the way, as people call it.
local function owner(root, keys)
  local value, name, kind, depth = root, nil, nil, 0
  for position, key in ipairs(keys) do
    if type(value) ~= "table" then break end
    value = value[math.type(key) and key + 1 or key]
    local before = keys[position - 1]
    local is_step = before == "steps" or before == "branches" or key == "each"
    local is_group = before == "groups"
    if type(value) == "table" and (is_step or is_group) and type(value.name) == "string" then
      name, kind, depth = value.name, is_step and "step" or "group", position
    end
  end
  return name and ("%s '%s'"):format(kind, name), depth
end

local function spelled(keys, from)
  local parts = {}
  for position = from, #keys do
    local key = keys[position]
    parts[#parts + 1] = math.type(key) and ("[%d]"):format(key) or (#parts > 0 and "." or "") .. key
  end
  return table.concat(parts)
end

--- Turns what is wrong at some keys of the normal form into an error with its place.
---@param root table
---@param keys (string|integer)[]  indexes from 0
---@param what string        `is unknown`
---@param sources weir.Sources
---@param extra? { code: string?, did_you_mean: string?, plain: boolean? }  plain: `what` stands alone
---@return weir.DefinitionError
function M.error_at(root, keys, what, sources, extra)
  local place = sources:locate(root, keys)
  local who, depth = owner(root, keys)
  local short = spelled(keys, depth + 1)
  local message = (extra and extra.plain or short == "") and what or ("%s %s"):format(short, what)
  if who then message = ("%s: %s"):format(who, message) end
  return {
    file = place.file, line = place.line, column = place.column, field = spelled(keys, 1),
    code = extra and extra.code or "invalid", message = message, did_you_mean = extra and extra.did_you_mean,
  }
end

local function value_at(root, keys)
  for _, key in ipairs(keys) do root = root[math.type(key) and key + 1 or key] end
  return root
end

-- A step without a kind is told once: not again when its kind is misspelt or was a function.
local function is_told(self, data, entry, misspelt)
  if entry.keys[#entry.keys] == "name" then
    local holder = value_at(data, { table.unpack(entry.keys, 1, #entry.keys - 1) })
    return self.bare[holder] == true -- the step that stands for the group has the same name
  end
  if entry.keyword ~= "oneOf" then return false end
  local value = value_at(data, entry.keys)
  while value ~= nil do
    if self.kindless[value] then return true end
    value = self.sources.origins[value]
  end
  return misspelt[entry.pointer] ~= nil
end

-- Where a field is spelt nearly like a kind: the pointers of those steps.
local function misspelt_kinds(errors)
  local places = {}
  for _, entry in ipairs(errors) do
    if entry.keyword == "additionalProperties" and form.is_kind[entry.did_you_mean] then
      places[entry.pointer:match("^(.*)/")] = true
    end
  end
  return places
end

local function form_errors(self, data, validate)
  local fits, errors = validate(data)
  if fits then return end
  local misspelt = misspelt_kinds(errors)
  for _, entry in ipairs(errors) do
    if not is_told(self, data, entry, misspelt) then
      self.errors[#self.errors + 1] =
        M.error_at(data, entry.keys, entry.what, self.sources, { did_you_mean = entry.did_you_mean })
    end
  end
end

local function without_copies(errors)
  local kept, seen = {}, {}
  for _, entry in ipairs(errors) do
    local key = table.concat({ tostring(entry.file), tostring(entry.line), entry.message }, "\0")
    if not seen[key] then kept[#kept + 1] = entry end
    seen[key] = true
  end
  return kept
end

local function finish(self, data, validate)
  form_errors(self, data, validate)
  if #self.errors == 0 then return data end
  local mended = require("weir.definition.mend").mend(data, self.sources, validate)
  return nil, without_copies(self.errors), mended
end

local function expander(sources, errors, is_step, kindless)
  local self = { sources = sources, errors = errors or {}, is_step = is_step or {}, kindless = kindless or {} }
  self.bare = {}
  return setmetatable(self, Expander)
end

---@class weir.DefinitionError
---@field file string?
---@field line integer?
---@field column integer?
---@field field string?        `groups[0].steps[1].agent`
---@field code string          invalid, or not_found for an unknown name
---@field message string       `step 'write': agent 'sumarize' is unknown`
---@field did_you_mean string?

--- The normal form of a pipeline or flow.
---@param value weir.Node|table   what the constructors built, or plain data
---@param sources? weir.Sources   where plain data came from; gets the lines of built values
---@return table|nil normal       of a flow: without groups
---@return weir.DefinitionError[]? errors  all that the form has
---@return table? mended  a normal form without what is wrong, for further checks only; nil if there is none
function M.pipeline(value, sources)
  sources = sources or source.new(nil)
  if not build.is_node(value) then
    if not is_object(value) then
      local message = "a pipeline expected, got " .. value_of.show(value)
      return nil, { { file = sources.file, code = "invalid", message = message } }
    end
    local self = expander(sources)
    return finish(self, expand_pipeline(self, value), form.validate)
  end
  local data, errors, is_step, kindless = lower.lower(value, sources)
  local self = expander(sources, errors, is_step, kindless)
  return finish(self, expand_pipeline(self, data), form.validate)
end

local function normal_of_node(node, sources, expand, validate)
  sources = sources or source.new(nil)
  local data, errors, is_step, kindless = lower.lower(node, sources, { flow = true })
  local self = expander(sources, errors, is_step, kindless)
  return finish(self, expand(self, data), validate)
end

--- The normal form of one step of a flow. Functions are kept: `run` of a step, `each.run` of a map.
---@param node weir.Node
---@param sources? weir.Sources
---@return table|nil step
---@return weir.DefinitionError[]? errors
function M.step(node, sources)
  return normal_of_node(node, sources, expand_step, form.validate_flow_step)
end

--- The normal form of one group of a flow.
---@param node weir.Node
---@param sources? weir.Sources
---@return table|nil group
---@return weir.DefinitionError[]? errors
function M.group(node, sources)
  return normal_of_node(node, sources, expand_group, form.validate_flow_group)
end

M.owner = owner
M.spelled = spelled

return M
