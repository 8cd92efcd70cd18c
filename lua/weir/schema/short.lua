--- The short form of a schema (`"integer = 3"`, `"string?"`, `"string[]"`) and the filling in of
--- defaults. Pure; never yields.

local json = require "weir.native.json"
local suggest = require "weir.suggest"
local value_of = require "weir.value"

local M = {}

local TYPES = {
  string = true, number = true, integer = true, boolean = true, object = true, array = true, any = true, null = true,
}
local FORM = 'such as "string", "integer = 3", "string?" (optional) or "string[]"'

local function invalid(message, ...)
  return nil, message:format(...), "invalid"
end

local function read_default(text, kind)
  if kind == "string" and text:sub(1, 1) ~= '"' then return text end
  local value = json.decode(text)
  if value == nil and kind == "any" then return text end
  return value
end

local function fits(value, kind)
  local actual = value_of.kind(value)
  return kind == "any" or actual == kind or kind == "number" and actual == "integer"
end

local function type_schema(kind, brackets)
  local schema = kind == "any" and {} or { type = kind }
  for _ = 1, #brackets // 2 do schema = { type = "array", items = schema } end
  return schema
end

--- Reads the short form of one value's schema: a type (string, number, integer, boolean, object,
--- array, null, any), `[]` for lists of it, `?` if it may be left out, ` = VALUE` for a default.
---@param text string
---@return table|nil schema           JSON Schema
---@return boolean|string is_optional or what is wrong
---@return string? code               invalid
function M.shorthand(text)
  local kind, brackets, mark, rest = text:match("^%s*(%a+)([%[%]]*)(%??)%s*(.-)%s*$")
  if not kind then return invalid("'%s' is no type; write one %s", text, FORM) end
  if not TYPES[kind] then
    local hint = suggest.hint(kind, value_of.names(TYPES))
    return invalid("'%s' is no type%s", kind, hint ~= "" and hint or "; write one " .. FORM)
  end
  local default = rest:match("^=%s*(.+)$")
  if brackets:gsub("%[%]", "") ~= "" or rest ~= "" and not default then
    return invalid("'%s' is no type; write one %s", text, FORM)
  end
  local schema = type_schema(kind, brackets)
  if default then
    local shown = brackets ~= "" and "array" or kind
    schema.default = read_default(default, shown)
    if schema.default == nil or not fits(schema.default, shown) then
      return invalid("default %s does not fit its type %s", default, kind .. brackets)
    end
  end
  return schema, mark == "?" or default ~= nil
end

local KEYWORDS = {}
for word in ([[$ref $defs $id $anchor $dynamicRef $dynamicAnchor $schema $comment type enum const multipleOf maximum
  exclusiveMaximum minimum exclusiveMinimum maxLength minLength pattern maxItems minItems uniqueItems maxContains
  minContains maxProperties minProperties required dependentRequired properties patternProperties additionalProperties
  propertyNames items prefixItems contains allOf anyOf oneOf not if then else dependentSchemas unevaluatedItems
  unevaluatedProperties format contentEncoding contentMediaType contentSchema title description default deprecated
  readOnly writeOnly examples errorMessage optional]]):gmatch("%S+") do KEYWORDS[word] = true end

local function has_keyword(schema)
  for name in pairs(schema) do
    if KEYWORDS[name] then return true end
  end
  return next(schema) == nil
end

local function member(spec)
  if type(spec) == "string" then return M.shorthand(spec) end
  if type(spec) == "boolean" then return spec, not spec end
  if type(spec) ~= "table" or json.is_list(spec) then
    return invalid("a type %s, or a JSON Schema expected, got %s", FORM, value_of.show(spec))
  end
  if not has_keyword(spec) then
    return invalid("neither a type nor a JSON Schema; it has %s", table.concat(value_of.names(spec), ", "))
  end
  local schema = value_of.copy(spec)
  schema.optional = nil
  return schema, spec.optional == true or spec.default ~= nil
end

--- Writes out `{name = type}` as the JSON Schema of an object without other names. What has
--- `type = "object"` or `$ref` is a JSON Schema already. A JSON Schema given for one name is required
--- unless it has a `default` or `optional = true`.
---@param spec table
---@return table|nil schema
---@return string? message  names the member
---@return string? code     invalid
---@return string? name     the member that is wrong
function M.object(spec)
  if type(spec) ~= "table" or json.is_list(spec) then
    return invalid("names with their types expected, got %s", value_of.show(spec))
  end
  if spec.type == "object" or spec["$ref"] ~= nil then return value_of.copy(spec) end
  local schema, required = { type = "object", properties = {}, additionalProperties = false }, {}
  for key in pairs(spec) do
    if type(key) ~= "string" then return invalid("names with their types expected, got the key %s", tostring(key)) end
  end
  for _, name in ipairs(value_of.names(spec)) do
    local inner, is_optional, code = member(spec[name])
    if inner == nil then
      local hint = name == "properties" and "; a whole JSON Schema says type: object" or ""
      return nil, ("%s: %s%s"):format(name, is_optional, hint), code, name
    end
    schema.properties[name] = inner
    if not is_optional then required[#required + 1] = name end
  end
  if #required > 0 then schema.required = json.list(required) end
  return schema
end

-- Defaults ---------------------------------------------------------------------------------------

-- What a local reference points to.
local function target_of(root, reference)
  if type(reference) ~= "string" or reference:sub(1, 1) ~= "#" then return nil end
  local target = root
  for part in reference:sub(2):gmatch("/([^/]*)") do
    part = part:gsub("~1", "/"):gsub("~0", "~")
    target = type(target) == "table" and target[part] or nil
  end
  return target
end

local FILL_DEPTH_MAX = 256 -- a schema whose defaults hold themselves ends here

local fill

local function fill_object(root, schema, value, depth, active)
  for name, inner in pairs(type(schema.properties) == "table" and schema.properties or {}) do
    value[name] = fill(root, inner, value[name], depth, active)
  end
  return value
end

local function fill_list(root, schema, value, depth, active)
  local prefix = type(schema.prefixItems) == "table" and schema.prefixItems or {}
  for index = 1, #value do
    local inner = prefix[index] or schema.items
    if inner ~= nil then value[index] = fill(root, inner, value[index], depth, active) end
  end
  return value
end

local function fill_with(root, schema, value, depth, active)
  local target = target_of(root, schema["$ref"])
  if target ~= nil then value = fill(root, target, value, depth, active) end
  if type(value) ~= "table" then return value end
  if json.is_list(value) then
    fill_list(root, schema, value, depth, active)
  else
    fill_object(root, schema, value, depth, active)
  end
  for _, part in ipairs(type(schema.allOf) == "table" and schema.allOf or {}) do
    fill(root, part, value, depth, active)
  end
  return value
end

-- `active`: the value that each schema is being applied to; the same again means that references go
-- in a circle.
function fill(root, schema, value, depth, active)
  if type(schema) ~= "table" or depth > FILL_DEPTH_MAX then return value end
  if value == nil and schema.default ~= nil then value = value_of.copy(schema.default) end
  local outer = active[schema]
  if value == nil or outer == value then return value end
  active[schema] = value
  value = fill_with(root, schema, value, depth + 1, active)
  active[schema] = outer
  return value
end

--- A copy of `value` in which what is missing has the schema's `default`, at every level reached
--- through `properties`, `items`, `prefixItems`, `allOf` and local `$ref`.
---@param schema table|boolean
---@param value any  nil counts as an empty object where the schema's type is object
---@return any
function M.defaults(schema, value)
  if value == nil and type(schema) == "table" and schema.default == nil and schema.type == "object" then value = {} end
  return fill(schema, schema, value_of.copy(value), 1, {})
end

return M
