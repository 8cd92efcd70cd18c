--- The keywords of JSON Schema 2020-12 that look at a value without other schemas: types, bounds,
--- sizes, patterns, required names. One maker each, as `weir.schema.keywords` describes. Pure.

local json = require "weir.native.json"
local suggest = require "weir.suggest"
local value_of = require "weir.value"

local M = {}

local kind_of = value_of.kind

-- A check that looks at one kind of value only.
local function on(kind, check)
  return function(value, state, seen)
    if kind_of(value) ~= kind then return true end
    return check(value, state, seen)
  end
end

local function is_number(value)
  return type(value) == "number"
end

-- Type, enum, const ------------------------------------------------------------------------------

local TYPES = { null = 1, boolean = 1, integer = 1, number = 1, string = 1, array = 1, object = 1 }

local function has_type(value, wanted)
  local kind = kind_of(value)
  if wanted[kind] then return true end
  if kind == "integer" then return wanted.number end
  return kind == "number" and wanted.integer and math.tointeger(value) ~= nil
end

M.type = function(compiler, wanted, _, at)
  local list = type(wanted) == "string" and { wanted } or wanted
  if type(list) ~= "table" or #list == 0 then compiler:fail(at, "a type or a list of types expected") end
  local set = {}
  for _, name in ipairs(list) do
    if not TYPES[name] then
      compiler:fail(at, ("'%s' is no type%s"):format(tostring(name), suggest.hint(name, value_of.names(TYPES))))
    end
    set[name] = true
  end
  local expected = "must be " .. table.concat(list, " or ")
  return function(value, state)
    if has_type(value, set) then return true end
    return state:refuse("type", at, ("%s, got %s"):format(expected, value_of.show(value)))
  end
end

M.const = function(_, wanted, _, at)
  return function(value, state)
    if value_of.equal(value, wanted) then return true end
    return state:refuse("const", at, ("must be %s, got %s"):format(json.encode(wanted), value_of.show(value)))
  end
end

local function listed(values)
  local parts = {}
  for index, value in ipairs(values) do
    parts[index] = type(value) == "string" and value or json.encode(value)
  end
  return table.concat(parts, ", ")
end

M.enum = function(compiler, values, _, at)
  if not json.is_list(values) then compiler:fail(at, "a list expected") end
  local texts = {}
  for _, value in ipairs(values) do
    if type(value) == "string" then texts[#texts + 1] = value end
  end
  return function(value, state)
    for _, allowed in ipairs(values) do
      if value_of.equal(value, allowed) then return true end
    end
    local meant = type(value) == "string" and suggest.nearest(value, texts) or nil
    return state:refuse("enum", at, ("must be one of %s, got %s"):format(listed(values), value_of.show(value)), meant)
  end
end

-- Numbers ----------------------------------------------------------------------------------------

local function bound(keyword, phrase, holds)
  M[keyword] = function(compiler, limit, _, at)
    if not is_number(limit) then compiler:fail(at, "a number expected") end
    local message = ("must be %s %s"):format(phrase, limit)
    return function(value, state)
      if not is_number(value) or holds(value, limit) then return true end
      return state:refuse(keyword, at, ("%s, got %s"):format(message, value))
    end
  end
end

bound("maximum", "at most", function(value, limit) return value <= limit end)
bound("minimum", "at least", function(value, limit) return value >= limit end)
bound("exclusiveMaximum", "less than", function(value, limit) return value < limit end)
bound("exclusiveMinimum", "more than", function(value, limit) return value > limit end)

-- 0.0075 is a multiple of 0.0001 though neither is exact: a quotient within rounding of a whole one is.
local function is_multiple(value, step)
  if math.type(value) == "integer" and math.type(step) == "integer" then return value % step == 0 end
  local quotient = value / step
  if math.abs(quotient) == math.huge then return math.fmod(value, step) == 0 end
  return math.abs(quotient - math.floor(quotient + 0.5)) <= 1e-12 * math.max(1, math.abs(quotient))
end

M.multipleOf = function(compiler, step, _, at)
  if not is_number(step) or step <= 0 then compiler:fail(at, "a number above 0 expected") end
  return function(value, state)
    if not is_number(value) or is_multiple(value, step) then return true end
    return state:refuse("multipleOf", at, ("must be a multiple of %s, got %s"):format(step, value))
  end
end

-- Sizes ------------------------------------------------------------------------------------------

local function count_members(value)
  local count = 0
  for _ in pairs(value) do count = count + 1 end
  return count
end

local function characters(value)
  return utf8.len(value) or #value
end

local function size(keyword, kind, measure, unit, is_most)
  M[keyword] = function(compiler, limit, _, at)
    local whole = is_number(limit) and math.tointeger(limit)
    if not whole or whole < 0 then compiler:fail(at, "a whole number of 0 or more expected") end
    local message = "must have at %s %d %s"
    message = message:format(is_most and "most" or "least", whole, whole == 1 and unit[1] or unit[2])
    return on(kind, function(value, state)
      local actual = measure(value)
      if is_most and actual <= whole or not is_most and actual >= whole then return true end
      return state:refuse(keyword, at, ("%s, has %d"):format(message, actual))
    end)
  end
end

local function length(value)
  return #value
end

size("maxLength", "string", characters, { "character", "characters" }, true)
size("minLength", "string", characters, { "character", "characters" }, false)
size("maxItems", "array", length, { "item", "items" }, true)
size("minItems", "array", length, { "item", "items" }, false)
size("maxProperties", "object", count_members, { "field", "fields" }, true)
size("minProperties", "object", count_members, { "field", "fields" }, false)

M.pattern = function(compiler, pattern, _, at)
  local automaton = compiler:regex(pattern, at)
  return on("string", function(value, state)
    if automaton:search(value) then return true end
    return state:refuse("pattern", at, ("must match the pattern %s, got %s"):format(pattern, value_of.show(value)))
  end)
end

M.uniqueItems = function(compiler, wanted, _, at)
  if type(wanted) ~= "boolean" then compiler:fail(at, "true or false expected") end
  if not wanted then return nil end
  return on("array", function(value, state)
    local first = {}
    for index = 1, #value do
      local key = value_of.key(value[index])
      if first[key] then
        local what = "must not repeat an item: %d and %d are equal"
        return state:refuse("uniqueItems", at, what:format(first[key] - 1, index - 1))
      end
      first[key] = index
    end
    return true
  end)
end

-- Objects ----------------------------------------------------------------------------------------

local function names_list(compiler, names, at)
  if not json.is_list(names) and next(names) ~= nil then compiler:fail(at, "a list of names expected") end
  for _, name in ipairs(names) do
    if type(name) ~= "string" then compiler:fail(at, "a list of names expected") end
  end
  return names
end

local function type_note(schema, name)
  local inner = type(schema.properties) == "table" and schema.properties[name]
  local kind = type(inner) == "table" and inner.type
  return type(kind) == "string" and (" (%s)"):format(kind) or ""
end

M.required = function(compiler, names, schema, at)
  if type(names) ~= "table" then compiler:fail(at, "a list of names expected") end
  names_list(compiler, names, at)
  return on("object", function(value, state)
    local fits = true
    for _, name in ipairs(names) do
      if value[name] == nil then
        state:enter(name)
        fits = state:refuse("required", at, "is required" .. type_note(schema, name))
        state:leave()
      end
    end
    return fits
  end)
end

M.dependentRequired = function(compiler, wanted, _, at)
  if type(wanted) ~= "table" then compiler:fail(at, "an object expected") end
  for _, names in pairs(wanted) do
    if type(names) ~= "table" then compiler:fail(at, "lists of names expected") end
    names_list(compiler, names, at)
  end
  return on("object", function(value, state)
    local fits = true
    for trigger, names in pairs(wanted) do
      for _, name in ipairs(value[trigger] ~= nil and names or {}) do
        if value[name] == nil then
          state:enter(name)
          fits = state:refuse("dependentRequired", at, ("is required when '%s' is given"):format(trigger))
          state:leave()
        end
      end
    end
    return fits
  end)
end

M.has_type = has_type

return M
