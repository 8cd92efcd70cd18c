--- What values are, as far as schemas tell: the schema of a value, of what a path finds, and whether what one agent gives
--- is what another takes. Where schemas say nothing, nothing is refused: the values themselves are looked at when they are
--- there. Pure; never yields.

local json = require "weir.native.json"
local path = require "weir.path"
local schema = require "weir.schema"
local value_of = require "weir.value"

local M = {}

local ANY = {}
local DEPTH_MAX = 16

--- The schema of a value: its type, that of a list's items where all have the same.
---@param value any plain data
---@return table
function M.of_value(value)
  local kind = value_of.kind(value)
  if kind ~= "array" then return { type = kind } end
  local item = value[1] ~= nil and M.of_value(value[1]) or nil
  for index = 2, #value do
    if not value_of.equal(M.of_value(value[index]), item) then return { type = "array" } end
  end
  return { type = "array", items = item }
end

--- What a module takes or gives, as the JSON Schema of an object.
---@param declared table|nil `needs` or `gives` of a module
---@return table|nil schema nil: it does not say, or says it wrongly
function M.object(declared)
  return type(declared) == "table" and (schema.object(declared)) or nil
end

local function types_of(of)
  local kind = type(of) == "table" and of.type or nil
  if type(kind) == "string" then return { kind } end
  return kind
end

local function takes(kinds, kind)
  for _, one in ipairs(kinds) do
    if one == kind or one == "number" and kind == "integer" then return true end
  end
  return false
end

local function same_types(gives, needs)
  local given, needed = types_of(gives), types_of(needs)
  if not given or not needed then return true end
  for _, kind in ipairs(given) do
    if not takes(needed, kind) then return false end
  end
  return true
end

local function one_of(gives, needs)
  local given = gives.const ~= nil and { gives.const } or gives.enum
  if not needs.enum or not given then return true end
  for _, value in ipairs(given) do
    local found = false
    for _, allowed in ipairs(needs.enum) do found = found or value_of.equal(value, allowed) end
    if not found then return false end
  end
  return true
end

local fits

local function members(gives, needs, depth)
  local given = type(gives.properties) == "table" and gives.properties or {}
  for name, inner in pairs(type(needs.properties) == "table" and needs.properties or {}) do
    if given[name] ~= nil and not fits(given[name], inner, depth + 1) then return false end
  end
  if gives.additionalProperties ~= false then return true end
  for _, name in ipairs(needs.required or {}) do
    if given[name] == nil then return false end
  end
  return true
end

function fits(gives, needs, depth)
  if type(gives) ~= "table" or type(needs) ~= "table" or depth > DEPTH_MAX then return true end
  if not same_types(gives, needs) or not one_of(gives, needs) then return false end
  if type(gives.items) == "table" and type(needs.items) == "table" and not fits(gives.items, needs.items, depth + 1) then return false end
  return members(gives, needs, depth)
end

--- Whether what one schema allows may be used where another is asked for.
---@param gives table|boolean
---@param needs table|boolean
---@return boolean
function M.fits(gives, needs)
  return fits(gives, needs, 1)
end

local function member(of, name)
  local inner = type(of.properties) == "table" and of.properties[name]
  if inner ~= nil and inner ~= false then return inner == true and ANY or inner end
  if of.additionalProperties == false or same_types(of, { type = "object" }) == false then
    return nil, ("has no '%s'"):format(name)
  end
  return ANY
end

local function items(of)
  if not same_types(of, { type = "array" }) then return nil, "is no list" end
  return type(of.items) == "table" and of.items or ANY
end

local function list_of(of)
  if of == ANY then return { type = "array" } end
  return { type = "array", items = of }
end

--- The schema of what some segments of a path find below a schema.
---@param of table
---@param segments (string|integer|true)[] as `weir.path` has them
---@param from integer
---@return table|nil
---@return string|nil message what is not there
function M.at(of, segments, from)
  local segment = segments[from]
  if segment == nil then return of end
  if of == ANY then return ANY end
  local inner, message
  if type(segment) == "string" then inner, message = member(of, segment) else inner, message = items(of) end
  if not inner then return nil, message end
  inner, message = M.at(inner, segments, from + 1)
  if not inner then return nil, message end
  if segment == true then return list_of(inner) end
  return inner
end

local function of_path(text, env)
  local found = path.compile(text)
  if not found then return ANY end
  local root = found.root and env[found.root]
  if not root then return ANY, found end
  local of, message = M.at(root, found.segments, 2)
  if of then return of, found end
  return nil, ("path '%s': '%s' %s"):format(text, found.root, message)
end

local of_written

local function of_object(value, env)
  local result = { type = "object", properties = {}, additionalProperties = false }
  for name, inner in pairs(value) do
    local of, message = of_written(inner, env)
    if not of then return nil, message end
    result.properties[name] = of
  end
  return result
end

local function of_list(value, env)
  for index = 1, #value do
    local of, message = of_written(value[index], env)
    if not of then return nil, message end
  end
  return { type = "array" }
end

function of_written(value, env)
  if type(value) == "string" then
    if value:find "^%$[.%[]" then return of_path(value, env) end
    return value:find("${", 1, true) and { type = "string" } or { type = "string", const = value }
  end
  if type(value) ~= "table" or value == json.null then
    local of = M.of_value(value)
    if value ~= json.null then of.const = value end
    return of
  end
  if json.is_list(value) then return of_list(value, env) end
  return of_object(value, env)
end

--- The schema of a value as a definition has it: with paths in it.
---@param value any
---@param env table<string, table> schemas of what paths see, by the name of the root
---@return table|nil
---@return weir.Path|string|nil path of a value that is one; or what is not there
function M.of_written(value, env)
  return of_written(value, env)
end

local function shown(of, depth)
  if type(of) ~= "table" then return "anything" end
  if of.enum then return "one of its values" end
  local kinds = types_of(of)
  if not kinds then return "anything" end
  if kinds[1] == "array" and #kinds == 1 and type(of.items) == "table" and depth < DEPTH_MAX then
    return "list of " .. shown(of.items, depth + 1)
  end
  return (table.concat(kinds, " or "):gsub("array", "list"))
end

--- A schema in few words: `string`, `list of object`, `anything`.
---@param of table|boolean
---@return string
function M.show(of)
  return shown(of, 1)
end

return M
