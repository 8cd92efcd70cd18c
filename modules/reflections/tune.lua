--- Tunes options of steps by coordinate search: one option after the other is given the values beside its own (of numbers the
--- next larger and the next smaller one, of all else every other), until none of them was kept. What was tried before on
--- the same pipeline is not tried again.
---
--- The method of Hooke and Jeeves, "Direct Search Solution of Numerical and Statistical Problems", Journal of the ACM 8 (1961),
--- without its pattern moves; whoever measures decides whether a move is kept. Offline; draws nothing by chance.

local weir = require "weir"

local M = {
  kind = "reflection", name = "tune", api = 1,
  doc = "Tries other values of options, one at a time",
  options = {
    vary = { -- in the order in which they are tried
      type = "array", minItems = 1, items = {
        type = "object", additionalProperties = false, required = { "step", "option", "values" },
        properties = {
          step = { type = "string", minLength = 1 },
          option = { type = "string", minLength = 1 },
          values = { type = "array", minItems = 2, items = {} },
        },
      },
    },
  },
}

local INSIDE = { "steps", "groups", "branches" }
local SINGLE = { "map", "speculate", "plan", "each", "reduce", "chunk" }

-- The step of a name, and its JSON Pointer.
local function find(value, name, pointer)
  if type(value) ~= "table" then return nil end
  if value.name == name and (value.agent or value.options) then return value, pointer end
  for _, field in ipairs(INSIDE) do
    for index, inner in ipairs(type(value[field]) == "table" and value[field] or {}) do
      local found, at = find(inner, name, ("%s/%s/%d"):format(pointer, field, index - 1))
      if found then return found, at end
    end
  end
  for _, field in ipairs(SINGLE) do
    local inner = value[field]
    if (field == "reduce" or field == "chunk") and field == name and type(inner) == "table" then return inner, pointer .. "/" .. field end
    local found, at = find(inner, name, pointer .. "/" .. field)
    if found then return found, at end
  end
end

local function text_of(value) return type(value) == "string" and value or tostring(value) end

local function name_of(one) return one.step .. "." .. one.option end

-- Where the definition stands: the value of each option, and the step that has it.
local function place_of(vary, definition)
  local point, steps = {}, {}
  for _, one in ipairs(vary) do
    local step, pointer = find(definition, one.step, "")
    if not step then return nil, ("tune: the pipeline has no step '%s'"):format(one.step), "invalid" end
    steps[name_of(one)] = { step = step, pointer = pointer }
    local value = type(step.options) == "table" and step.options[one.option]
    if value == nil then value = weir.null end
    point[name_of(one)] = value
  end
  return point, steps
end

local function key_of(vary, point)
  local parts = {}
  for index, one in ipairs(vary) do parts[index] = name_of(one) .. "=" .. text_of(point[name_of(one)]) end
  return table.concat(parts, " ")
end

local function is_known(note, vary)
  if type(note) ~= "table" then return false end
  for _, one in ipairs(vary) do
    if note[name_of(one)] == nil then return false end
  end
  return true
end

local NOT_TRIED = { limit = true, stale = true, rejected = true }

-- Where a candidate stood, and where it came from; not of one of which nothing is known.
local function visited(vary, point, candidates)
  local seen = { [key_of(vary, point)] = true }
  for _, one in ipairs(candidates) do
    local is_tried = one.state == "kept" or one.state == "reverted" and not NOT_TRIED[one.code]
    local note = is_tried and type(one.note) == "table" and one.note or {}
    for _, place in ipairs { note.at or false, note.from or false } do
      if place and is_known(place, vary) then seen[key_of(vary, place)] = true end
    end
  end
  return seen
end

local function all_numbers(values)
  for _, value in ipairs(values) do
    if type(value) ~= "number" then return false end
  end
  return true
end

-- Of numbers the next larger one and the next smaller one; of all else every other in the order given.
local function beside(values, current)
  if not all_numbers(values) or type(current) ~= "number" then
    local others = {}
    for _, value in ipairs(values) do
      if value ~= current then others[#others + 1] = value end
    end
    return others
  end
  local above, below
  for _, value in ipairs(values) do
    if value > current and (not above or value < above) then above = value end
    if value < current and (not below or value > below) then below = value end
  end
  local list = {}
  if above then list[#list + 1] = above end
  if below then list[#list + 1] = below end
  return list
end

local function moved(point, name, value)
  local other = {}
  for known, is in pairs(point) do other[known] = is end
  other[name] = value
  return other
end

local function escaped(name) return (name:gsub("~", "~0"):gsub("/", "~1")) end

local function patch_of(one, place, value)
  local pointer = place.pointer .. "/options"
  if type(place.step.options) ~= "table" then
    return weir.list { { op = "add", path = pointer, value = { [one.option] = value } } }
  end
  local op = place.step.options[one.option] == nil and "add" or "replace"
  return weir.list { { op = op, path = pointer .. "/" .. escaped(one.option), value = value } }
end

--- Proposes the next place that nobody has been to. Does not wait.
---@param ctx weir.Context
---@param record weir.reflection.Record
---@return { reason: string, patch: table[], note: table }|nil nil: every place beside this one was tried
---@return string? message
---@return string? code invalid: a step that is not there
function M.propose(ctx, record)
  local vary = ctx.options.vary
  local point, steps, code = place_of(vary, record.definition)
  if not point then return nil, steps, code end
  local seen = visited(vary, point, record.candidates)
  for _, one in ipairs(vary) do
    local name = name_of(one)
    for _, value in ipairs(beside(one.values, point[name])) do
      local there = moved(point, name, value)
      if not seen[key_of(vary, there)] then
        local reason = ("%s from %s to %s"):format(name, text_of(point[name]), text_of(value))
        return { reason = reason, patch = patch_of(one, steps[name], value),
          note = { from = point, at = there } }
      end
    end
  end
  return nil
end

return M
