--- What makes one value of another: JSON Patch (RFC 6902) with JSON Pointer (RFC 6901). All its operations are applied; a
--- difference is told as add, remove and replace. Lists are compared by what is the same at their beginning and end; what
--- lies between is taken item by item where the items bear the same names. Pure; never yields.

local json = require "weir.native.json"
local value_of = require "weir.value"

local M = {}

--- A name or index as a part of a JSON Pointer.
---@param segment string|integer
---@return string
function M.escaped(segment)
  return (tostring(segment):gsub("~", "~0"):gsub("/", "~1"))
end

local escaped = M.escaped

local function note(operations, op, pointer, value)
  operations[#operations + 1] = { op = op, path = pointer, value = value }
end

local diff

local function diff_objects(a, b, pointer, operations)
  for _, name in ipairs(value_of.names(a)) do
    local at = pointer .. "/" .. escaped(name)
    if b[name] == nil then note(operations, "remove", at) else diff(a[name], b[name], at, operations) end
  end
  for _, name in ipairs(value_of.names(b)) do
    if a[name] == nil then note(operations, "add", pointer .. "/" .. escaped(name), b[name]) end
  end
end

-- How many items are the same at the beginning, and at the end of the rest.
local function ends_in_common(a, b)
  local least, head, tail = math.min(#a, #b), 0, 0
  while head < least and value_of.equal(a[head + 1], b[head + 1]) do head = head + 1 end
  while tail < least - head and value_of.equal(a[#a - tail], b[#b - tail]) do tail = tail + 1 end
  return head, tail
end

local function name_of(item)
  return type(item) == "table" and item ~= json.null and item.name or nil
end

local function same_names(a, b, from, to)
  for index = from, to do
    if name_of(a[index]) ~= name_of(b[index]) then return false end
  end
  return true
end

local function diff_lists(a, b, pointer, operations)
  local head, tail = ends_in_common(a, b)
  local last_a, last_b = #a - tail, #b - tail
  if last_a == last_b and same_names(a, b, head + 1, last_a) then
    for index = head + 1, last_a do diff(a[index], b[index], ("%s/%d"):format(pointer, index - 1), operations) end
    return
  end
  for index = last_a, head + 1, -1 do note(operations, "remove", ("%s/%d"):format(pointer, index - 1)) end
  for index = head + 1, last_b do note(operations, "add", ("%s/%d"):format(pointer, index - 1), b[index]) end
end

function diff(a, b, pointer, operations)
  if value_of.equal(a, b) then return end
  local kind = value_of.kind(a)
  if kind ~= value_of.kind(b) or kind ~= "object" and kind ~= "array" then return note(operations, "replace", pointer, b) end
  local compare = kind == "object" and diff_objects or diff_lists
  compare(a, b, pointer, operations)
end

--- The operations that make `b` of `a`, in order.
---@param a any plain data
---@param b any
---@return { op: "add"|"remove"|"replace", path: string, value: any }[]
function M.diff(a, b)
  local operations = json.list {}
  diff(a, b, "", operations)
  return value_of.copy(operations)
end

--- The parts of a JSON Pointer; nil for what is none.
---@param pointer any
---@return string[]|nil
function M.segments(pointer)
  if type(pointer) ~= "string" then return nil end
  if pointer == "" then return {} end
  if pointer:sub(1, 1) ~= "/" then return nil end
  local segments = {}
  for segment in pointer:sub(2):gmatch "[^/]*" do segments[#segments + 1] = segment:gsub("~1", "/"):gsub("~0", "~") end
  return segments
end

local segments_of = M.segments

-- The place in a list that a segment names; `-` is behind the last one, and `01` is no number there.
local function index_of(list, segment, most)
  local is_number = segment == "0" or segment:find "^[1-9]%d*$"
  local index = segment == "-" and #list or is_number and math.tointeger(tonumber(segment))
  return index and index < most and index + 1 or nil
end

local function step_into(holder, segment)
  if type(holder) ~= "table" or holder == json.null then return nil end
  if json.is_list(holder) then
    local index = index_of(holder, segment, #holder)
    return index and holder[index]
  end
  return holder[segment]
end

--- What a JSON Pointer finds.
---@param value any
---@param pointer string
---@return any nil: nothing is there
function M.get(value, pointer)
  for _, segment in ipairs(segments_of(pointer) or {}) do value = step_into(value, segment) end
  return value
end

local OPERATE = {}

function OPERATE.add(holder, segment, value)
  if not json.is_list(holder) then
    holder[segment] = value
    return true
  end
  local index = index_of(holder, segment, #holder + 1)
  if not index then return false end
  table.insert(holder, index, value)
  return true
end

function OPERATE.remove(holder, segment)
  if step_into(holder, segment) == nil then return false end
  if json.is_list(holder) then table.remove(holder, index_of(holder, segment, #holder)) else holder[segment] = nil end
  return true
end

function OPERATE.replace(holder, segment, value)
  if step_into(holder, segment) == nil then return false end
  holder[json.is_list(holder) and index_of(holder, segment, #holder) or segment] = value
  return true
end

local function holder_of(root, segments)
  local holder = root
  for index = 1, #segments - 1 do holder = step_into(holder, segments[index]) end
  return type(holder) == "table" and holder ~= json.null and holder or nil
end

-- Gives the root in a list of one, or nil and what is wrong.
local function change(root, op, pointer, value)
  local segments = segments_of(pointer)
  if not segments then return nil, "it is no JSON Pointer: '' or a text that begins with '/'" end
  if #segments == 0 then
    if op == "remove" then return nil, "the whole cannot be removed" end
    return { value_of.copy(value) }
  end
  local holder = holder_of(root, segments)
  if not holder or not OPERATE[op](holder, segments[#segments], value_of.copy(value)) then return nil, "nothing stands there" end
  return { root }
end

local APPLY = {}

for _, op in ipairs { "add", "replace" } do
  APPLY[op] = function(root, operation)
    if operation.value == nil then return nil, "it has no 'value'" end
    return change(root, op, operation.path, operation.value)
  end
end

function APPLY.remove(root, operation) return change(root, "remove", operation.path) end

local function found_at(root, pointer)
  local segments = segments_of(pointer)
  if not segments then return nil, ("'from' is no JSON Pointer, but '%s'"):format(tostring(pointer)) end
  local value = M.get(root, pointer)
  if value == nil then return nil, ("nothing stands at '%s'"):format(pointer) end
  return value
end

function APPLY.copy(root, operation)
  local value, message = found_at(root, operation.from)
  if value == nil then return nil, message end
  return change(root, "add", operation.path, value)
end

function APPLY.move(root, operation)
  local value, message = found_at(root, operation.from)
  if value == nil then return nil, message end
  if operation.path == operation.from then return { root } end
  if tostring(operation.path):sub(1, #operation.from + 1) == operation.from .. "/" then
    return nil, ("'%s' would be moved into itself"):format(operation.from)
  end
  local without
  without, message = change(root, "remove", operation.from)
  if not without then return nil, message end
  return change(without[1], "add", operation.path, value)
end

function APPLY.test(root, operation)
  local value, message = found_at(root, operation.path)
  if value == nil then return nil, message end
  if not value_of.equal(value, operation.value) then return nil, ("%s stands there"):format(value_of.show(value)) end
  return { root }
end

local OPERATIONS = "add, remove, replace, move, copy, test"

local function apply_one(root, operation)
  local operate = type(operation) == "table" and APPLY[operation.op]
  if not operate then return nil, "it is none of " .. OPERATIONS end
  return operate(root, operation)
end

--- A copy of a value, changed as operations say: all of them, or none.
---@param value any plain data
---@param operations table[]
---@return any changed
---@return string|nil message  the operation that cannot be done, and where
---@return string|nil code     invalid
function M.apply(value, operations)
  local root = value_of.copy(value)
  for number, operation in ipairs(operations) do
    local done, why = apply_one(root, operation)
    if not done then
      local op, path = operation, ""
      if type(operation) == "table" then op, path = operation.op, operation.path end
      return nil, ("operation %d (%s '%s') cannot be done: %s"):format(number, tostring(op), tostring(path), why), "invalid"
    end
    root = done[1]
  end
  return root
end

return M
