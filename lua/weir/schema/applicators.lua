--- The keywords of JSON Schema 2020-12 that apply other schemas: to members, to items, in place, by
--- reference. One maker each, as `weir.schema.keywords` describes. Pure.

local assertions = require "weir.schema.assertions"
local json = require "weir.native.json"
local suggest = require "weir.suggest"
local value_of = require "weir.value"

local UNKNOWN_MAX = 1000 -- names of an object
local SUGGESTED = 20 -- errors for which the nearest name is looked for

local M = {}

local has_type = assertions.has_type
local kind_of = value_of.kind

-- A check that looks at one kind of value only.
local function on(kind, check)
  return function(value, state, seen)
    if kind_of(value) ~= kind then return true end
    return check(value, state, seen)
  end
end

-- Objects ----------------------------------------------------------------------------------------

local function member_checks(compiler, members, at)
  if type(members) ~= "table" or json.is_list(members) then compiler:fail(at, "an object of schemas expected") end
  local checks, names = {}, value_of.names(members)
  for _, name in ipairs(names) do checks[name] = compiler:sub(members[name], compiler:below(at, name)) end
  return checks, names
end

local function check_member(check, value, name, state)
  state:enter(name)
  local fits = check(value[name], state)
  state:leave()
  return fits
end

M.properties = function(compiler, members, _, at)
  local checks, names = member_checks(compiler, members, at)
  return on("object", function(value, state, seen)
    local fits = true
    for _, name in ipairs(names) do
      if value[name] ~= nil then
        fits = check_member(checks[name], value, name, state) and fits
        if seen then seen.names[name] = true end
      end
    end
    return fits
  end)
end

local function pattern_checks(compiler, members, at)
  local checks, names = member_checks(compiler, members, at)
  local list = {}
  for index, pattern in ipairs(names) do
    list[index] = { regex = compiler:regex(pattern, at), check = checks[pattern] }
  end
  return list
end

M.patternProperties = function(compiler, members, _, at)
  local list = pattern_checks(compiler, members, at)
  return on("object", function(value, state, seen)
    local fits = true
    for _, name in ipairs(value_of.names(value)) do
      for _, entry in ipairs(list) do
        if entry.regex:search(name) then
          fits = check_member(entry.check, value, name, state) and fits
          if seen then seen.names[name] = true end
        end
      end
    end
    return fits
  end)
end

local function known_members(compiler, schema, at)
  local known = type(schema.properties) == "table" and schema.properties or {}
  local patterns = {}
  local by_pattern = type(schema.patternProperties) == "table" and schema.patternProperties or {}
  for _, pattern in ipairs(value_of.names(by_pattern)) do
    patterns[#patterns + 1] = compiler:regex(pattern, at)
  end
  return known, patterns
end

local function is_known(name, known, patterns)
  if known[name] ~= nil then return true end
  for _, automaton in ipairs(patterns) do
    if automaton:search(name) then return true end
  end
  return false
end

local function refuse_name(state, keyword, at, name, known)
  if state:is_full() then return false end
  state:enter(name)
  local names = value_of.names(known)
  local meant = #state.errors < SUGGESTED and suggest.nearest(name, names) or nil
  local hint = #names > 0 and #names <= 12 and "; known here: " .. table.concat(names, ", ") or ""
  state:refuse(keyword, at, "is unknown" .. (meant and "" or hint), meant)
  state:leave()
  return false
end

-- More unknown names than anybody would read are not worth sorting and naming.
local function has_too_many(value, known, patterns)
  local count, unknown = 0, 0
  for _ in next, value do count = count + 1 end
  if count <= UNKNOWN_MAX then return false end
  for name in next, value do
    if not is_known(name, known, patterns) then unknown = unknown + 1 end
    if unknown > UNKNOWN_MAX then return true end
  end
  return false
end

M.additionalProperties = function(compiler, inner, schema, at)
  local known, patterns = known_members(compiler, schema, at)
  local check = compiler:sub(inner, at)
  return on("object", function(value, state, seen)
    if inner == false and has_too_many(value, known, patterns) then
      return state:refuse("additionalProperties", at, ("has more than %d unknown names"):format(UNKNOWN_MAX))
    end
    local fits = true
    for _, name in ipairs(value_of.names(value)) do
      if not is_known(name, known, patterns) then
        if inner == false then
          fits = refuse_name(state, "additionalProperties", at, name, known)
        else
          fits = check_member(check, value, name, state) and fits
        end
        if seen then seen.names[name] = true end
      end
    end
    return fits
  end)
end

M.unevaluatedProperties = function(compiler, inner, schema, at)
  local known = known_members(compiler, schema, at)
  local check = compiler:sub(inner, at)
  return on("object", function(value, state, seen)
    local fits = true
    for _, name in ipairs(value_of.names(value)) do
      if not seen.names[name] then
        if inner == false then
          fits = refuse_name(state, "unevaluatedProperties", at, name, known)
        else
          fits = check_member(check, value, name, state) and fits
        end
        seen.names[name] = true
      end
    end
    return fits
  end)
end

M.propertyNames = function(compiler, inner, _, at)
  local check = compiler:sub(inner, at)
  return on("object", function(value, state)
    local fits = true
    for _, name in ipairs(value_of.names(value)) do
      state:enter(name)
      fits = check(name, state) and fits
      state:leave()
    end
    return fits
  end)
end

M.dependentSchemas = function(compiler, members, _, at)
  local checks, names = member_checks(compiler, members, at)
  return on("object", function(value, state, seen)
    local fits = true
    for _, name in ipairs(names) do
      if value[name] ~= nil then fits = checks[name](value, state, seen) and fits end
    end
    return fits
  end)
end

-- Lists ------------------------------------------------------------------------------------------

local function schema_list(compiler, list, at)
  if not json.is_list(list) or #list == 0 then compiler:fail(at, "a list of one or more schemas expected") end
  local checks = {}
  for index = 1, #list do checks[index] = compiler:sub(list[index], compiler:below(at, index - 1)) end
  return checks
end

local function check_item(check, value, index, state)
  state:enter(index - 1)
  local fits = check(value[index], state)
  state:leave()
  return fits
end

M.prefixItems = function(compiler, list, _, at)
  local checks = schema_list(compiler, list, at)
  return on("array", function(value, state, seen)
    local fits = true
    local count = math.min(#checks, #value)
    for index = 1, count do fits = check_item(checks[index], value, index, state) and fits end
    if seen then seen.upto = math.max(seen.upto, count) end
    return fits
  end)
end

M.items = function(compiler, inner, schema, at)
  local check = compiler:sub(inner, at)
  local start = type(schema.prefixItems) == "table" and #schema.prefixItems or 0
  return on("array", function(value, state, seen)
    local fits = true
    if inner == false and #value > start then
      return state:refuse("items", at, ("must have at most %d items, has %d"):format(start, #value))
    end
    for index = start + 1, #value do fits = check_item(check, value, index, state) and fits end
    if seen then seen.upto = #value end
    return fits
  end)
end

M.contains = function(compiler, inner, schema, at)
  local check = compiler:sub(inner, at)
  local least, most = schema.minContains or 1, schema.maxContains or math.huge
  if type(least) ~= "number" or type(most) ~= "number" then
    compiler:fail(at, "minContains and maxContains are numbers")
  end
  return on("array", function(value, state, seen)
    local count = 0
    for index = 1, #value do
      state:enter(index - 1)
      if state:try(check, value[index]) then
        count = count + 1
        if seen then seen.items[index] = true end
      end
      state:leave()
    end
    if count < least then
      return state:refuse("contains", at, ("must hold at least %d fitting items, has %d"):format(least, count))
    end
    if count > most then
      return state:refuse("maxContains", at, ("must hold at most %d fitting items, has %d"):format(most, count))
    end
    return true
  end)
end

M.unevaluatedItems = function(compiler, inner, _, at)
  local check = compiler:sub(inner, at)
  return on("array", function(value, state, seen)
    local fits = true
    for index = seen.upto + 1, #value do
      if not seen.items[index] then
        if inner == false then
          state:enter(index - 1)
          fits = state:refuse("unevaluatedItems", at, "is one item too many")
          state:leave()
        else
          fits = check_item(check, value, index, state) and fits
        end
      end
    end
    seen.upto = #value
    return fits
  end)
end

-- In place ---------------------------------------------------------------------------------------

M.allOf = function(compiler, list, _, at)
  local checks = schema_list(compiler, list, at)
  return function(value, state, seen)
    local fits = true
    for _, check in ipairs(checks) do fits = check(value, state, seen) and fits end
    return fits
  end
end

-- What each alternative's own `type` allows; nil where it does not say.
local function allowed_types(compiler, list)
  local result = {}
  for index = 1, #list do
    local inner = compiler:peek(list[index])
    local types = type(inner) == "table" and inner.type
    if type(types) == "string" then types = { types } end
    if type(types) == "table" then
      result[index] = {}
      for _, name in ipairs(types) do result[index][name] = true end
    end
  end
  return result
end

local function is_better(errors, best)
  local function depth(list)
    local most = 0
    for _, entry in ipairs(list) do most = math.max(most, #entry.keys) end
    return most
  end
  local a, b = depth(errors), depth(best)
  if a ~= b then return a > b end
  return #errors < #best
end

local function union(types, count)
  local names, taken = {}, {}
  for index = 1, count do
    if not types[index] then return nil end
    for _, name in ipairs(value_of.names(types[index])) do
      if not taken[name] then names[#names + 1] = name end
      taken[name] = true
    end
  end
  return table.concat(names, " or ")
end

-- None of the alternatives fits: tell about the one that was most likely meant.
local function explain(state, keyword, at, value, failures, types)
  local best
  for index, errors in ipairs(failures) do
    local possible = not types[index] or has_type(value, types[index])
    if possible and (not best or is_better(errors, best)) then best = errors end
  end
  if best then
    for _, entry in ipairs(best) do state:add(entry) end
    return false
  end
  local expected = union(types, #failures)
  local what = expected and "must be " .. expected or ("fits none of %d alternatives"):format(#failures)
  return state:refuse(keyword, at, ("%s, got %s"):format(what, value_of.show(value)))
end

-- `{required: [x]}` each: a choice of fields, which deserves a message of its own.
local function only_required(list)
  local names = {}
  for index, inner in ipairs(list) do
    local required = type(inner) == "table" and inner.required
    if type(required) ~= "table" or #required ~= 1 or next(inner, next(inner)) ~= nil then return nil end
    names[index] = required[1]
  end
  return names
end

local function present(names, value)
  local found = {}
  for _, name in ipairs(names) do
    if type(value) == "table" and value[name] ~= nil then found[#found + 1] = name end
  end
  return found
end

local function choose_field(state, keyword, at, names, value)
  local found = present(names, value)
  local got = #found == 0 and "none of them is there" or "got " .. table.concat(found, " and ")
  local count = keyword == "oneOf" and "exactly one" or "at least one"
  return state:refuse(keyword, at, ("needs %s of %s; %s"):format(count, table.concat(names, ", "), got))
end

M.anyOf = function(compiler, list, _, at)
  local checks, types, fields = schema_list(compiler, list, at), allowed_types(compiler, list), only_required(list)
  return function(value, state, seen)
    local fits, failures = false, {}
    for index, check in ipairs(checks) do
      local ok, errors = state:try(check, value, seen)
      fits = fits or ok
      failures[index] = errors
      if fits and not seen then return true end
    end
    if fits then return true end
    if fields then return choose_field(state, "anyOf", at, fields, value) end
    return explain(state, "anyOf", at, value, failures, types)
  end
end

M.oneOf = function(compiler, list, _, at)
  local checks, types, fields = schema_list(compiler, list, at), allowed_types(compiler, list), only_required(list)
  return function(value, state, seen)
    local count, failures = 0, {}
    for index, check in ipairs(checks) do
      local ok, errors = state:try(check, value, seen)
      count = ok and count + 1 or count
      failures[index] = errors
    end
    if count == 1 then return true end
    if fields then return choose_field(state, "oneOf", at, fields, value) end
    if count > 1 then
      return state:refuse("oneOf", at, ("fits %d alternatives where only one may fit"):format(count))
    end
    return explain(state, "oneOf", at, value, failures, types)
  end
end

M["not"] = function(compiler, inner, _, at)
  local check = compiler:sub(inner, at)
  return function(value, state)
    if not state:try(check, value) then return true end
    return state:refuse("not", at, "is of a kind that is not allowed here, got " .. value_of.show(value))
  end
end

M["if"] = function(compiler, inner, schema, at)
  local check = compiler:sub(inner, at)
  local function branch(name)
    if schema[name] == nil then return nil end
    return compiler:sub(schema[name], compiler:beside(at, name))
  end
  local yes, no = branch "then", branch "else"
  return function(value, state, seen)
    local chosen = no
    if state:try(check, value, seen) then chosen = yes end
    return not chosen or chosen(value, state, seen)
  end
end

-- References -------------------------------------------------------------------------------------

M["$ref"] = function(compiler, reference, schema, at)
  local target = compiler:resolve(reference, schema, at)
  return function(value, state, seen)
    return state:follow(target, value, seen, at)
  end
end

M["$dynamicRef"] = function(compiler, reference, schema, at)
  local target = compiler:resolve(reference, schema, at)
  local name = target.dynamic
  return function(value, state, seen)
    return state:follow(name and state:outermost(name) or target, value, seen, at)
  end
end

return M
