--- JSON Schema 2020-12 (https://json-schema.org/draft/2020-12), compiled to closures.
---
--- All keywords of the core, applicator, validation and unevaluated vocabularies; `format` and the
--- content keywords are annotations. All errors at once, worded for people. One keyword more, known to
--- editors as well: `errorMessage`, text that replaces what the schema's own keywords would say.
--- Also the short form (`"integer = 3"`) and the filling in of defaults. Pure; never yields.

local json = require "weir.native.json"
local keywords = require "weir.schema.keywords"
local short = require "weir.schema.short"
local uri = require "weir.schema.uri"
local value_of = require "weir.value"

local M = { shorthand = short.shorthand, object = short.object, defaults = short.defaults }

local ERRORS_MAX = 1000
local DIALECT = "https://json-schema.org/draft/2020-12/schema"

-- While checking ---------------------------------------------------------------------------------

local State = {}
State.__index = State

function State:enter(key)
  self.depth = self.depth + 1
  self.keys[self.depth] = key
end

function State:leave()
  self.keys[self.depth] = nil
  self.depth = self.depth - 1
end

-- Nobody reads more than the first thousand, and who means ill must not have a million made.
function State:add(entry)
  if not self:is_full() then self.errors[#self.errors + 1] = entry end
end

--- Whether no more failures are noted.
function State:is_full() return #self.errors >= ERRORS_MAX end

--- Notes one failure at the current place. Always false, so that a check can return it.
function State:refuse(keyword, schema_path, what, did_you_mean)
  local keys = table.move(self.keys, 1, self.depth, 1, {})
  self:add { keys = keys, keyword = keyword, schema_path = schema_path, what = what, did_you_mean = did_you_mean }
  return false
end

local function new_seen()
  return { names = {}, upto = 0, items = {} }
end

local function merge_seen(into, from)
  for name in pairs(from.names) do into.names[name] = true end
  for index in pairs(from.items) do into.items[index] = true end
  into.upto = math.max(into.upto, from.upto)
end

--- Runs a check whose failure may not matter: its errors are returned instead of noted.
function State:try(check, value, seen)
  local errors = self.errors
  self.errors = {}
  local fits = check(value, self, seen)
  local found = self.errors
  self.errors = errors
  return fits, found
end

--- Applies a schema that a reference leads to. The same schema at the same place while it is being
--- applied there would never end.
function State:follow(target, value, seen, at)
  local depths = self.active[target.schema]
  if not depths then
    depths = {}
    self.active[target.schema] = depths
  end
  if depths[self.depth] then
    return self:refuse("$ref", at, "cannot be checked: the schema's references go in a circle")
  end
  depths[self.depth] = true
  self.scope[#self.scope + 1] = target.resource
  local fits = target.check(value, self, seen)
  self.scope[#self.scope] = nil
  depths[self.depth] = nil
  return fits
end

--- The outermost schema on the way here that bears this `$dynamicAnchor`.
function State:outermost(name)
  for _, resource in ipairs(self.scope) do
    local target = resource.dynamic[name]
    if target then return target.compile() end
  end
end

-- Compiling --------------------------------------------------------------------------------------

local Compiler = {}
Compiler.__index = Compiler

function Compiler.fail(_, at, what)
  error({ at = at, what = what }, 0)
end

local function escaped(key)
  return (tostring(key):gsub("~", "~0"):gsub("/", "~1"))
end

function Compiler.below(_, at, key)
  return at .. "/" .. escaped(key)
end

function Compiler.beside(_, at, key)
  return at:gsub("/[^/]*$", "") .. "/" .. escaped(key)
end

function Compiler:regex(pattern, at)
  local automaton, message = keywords.regex(pattern)
  if not automaton then self:fail(at, message) end
  return automaton
end

local function own_checks(self, schema, at)
  local checks = {}
  for _, keyword in ipairs(keywords.order) do
    local argument = schema[keyword]
    if argument ~= nil then
      checks[#checks + 1] = keywords.maker(keyword)(self, argument, schema, self:below(at, keyword))
    end
  end
  return checks
end

-- The schema's own message stands for all it said about this very place; what lies deeper stays.
local function replace_errors(state, first, message, at)
  local kept, replaced = {}, nil
  for index = first, #state.errors do
    local entry = state.errors[index]
    if #entry.keys > state.depth then
      kept[#kept + 1] = entry
    else
      replaced = replaced or entry
    end
    state.errors[index] = nil
  end
  if replaced then state:refuse(replaced.keyword, at, message, replaced.did_you_mean) end
  for _, entry in ipairs(kept) do state:add(entry) end
end

local function run_all(checks, value, state, seen)
  local fits = true
  for index = 1, #checks do
    if not checks[index](value, state, seen) then fits = false end
  end
  return fits
end

local function object_check(self, schema, at)
  local checks, tracks, message = own_checks(self, schema, at), self.tracks, schema.errorMessage
  if type(message) ~= "string" then message = nil end
  local function check(value, state, outer)
    local seen = tracks and new_seen() or nil
    local first = #state.errors + 1
    local fits = run_all(checks, value, state, seen)
    if not fits and message then replace_errors(state, first, message, at) end
    if fits and outer then merge_seen(outer, seen) end
    return fits
  end
  if not (schema["$id"] and self.resource_of[schema]) then return check end
  local resource = self.resource_of[schema]
  return function(value, state, outer)
    state.scope[#state.scope + 1] = resource
    local fits = check(value, state, outer)
    state.scope[#state.scope] = nil
    return fits
  end
end

local function always()
  return true
end

--- Compiles a schema inside the document; the same table only once, so that schemas may be recursive. One that is known
--- to be good is compiled when a value is first held against it.
function Compiler:sub(schema, at)
  if schema == true then return always end
  if schema == false then
    return function(_, state) return state:refuse("false", at, "is not allowed") end
  end
  if type(schema) ~= "table" or json.is_list(schema) then
    self:fail(at, "a schema (an object, true or false) expected, got " .. value_of.show(schema))
  end
  local entry = self.compiled[schema]
  if not entry then
    entry = {}
    self.compiled[schema] = entry
    if not self.trusted then entry.check = object_check(self, schema, at) end
  end
  if entry.check then return entry.check end
  return function(value, state, seen)
    entry.check = entry.check or object_check(self, schema, at)
    return entry.check(value, state, seen)
  end
end

local function each_inside(schema, visit)
  for keyword, argument in pairs(schema) do
    local place = keywords.inside[keyword]
    if place == "one" then
      visit(argument, keyword)
    elseif place and type(argument) == "table" then
      for key, inner in pairs(argument) do
        visit(inner, keyword .. "/" .. escaped(math.type(key) and key - 1 or key))
      end
    end
  end
end

local function new_resource(self, schema, base, at)
  local resource = { uri = base, schema = schema, anchors = {}, dynamic = {}, at = at }
  if not self.resources[base] then self.resources[base] = resource end
  return resource
end

local function note_anchor(self, schema, resource, at, keyword)
  local name = schema[keyword]
  if name == nil then return end
  if type(name) ~= "string" then self:fail(at .. "/" .. keyword, "text expected") end
  local target = { schema = schema, resource = resource, at = at }
  target.compile = function()
    target.check = target.check or self:sub(schema, at)
    return target
  end
  resource.anchors[name] = target
  if keyword == "$dynamicAnchor" then resource.dynamic[name] = target end
end

-- Finds every schema of the document with its resource, its anchors, and whether anyone asks for
-- what was evaluated.
local function index(self, schema, resource, at)
  if type(schema) ~= "table" or self.resource_of[schema] then return end
  if schema["$id"] ~= nil then
    if type(schema["$id"]) ~= "string" then self:fail(at .. "/$id", "text expected") end
    resource = new_resource(self, schema, (uri.resolve(resource.uri, schema["$id"])), at)
  end
  self.resource_of[schema] = resource
  note_anchor(self, schema, resource, at, "$anchor")
  note_anchor(self, schema, resource, at, "$dynamicAnchor")
  if schema.unevaluatedProperties ~= nil or schema.unevaluatedItems ~= nil then self.tracks = true end
  each_inside(schema, function(inner, where) index(self, inner, resource, at .. "/" .. where) end)
end

local function load_resource(self, address)
  local resource = self.resources[address]
  if resource then return resource end
  local schema = self.find and self.find(address)
  if schema == nil and address == DIALECT then schema = require "weir.schema.meta" end
  if schema == nil then return nil end
  resource = new_resource(self, schema, address, address)
  index(self, schema, resource, address)
  return resource
end

local function step_down(target, part)
  if type(target) ~= "table" then return nil end
  if json.is_list(target) then
    local position = part:find("^%d+$") and math.tointeger(tonumber(part))
    return position and target[position + 1]
  end
  return target[part]
end

local function by_pointer(self, resource, pointer)
  local target, at = resource.schema, resource.at
  for part in pointer:gmatch("/([^/]*)") do
    target = step_down(target, (part:gsub("~1", "/"):gsub("~0", "~")))
    if target == nil then return nil end
    at = at .. "/" .. part
    resource = type(target) == "table" and self.resource_of[target] or resource
  end
  if type(target) == "table" and not self.trusted and not self.resource_of[target] then index(self, target, resource, at) end
  return { schema = target, resource = resource, at = at }
end

local function locate(self, resource, fragment)
  if fragment == "" or fragment:sub(1, 1) == "/" then return by_pointer(self, resource, fragment) end
  local target = resource.anchors[fragment]
  if target then return target, resource.dynamic[fragment] and fragment end
end

--- Finds what a `$ref` or `$dynamicRef` points to and compiles it.
function Compiler:resolve(reference, schema, at)
  if type(reference) ~= "string" then self:fail(at, "text expected") end
  local base = self.resource_of[schema] or self.root
  local address, fragment = uri.resolve(base.uri, reference)
  local resource = address == base.uri and base or load_resource(self, address)
  local target, dynamic
  if resource then target, dynamic = locate(self, resource, fragment) end
  if not target then self:fail(at, ("'%s' leads nowhere in this schema"):format(reference)) end
  local result = { schema = target.schema, resource = target.resource, dynamic = dynamic }
  -- The check is fetched when first used: references may go round.
  result.check = function(value, state, seen)
    result.check = self:sub(target.schema, target.at)
    return result.check(value, state, seen)
  end
  self.pending[#self.pending + 1] = target
  return result
end

--- The schema that an alternative stands for, for its `type`: local references are followed.
function Compiler:peek(schema)
  for _ = 1, 8 do
    local reference = type(schema) == "table" and schema["$ref"]
    if type(reference) ~= "string" then return schema end
    local base = self.resource_of[schema] or self.root
    local address, fragment = uri.resolve(base.uri, reference)
    local target = address == base.uri and locate(self, base, fragment)
    if not target then return nil end
    schema = target.schema
  end
end

local function compile(schema, options)
  local self = setmetatable({ compiled = {}, resources = {}, resource_of = {}, pending = {} }, Compiler)
  self.find, self.trusted = options.find, options.trusted
  local dialect = type(schema) == "table" and type(schema["$schema"]) == "string" and schema["$schema"] or DIALECT
  if dialect:find("^https?://json%-schema%.org/") and not dialect:find(DIALECT, 1, true) then
    self:fail("/$schema", ("'%s' is another dialect; weir reads %s"):format(dialect, DIALECT))
  end
  self.root = new_resource(self, schema, options.uri or "", "")
  if not self.trusted then index(self, schema, self.root, "") end
  local check = self:sub(schema, "")
  -- What is only reached through a reference is compiled now, so that its mistakes show now.
  local done = 0
  while not self.trusted and done < #self.pending do
    done = done + 1
    self:sub(self.pending[done].schema, self.pending[done].at)
  end
  return check, self.root
end

-- Public -----------------------------------------------------------------------------------------

local function spelled(label, keys)
  local parts = { label }
  for position, key in ipairs(keys) do
    if math.type(key) then
      parts[#parts + 1] = ("[%d]"):format(key)
    elseif key:find("^[%a_][%w_-]*$") then
      parts[#parts + 1] = (position == 1 and label == "" and "" or ".") .. key
    else
      parts[#parts + 1] = ("['%s']"):format(key)
    end
  end
  return table.concat(parts)
end

local function pointer(keys)
  local parts = {}
  for position, key in ipairs(keys) do parts[position] = "/" .. escaped(key) end
  return table.concat(parts)
end

local function finish(entry, label)
  entry.path, entry.pointer = spelled(label, entry.keys), pointer(entry.keys)
  local hint = entry.did_you_mean and ("; did you mean '%s'?"):format(entry.did_you_mean) or ""
  entry.message = ("%s %s%s"):format(entry.path == "" and "the value" or entry.path, entry.what, hint)
end

---@class weir.SchemaError
---@field path string         where in the value, for people: `input.items[0].name`
---@field pointer string      the same as JSON Pointer, without the label: `/items/0/name`
---@field keys (string|integer)[]  the same as a list; indexes from 0
---@field keyword string      what refused it: `required`, `type`, ...
---@field schema_path string  where in the schema: `/properties/items/items/required`
---@field what string         the message without its path
---@field did_you_mean string?
---@field message string      `input.name is required (string)`

---@alias weir.Validator fun(value: any, label?: string): boolean, weir.SchemaError[]?

--- Compiles a schema.
---@param schema table|boolean  JSON Schema 2020-12 as plain data
---@param options? { uri?: string, find?: fun(uri: string): table?, trusted?: boolean }
---   find: gives schemas of other URIs. trusted: the schema is known to be good and to have no
---   $id, anchor or unevaluated keyword, so each part of it is compiled when it is first needed
---@return weir.Validator|nil validate  `validate(value, label)` gives true, or false and all errors
---@return string? message  where in the schema, and what is wrong
---@return string? code     invalid
function M.compile(schema, options)
  local ok, check, root = pcall(compile, schema, options or {})
  if not ok then
    if type(check) ~= "table" then error(check, 0) end
    return nil, ("schema%s: %s"):format(check.at ~= "" and " at " .. check.at or "", check.what), "invalid"
  end
  return function(value, label)
    local state = setmetatable({ errors = {}, keys = {}, depth = 0, scope = { root }, active = {} }, State)
    if check(value, state) then return true end
    for _, entry in ipairs(state.errors) do finish(entry, label or "") end
    return false, state.errors
  end
end

return M
