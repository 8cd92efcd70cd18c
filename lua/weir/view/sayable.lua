--- What a run knows, as JSON can say it. A step may give bytes that are no UTF-8, and a store of before may hold an infinite
--- number; whoever looks at them is shown what they are, instead of nothing of the run. Pure.

local json = require "weir.native.json"
local utf8_of = require("weir.text.visible").utf8

local M = {}

local DEPTH_MAX = 64

local said

local function said_of_table(value, depth)
  local copy = {}
  for name, inner in pairs(value) do copy[type(name) == "string" and utf8_of(name) or name] = said(inner, depth + 1) end
  return json.is_list(value) and json.list(copy) or copy
end

local function said_of_number(value)
  if value ~= value then return "NaN" end
  if value == math.huge then return "Infinity" end
  return value == -math.huge and "-Infinity" or value
end

function said(value, depth)
  local kind = type(value)
  if kind == "string" then return utf8.len(value) and value or { base64 = require("weir.native.digest").to_base64(value) } end
  if kind == "number" then return said_of_number(value) end
  if kind ~= "table" or depth > DEPTH_MAX then return value end
  return said_of_table(value, depth)
end

--- A value as JSON. Text that is no UTF-8 is written as `{"base64": "..."}`, a name that is none with `\xff` for each such byte,
--- and what is no finite number as the text `Infinity`, `-Infinity` or `NaN`; everything else as it is.
---@param value any
---@param options table|nil as `json.encode` takes them
---@return string|nil
---@return string? message
function M.encode(value, options)
  local text, message = json.encode(value, options)
  if text then return text end
  text = json.encode(said(value, 1), options)
  if text then return text end
  return nil, message
end

return M
