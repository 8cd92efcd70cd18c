--- Plain data: nil, null, booleans, integers, floats, strings, lists, and objects with string keys.
--- What several parts need to know of it. Pure; never yields.

local json = require "weir.native.json"
local visible = require "weir.text.visible"

local M = {}

--- The JSON type of a value: null, boolean, integer, number, string, array, object; for what is no
--- plain data its Lua type. A float without a fraction is `number` here.
---@param value any
---@return string
function M.kind(value)
  if value == json.null or value == nil then return "null" end
  local kind = type(value)
  if kind == "number" then return math.type(value) == "integer" and "integer" or "number" end
  if kind == "table" then return json.is_list(value) and "array" or "object" end
  return kind
end

local function same_members(a, b)
  for name, value in pairs(a) do
    if not M.equal(value, b[name]) then return false end
  end
  for name in pairs(b) do
    if a[name] == nil then return false end
  end
  return true
end

--- Whether two values are equal as JSON: 1 equals 1.0, objects by members, lists by elements.
---@param a any
---@param b any
---@return boolean
function M.equal(a, b)
  if a == b then return true end
  if type(a) ~= "table" or type(b) ~= "table" then return false end
  if json.is_list(a) ~= json.is_list(b) then return false end
  return same_members(a, b)
end

--- A deep copy; lists stay lists.
---@generic T
---@param value T
---@return T
function M.copy(value)
  if type(value) ~= "table" then return value end
  local result = {}
  for name, inner in pairs(value) do result[name] = M.copy(inner) end
  if json.is_list(value) then json.list(result) end
  return result
end

--- The string keys of a table, sorted.
---@param value table
---@return string[]
function M.names(value)
  local names = {}
  for name in pairs(value) do
    if type(name) == "string" then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

local function number_key(value)
  local integer = math.tointeger(value)
  return integer and ("%d"):format(integer) or ("%.17g"):format(value)
end

--- Text that is the same for two values exactly if they are equal.
---@param value any  plain data
---@return string
function M.key(value)
  local kind = type(value)
  if kind == "number" then return number_key(value) end
  if kind == "string" then return ("%q"):format(value) end
  if kind ~= "table" then return value == json.null and "null" or tostring(value) end
  local parts = {}
  if json.is_list(value) then
    for index = 1, #value do parts[index] = M.key(value[index]) end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  for index, name in ipairs(M.names(value)) do parts[index] = ("%q:%s"):format(name, M.key(value[name])) end
  return "{" .. table.concat(parts, ",") .. "}"
end

--- A value in a few words for a message: `string 'abc'`, `integer 3`, `array of 2`, `object`, `null`.
---@param value any
---@return string
function M.show(value)
  local kind = M.kind(value)
  if kind == "string" then
    local short = #value > 40 and visible.head(value, 37) .. "..." or value
    return ("string '%s'"):format(short)
  end
  if kind == "array" then return ("array of %d"):format(#value) end
  if kind == "integer" or kind == "number" or kind == "boolean" then return ("%s %s"):format(kind, value) end
  return kind
end

--- A value as JSON has it: nil is null.
---@param value any
---@return any
function M.or_null(value)
  if value == nil then return json.null end
  return value
end

--- A record of the store as code reads it: fields that are null are nil. Changes it.
---@param record table<string, any>
---@return table<string, any> the same
function M.known(record)
  for name, value in pairs(record) do
    if value == json.null then record[name] = nil end
  end
  return record
end

return M
