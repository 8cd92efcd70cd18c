--- What a reflection may not change, whatever it proposes: what limits it, what limits the pipeline, and where people decide.
--- A proposal is compared with what it is made of, so that it does not matter by which operations it gets there. Pure; never
--- yields.

local json = require "weir.native.json"
local patches = require "weir.planning.patch"
local value_of = require "weir.value"

local M = {}

--- What a definition says at the top that a reflection may change. All else there says what the pipeline is for, what it may
--- use and who watches it.
M.open_at_top = { groups = true, doc = true }

-- Fields of steps and groups, and of what stands in them, that limit what is done or ask somebody before it is.
local PROTECTED = {}
for name in ([[budget timeout idle_timeout deadline retry approval approve_if gate limits sign_off max_visits critic once undo
  tolerate tools]]):gmatch "%S+" do PROTECTED[name] = true end

-- Where people decide, how the pipeline gets there counts as well: nothing goes round an approval.
local ROUTING = { "branch", "join", "when", "optional", "agent", "pipeline", "wait", "sleep", "from", "fail_fast" }

-- Where the parts of a group or step stand that are groups and steps in turn.
local INSIDE = { steps = true, groups = true, branches = true, each = true, map = true, speculate = true, plan = true, reduce = true,
  chunk = true }

local function below(pointer, name) return pointer .. "/" .. patches.escaped(name) end

-- Walks groups and steps. `visit(holder, pointer, path)`: path is made of names, so it is the same where others were added
-- before it.
local function walk(value, pointer, path, visit)
  if type(value) ~= "table" or value == json.null then return end
  if json.is_list(value) then
    for index, inner in ipairs(value) do
      walk(inner, below(pointer, index - 1), ("%s/%s"):format(path, type(inner) == "table" and inner.name or index), visit)
    end
    return
  end
  visit(value, pointer, path)
  for _, name in ipairs(value_of.names(value)) do
    if INSIDE[name] then walk(value[name], below(pointer, name), path .. "." .. name, visit) end
  end
end

local function asks_people(holder)
  return holder.approval ~= nil or holder.gate ~= nil or holder.approve_if ~= nil or type(holder.plan) == "table" and holder.plan.sign_off
end

local function has_people(normal)
  local found = false
  walk(normal.groups, "/groups", "", function(holder) found = found or asks_people(holder) and true end)
  return found
end

-- Everything that may not change, by its path of names: {pointer, value, what}.
local function protected_parts(normal, frozen, with_routing)
  local parts = {}
  local function note(path, pointer, value, what) parts[path] = { pointer = pointer, value = value, what = what } end
  walk(normal.groups, "/groups", "", function(holder, pointer, path)
    if frozen[holder.name] then return note(path, pointer, holder, "is protected (reflect.protect)") end
    for name, value in pairs(holder) do
      if PROTECTED[name] then note(path .. "@" .. name, below(pointer, name), value, "limits what is done, or asks somebody first") end
    end
    for _, name in ipairs(with_routing and ROUTING or {}) do
      if holder[name] ~= nil then
        note(path .. "@" .. name, below(pointer, name), holder[name], "leads to what a person decides")
      end
    end
  end)
  return parts
end

-- Which groups and steps there are, in their order.
local function skeleton(normal)
  local names, pointers = {}, {}
  walk(normal.groups, "/groups", "", function(_, pointer, path)
    names[#names + 1], pointers[#pointers + 1] = path, pointer
  end)
  return names, pointers
end

-- The deepest place at which two values differ first.
local function place_of_change(before, after, pointer)
  if before == nil or after == nil then return pointer end
  local first = patches.diff(before, after)[1]
  return pointer .. (first and first.path or "")
end

local function denied(pointer, what)
  return nil, ("%s: %s; a reflection may not change it"):format(pointer, what), "denied"
end

local WHY = {
  reflect = "limits reflections themselves", budget = "limits what a run may use", supervise = "says who watches the pipeline",
  input = "says what the pipeline takes", output = "is what the pipeline gives, and what is measured", name = "names the pipeline",
}

local function check_top(before, after)
  local either = {}
  for name in pairs(before) do either[name] = true end
  for name in pairs(after) do either[name] = true end
  for _, name in ipairs(value_of.names(either)) do
    if not M.open_at_top[name] and not value_of.equal(before[name], after[name]) then
      return denied(place_of_change(before[name], after[name], "/" .. name), WHY[name] or "is none of the pipeline's steps")
    end
  end
  return true
end

local function check_order(before, after)
  local old = skeleton(before)
  local new, new_pointers = skeleton(after)
  for index = 1, math.max(#old, #new) do
    if old[index] ~= new[index] then
      return denied(new_pointers[index] or "/groups", "people decide in this pipeline, so its steps are neither added, removed nor moved")
    end
  end
  return true
end

-- In the order of where they stand, so that the first one is told.
local function check_parts(before, after)
  for _, path in ipairs(value_of.names(before)) do
    local old, new = before[path], after[path]
    if not new or not value_of.equal(old.value, new.value) then
      return denied(place_of_change(old.value, new and new.value, old.pointer), old.what)
    end
  end
  for _, path in ipairs(value_of.names(after)) do
    if not before[path] then return denied(after[path].pointer, after[path].what) end
  end
  return true
end

local function set_of(list)
  local set = {}
  for _, name in ipairs(list or {}) do set[name] = true end
  return set
end

-- What is named in an operation is refused by its own name, also where the operation would change nothing.
local function check_named(patch)
  for _, operation in ipairs(patch) do
    for _, field in ipairs { "path", "from" } do
      local is_change = type(operation) == "table" and operation.op ~= "test"
      local segments = is_change and patches.segments(operation[field])
      local top = segments and segments[1]
      if top and not M.open_at_top[top] then return denied(operation[field], WHY[top] or "is none of the pipeline's steps") end
    end
  end
  return true
end

---@class weir.reflection.Size of a proposal
---@field changes integer operations, or lines of a source
---@field bytes integer

--- Whether a proposal is as small as it has to be.
---@param size weir.reflection.Size
---@param limits { changes: integer, bytes: integer }
---@return boolean|nil
---@return string|nil message
---@return string|nil code limit
function M.check_size(size, limits)
  for _, name in ipairs { "changes", "bytes" } do
    if size[name] > limits[name] then
      return nil, ("/reflect/limits/%s: the proposal has %d %s, and %d are allowed"):format(name, size[name], name, limits[name]), "limit"
    end
  end
  return true
end

--- Applies a patch to a definition, unless it touches what is protected.
---@param normal table the normal form
---@param patch table[] JSON Patch
---@param limits { changes: integer, bytes: integer }
---@return table|nil changed
---@return string|weir.reflection.Size message or how large the patch is
---@return string|nil code invalid (no patch, or one that cannot be done, or changes nothing), denied, limit
function M.apply(normal, patch, limits)
  if type(patch) ~= "table" or not json.is_list(patch) and #patch == 0 then
    return nil, "patch: a list of operations expected, got " .. value_of.show(patch), "invalid"
  end
  local encoded, wrong = json.encode(json.list(patch), { canonical = true })
  if not encoded then return nil, "patch: " .. wrong, "invalid" end
  local changed, message, code = patches.apply(normal, patch)
  local named, why, denied_code = check_named(patch)
  if not named then return nil, why, denied_code end
  if changed == nil then return nil, "patch: " .. message, code end
  if type(changed) ~= "table" or value_of.equal(normal, changed) then return nil, "patch: it changes nothing", "invalid" end
  local ok
  ok, message, code = M.compare(normal, changed)
  if not ok then return nil, message, code end
  local size = { changes = #patch, bytes = #encoded }
  ok, message, code = M.check_size(size, limits)
  if not ok then return nil, message, code end
  return changed, size
end

--- Whether one definition may stand in the place of another.
---@param before table normal form
---@param after table
---@return boolean|nil
---@return string|nil message begins with the JSON Pointer of what may not be changed
---@return string|nil code denied
function M.compare(before, after)
  local ok, message, code = check_top(before, after)
  if not ok then return nil, message, code end
  local people = has_people(before)
  if people then
    ok, message, code = check_order(before, after)
    if not ok then return nil, message, code end
  end
  local frozen = set_of(before.reflect and before.reflect.protect)
  return check_parts(protected_parts(before, frozen, people), protected_parts(after, frozen, people))
end

local SETTINGS = { options = true, input = true, model = true }

-- Whether a pointer leads into what a step is set to.
local function is_setting(pointer)
  local segments = patches.segments(pointer)
  for index = 2, #segments do
    if SETTINGS[segments[index]] then return true end
  end
  return false
end

--- Whether two definitions differ only in what steps are set to: their options, inputs and models.
---@param before table normal form
---@param after table
---@return boolean
function M.only_settings(before, after)
  for _, operation in ipairs(patches.diff(before, after)) do
    if not is_setting(operation.path) then return false end
  end
  return true
end

-- Sources ------------------------------------------------------------------------------------------------

local OPEN_KINDS = { agents = true, planners = true }

--- Whether a reflection may propose another source for a module: only agents and planners that the pipeline uses. What
--- judges, decides, watches and reflects is what it is measured and kept by.
---@param full string such as "agents/chunk"
---@param pins table<string, string> versions that the pipeline uses
---@return boolean|nil
---@return string|nil message
---@return string|nil code invalid, denied
function M.check_module(full, pins)
  local folder = type(full) == "string" and full:match "^(%a+)/[a-z][a-z0-9_]*$"
  if not folder then return nil, ("source.module: such as agents/chunk expected, got %s"):format(value_of.show(full)), "invalid" end
  if not OPEN_KINDS[folder] then
    return nil, ("source.module: %s: only agents and planners may be given another source by a reflection"):format(full), "denied"
  end
  if not pins[full] then return nil, ("source.module: %s: the pipeline does not use it"):format(full), "invalid" end
  return true
end

--- How large a change of a source is.
---@param diff string[] of `weir.text.difference.changes`
---@return weir.reflection.Size
function M.source_size(diff)
  local bytes = 0
  for _, line in ipairs(diff) do bytes = bytes + #line end
  return { changes = #diff, bytes = bytes }
end

return M
