--- What differs between two values, and between two runs. Pure; never yields.

local json = require "weir.native.json"
local value_of = require "weir.value"

local M = {}

---@class weir.Change
---@field path string    where: `a.b[0]`, "" for the whole value
---@field change "added"|"removed"|"changed"
---@field first any      nil when it was added
---@field second any     nil when it was removed

local function add(list, path, change, first, second)
  list[#list + 1] = { path = path, change = change, first = first, second = second }
end

local function below(path, name)
  if not name:find "^[%a_][%w_-]*$" then return ("%s[%q]"):format(path, name) end
  return path == "" and name or path .. "." .. name
end

local compare

local function compare_members(list, path, first, second)
  local names = {}
  for name in pairs(first) do names[#names + 1] = name end
  for name in pairs(second) do
    if first[name] == nil then names[#names + 1] = name end
  end
  table.sort(names)
  for _, name in ipairs(names) do compare(list, below(path, name), first[name], second[name]) end
end

-- What both begin and end with is left out, so that one item more is one change.
local function compare_items(list, path, first, second)
  local from, last, other = 1, #first, #second
  while from <= last and from <= other and value_of.equal(first[from], second[from]) do from = from + 1 end
  while last >= from and other >= from and value_of.equal(first[last], second[other]) do last, other = last - 1, other - 1 end
  for index = from, math.max(last, other) do
    local old, new = nil, nil
    if index <= last then old = first[index] end
    if index <= other then new = second[index] end
    compare(list, ("%s[%d]"):format(path, index - 1), old, new)
  end
end

function compare(list, path, first, second)
  if value_of.equal(first, second) then return end
  if first == nil then return add(list, path, "added", nil, second) end
  if second == nil then return add(list, path, "removed", first, nil) end
  if type(first) ~= "table" or type(second) ~= "table" or json.is_list(first) ~= json.is_list(second) then
    return add(list, path, "changed", first, second)
  end
  return (json.is_list(first) and compare_items or compare_members)(list, path, first, second)
end

--- The differences of two values, in order of their paths. Of lists what both begin and end with is left out.
---@param first any plain data or nil
---@param second any
---@return weir.Change[]
function M.values(first, second)
  local list = {}
  compare(list, "", first, second)
  return list
end

local function by_key(steps)
  local found = {}
  for _, step in ipairs(steps) do found[step.key] = step end
  return found
end

local function code_of(step)
  return step.error and step.error.code or nil
end

-- Time and place do not count, attempts and outcome do.
local function is_same(first, second, output)
  return first ~= nil and second ~= nil and #output == 0 and first.status == second.status and first.attempt == second.attempt
    and code_of(first) == code_of(second)
end

local function pair(key, first, second)
  local output = M.values(first and first.output, second and second.output)
  return { key = key, first = first, second = second, output = output, is_equal = is_same(first, second, output) }
end

-- What only the second run did, by the step of both that it did before it.
local function only_second(ours, second)
  local behind, last = { [""] = {} }, ""
  for _, step in ipairs(second) do
    if ours[step.key] then
      last, behind[step.key] = step.key, {}
    else
      table.insert(behind[last], step)
    end
  end
  return behind
end

-- Steps in the order of the first run; what only the second did stands where it did it.
local function pairs_of(first, second)
  local theirs, behind, result = by_key(second), only_second(by_key(first), second), {}
  local function put_behind(key)
    for _, step in ipairs(behind[key] or {}) do result[#result + 1] = pair(step.key, nil, step) end
  end
  put_behind ""
  for _, step in ipairs(first) do
    result[#result + 1] = pair(step.key, step, theirs[step.key])
    put_behind(step.key)
  end
  return result
end

--- Compares two runs.
---@param first { version: string, pins: table, input: any, output: any, status: string, error: table|nil, steps: table[] }
---   steps: {key, status, attempt, output, error}, in their order
---@param second table of the same shape
---@return { first: table, second: table, pins: weir.Change[], input: weir.Change[], output: weir.Change[], is_equal: boolean,
---   steps: { key: string, first: table|nil, second: table|nil, output: weir.Change[], is_equal: boolean }[] }
function M.runs(first, second)
  local found = { first = first, second = second, pins = M.values(first.pins, second.pins), input = M.values(first.input, second.input),
    output = M.values(first.output, second.output), steps = pairs_of(first.steps, second.steps) }
  local is_equal = first.version == second.version and first.status == second.status and #found.pins == 0 and #found.input == 0
    and #found.output == 0
  for _, step in ipairs(found.steps) do is_equal = is_equal and step.is_equal end
  found.is_equal = is_equal
  return found
end

return M
