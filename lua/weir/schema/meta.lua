--- The schema of schemas: what JSON Schema 2020-12 (core, applicator, validation, unevaluated and the
--- annotations) says a schema may look like, as one schema. It stands for the published address, so
--- that a schema may refer to it. Pure data.

local json = require "weir.native.json"

local list = json.list

local function ref(name) return { ["$ref"] = "#/$defs/" .. name } end
local function named(inner) return { type = "object", additionalProperties = inner } end

local schema = { ["$dynamicRef"] = "#meta" }
local text, flag, number = { type = "string" }, { type = "boolean" }, { type = "number" }
local anything, reference = {}, { type = "string" }
local count, schemas, names = ref "count", ref "schemas", ref "names"
local anchor = { type = "string", pattern = "^[A-Za-z_][-A-Za-z0-9._]*$" }

return {
  ["$schema"] = "https://json-schema.org/draft/2020-12/schema",
  ["$id"] = "https://json-schema.org/draft/2020-12/schema",
  ["$dynamicAnchor"] = "meta",
  type = list { "object", "boolean" },
  properties = {
    ["$id"] = { type = "string", pattern = "^[^#]*#?$" }, ["$schema"] = text, ["$ref"] = reference,
    ["$anchor"] = anchor,
    ["$dynamicRef"] = reference, ["$dynamicAnchor"] = anchor, ["$comment"] = text, ["$vocabulary"] = named(flag),
    ["$defs"] = named(schema), definitions = named(schema),
    prefixItems = schemas, items = schema, contains = schema, additionalProperties = schema, properties = named(schema),
    patternProperties = named(schema), dependentSchemas = named(schema), propertyNames = schema, ["if"] = schema,
    ["then"] = schema, ["else"] = schema, allOf = schemas, anyOf = schemas, oneOf = schemas, ["not"] = schema,
    unevaluatedItems = schema, unevaluatedProperties = schema, contentSchema = schema,
    type = { anyOf = list { ref "type", { type = "array", items = ref "type", minItems = 1, uniqueItems = true } } },
    const = anything, enum = { type = "array" }, multipleOf = { type = "number", exclusiveMinimum = 0 },
    maximum = number, exclusiveMaximum = number, minimum = number, exclusiveMinimum = number,
    maxLength = count, minLength = count, pattern = text, maxItems = count, minItems = count, uniqueItems = flag,
    maxContains = count, minContains = count, maxProperties = count, minProperties = count, required = names,
    dependentRequired = named(names), format = text, contentEncoding = text, contentMediaType = text,
    title = text, description = text, default = anything, deprecated = flag, readOnly = flag, writeOnly = flag,
    examples = { type = "array" },
  },
  ["$defs"] = {
    count = { type = "integer", minimum = 0 },
    schemas = { type = "array", minItems = 1, items = schema },
    names = { type = "array", items = text, uniqueItems = true },
    type = { enum = list { "array", "boolean", "integer", "null", "number", "object", "string" } },
  },
}
