--- Takes the parts that the schema refused out of a copy of a definition, so that the semantic checks
--- can go on and a person sees all errors at once. What is taken out is replaced so that it causes no
--- error of its own: a step keeps its name, a branch may lead anywhere. Pure; never yields.

local form = require "weir.definition.form"
local json = require "weir.native.json"

local M = {}

local function copy_of(value, sources)
  if type(value) ~= "table" then return value end
  local result = {}
  for key, inner in pairs(value) do result[key] = copy_of(inner, sources) end
  if json.is_list(value) then json.list(result) end
  return sources:derive(result, value)
end

local function mend_step(step, field)
  if field ~= nil and not form.is_kind[field] and field ~= "name" and field ~= "output" then
    step[field] = nil
    return
  end
  for _, kind in ipairs(form.kinds) do step[kind] = nil end
  step.sleep, step.options, step.output = 0, nil, nil
end

local function mend_group(group, field)
  if field == "branch" then
    group.branch = {}
  elseif field ~= nil and field ~= "name" and field ~= "steps" then
    group[field] = nil
  end
end

-- The innermost step or group on the way to an error, and the field of it that the error is in.
local function innermost(root, keys)
  local value, holder, field, mend = root, root, keys[1], nil
  for position, key in ipairs(keys) do
    if type(value) ~= "table" then break end
    value = value[math.type(key) and key + 1 or key]
    local before = keys[position - 1]
    local is_step = math.type(key) and (before == "steps" or before == "branches") or key == "each" and before == "map"
    local is_group = math.type(key) and before == "groups"
    if type(value) == "table" and (is_step or is_group) then
      holder, field, mend = value, keys[position + 1], is_step and mend_step or mend_group
    end
  end
  return holder, field, mend
end

--- A copy of `data` without what the errors are about, if that makes it fit the schema.
---@param data table
---@param sources weir.Sources  learns where the copy's tables come from
---@param validate weir.Validator
---@return table|nil mended  nil if it cannot be mended
function M.mend(data, sources, validate)
  local mended = copy_of(data, sources)
  for _ = 1, 8 do
    local fits, errors = validate(mended)
    if fits then return mended end
    for _, entry in ipairs(errors) do
      local holder, field, mend = innermost(mended, entry.keys)
      if mend then
        mend(holder, field)
      elseif field ~= nil and field ~= "groups" then
        holder[field] = nil
      end
    end
    mended.weir = 1
  end
end

return M
