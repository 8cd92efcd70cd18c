--- The keywords of JSON Schema 2020-12, one maker each. A maker gets the compiler, the keyword's
--- value, the schema it stands in and its location, and returns a check
--- `check(value, state, seen) -> boolean`, or nothing when there is nothing to check. `seen` gathers
--- what the schema has looked at, for the unevaluated keywords: `names` (set of property names),
--- `upto` (leading items), `items` (set of further indexes); nil where nobody asks. Pure.

local applicators = require "weir.schema.applicators"
local assertions = require "weir.schema.assertions"

local M = {}

--- The maker of a keyword.
---@param keyword string
---@return fun(compiler: table, argument: any, schema: table, at: string): function|nil
function M.maker(keyword)
  return assertions[keyword] or applicators[keyword]
end

--- The order in which a schema's keywords are checked: the unevaluated ones see what the rest saw.
M.order = {
  "$ref", "$dynamicRef", "type", "enum", "const", "multipleOf", "maximum", "exclusiveMaximum", "minimum",
  "exclusiveMinimum", "maxLength", "minLength", "pattern", "maxItems", "minItems", "uniqueItems", "maxProperties",
  "minProperties", "required", "dependentRequired", "properties", "patternProperties", "additionalProperties",
  "propertyNames", "prefixItems", "items", "contains", "allOf", "anyOf", "oneOf", "not", "if", "dependentSchemas",
  "unevaluatedProperties", "unevaluatedItems",
}

--- Where schemas stand inside a schema: under the keyword itself, in a list, or by name.
---@type table<string, "one"|"list"|"named">
M.inside = {
  additionalProperties = "one", propertyNames = "one", items = "one", contains = "one", ["not"] = "one", ["if"] = "one",
  ["then"] = "one", ["else"] = "one", unevaluatedProperties = "one", unevaluatedItems = "one", contentSchema = "one",
  allOf = "list", anyOf = "list", oneOf = "list", prefixItems = "list",
  ["$defs"] = "named", definitions = "named", properties = "named", patternProperties = "named", dependentSchemas = "named",
}

--- Compiles the pattern of a schema.
---@param pattern any
---@return weir.Regex|nil
---@return string? message
function M.regex(pattern)
  if type(pattern) ~= "string" then return nil, "a pattern is text" end
  return require("weir.regex").compile(pattern)
end

return M
