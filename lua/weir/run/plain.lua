--- Whether a value is plain data, as every output of a step has to be. Pure.

local json = require "weir.native.json"

local M = {}

local DEPTH_MAX = 64
local SCALAR = { string = true, number = true, boolean = true, ["nil"] = true }
local HUGE = math.huge
local NAMES = { ["function"] = "a function", userdata = "a userdata", thread = "a coroutine" }

local function refuse(value, depth)
  local kind = type(value)
  if SCALAR[kind] then
    if value ~= value then return "NaN, which no JSON can say" end
    if value == HUGE or value == -HUGE then return "an infinite number, which no JSON can say" end
    return nil
  end
  if kind ~= "table" then
    if value == json.null then return nil end
    return NAMES[kind] or ("a " .. kind)
  end
  if depth > DEPTH_MAX then return ("a table nested more than %d levels deep, or in itself"):format(DEPTH_MAX) end
  local key_kind
  for key, inner in next, value do
    local this = type(key)
    if this == "number" then
      if math.type(key) ~= "integer" or key < 1 or key > #value then return ("a table with the key %s"):format(tostring(key)) end
    elseif this ~= "string" then
      return "a table with a key that is " .. (NAMES[this] or "a " .. this)
    end
    if key_kind and key_kind ~= this then return "a table that mixes list items and fields" end
    key_kind = this
    if not SCALAR[type(inner)] or inner ~= inner or inner == HUGE or inner == -HUGE then
      local why = refuse(inner, depth + 1)
      if why then return depth == 1 and ("a table whose '%s' is %s"):format(tostring(key), why) or why end
    end
  end
  return nil
end

--- What is wrong with a value as plain data, or nil.
---@param value any
---@return string|nil
function M.refusal(value)
  return refuse(value, 1)
end

return M
