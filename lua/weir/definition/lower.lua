--- Turns what the constructors built into plain data of the shape that YAML and JSON have, and tells
--- every mistake of the tree. Pure; never yields.

local build = require "weir.definition.build"
local json = require "weir.native.json"
local value_of = require "weir.value"

local M = {}

local DEPTH_MAX = 64

--- Fields that belong to the step whatever its kind; the others of `weir.approval` and the like
--- belong to the kind.
M.step_fields = {}
for name in ([[input options when retry timeout idle_timeout deadline budget priority critic
  branch_label optional once undo model
  tools stream from approve_if post cache branch gate]]):gmatch("%S+") do M.step_fields[name] = true end

local Lowering = {}
Lowering.__index = Lowering

local function note(self, place, field, message, ...)
  local entry = { field = field, code = "invalid", message = message:format(...) }
  entry.file, entry.line = place.file or self.sources.file, place.line or nil
  self.errors[#self.errors + 1] = entry
end

local function placed(self, data, node)
  self.sources:mark(data, node.line, nil, node.file)
  return data
end

local lower_step, lower_value

local REFUSED = {
  ["function"] = "is a function; a declared pipeline is data: write an agent, or a flow",
  userdata = "is a userdata; a definition is plain data",
  thread = "is a coroutine; a definition is plain data",
}

local function lower_list(self, value, node, field, depth)
  local result = {}
  for index = 1, #value do
    local inner = lower_value(self, value[index], node, ("%s[%d]"):format(field, index - 1), depth + 1)
    if inner == nil then inner = json.null end
    result[index] = inner
  end
  return json.list(result)
end

local function lower_object(self, value, node, field, depth)
  local result = {}
  for key, inner in pairs(value) do
    if type(key) ~= "string" then
      note(self, node, field, "%s: %s mixes list items and fields, or has a hole", build.label(node), field)
      return nil
    end
    result[key] = lower_value(self, inner, node, field .. "." .. key, depth + 1)
  end
  return result
end

-- A field's value as plain data; lists are marked.
function lower_value(self, value, node, field, depth)
  if build.is_unfinished(value) then
    note(self, value, field, "%s is unfinished: its table {...} is missing", build.label(value))
    return nil
  end
  if build.is_node(value) then
    if value.type == "step" then return lower_step(self, value) end
    note(self, value, field, "%s stands in the field '%s'; a step is expected there", build.label(value), field)
    return nil
  end
  local refused = REFUSED[type(value)]
  if refused and value ~= json.null then
    note(self, node, field, "%s: %s %s", build.label(node), field, refused)
    return nil
  end
  if type(value) ~= "table" then return value end
  if depth > DEPTH_MAX then
    local message = "%s: %s is nested more than %d levels deep, or in itself"
    note(self, node, field, message, build.label(node), field, DEPTH_MAX)
    return nil
  end
  if json.is_list(value) then return lower_list(self, value, node, field, depth) end
  return lower_object(self, value, node, field, depth)
end

-- In a flow values are what they are: a list that was read may be large and is not copied.
local function lower_field(self, value, node, name)
  if self.flow and (name == "input" or name == "over" or name == "show" or name == "goal") then return value end
  return lower_value(self, value, node, name, 1)
end

local function start(self, node)
  for _, problem in ipairs(node.problems) do note(self, problem, nil, "%s %s", build.label(node), problem.message) end
  return placed(self, { name = node.name }, node)
end

local function copy_fields(self, data, node)
  for _, name in ipairs(value_of.names(node.fields)) do
    if name == "name" then
      note(self, node, "name", "%s: its name stands before its table already", build.label(node))
    else
      data[name] = lower_field(self, node.fields[name], node, name)
    end
  end
  return data
end

local function refuse_body(self, node, data)
  if not node.body or self.flow then return end
  if data then self.kindless[data] = true end
  local message = "%s has a function in it; a declared pipeline is data: write an agent, or a flow"
  note(self, node, nil, message, build.label(node))
end

local function lower_group(self, node)
  local data = copy_fields(self, start(self, node), node)
  refuse_body(self, node)
  if data.steps == nil then data.steps = placed(self, json.list {}, node) end
  for _, child in ipairs(node.children) do
    if child.type == "step" then
      data.steps[#data.steps + 1] = lower_step(self, child)
    else
      note(self, child, nil, "%s stands inside %s; a group holds steps", build.label(child), build.label(node))
    end
  end
  return data
end

-- Children where groups are expected; a bare step may stand for a group.
local function lower_members(self, node, children)
  local members = placed(self, json.list {}, node)
  for _, child in ipairs(children) do
    if child.type == "group" then
      members[#members + 1] = lower_group(self, child)
    elseif child.type == "step" then
      members[#members + 1] = lower_step(self, child)
    else
      note(self, child, nil, "%s stands inside %s; a child run is written weir.step \"name\" { pipeline = \"%s\" }",
        build.label(child), build.label(node), child.name)
    end
  end
  return members
end

local function add_children(self, data, node)
  if #node.children == 0 then return end
  if data.groups ~= nil then
    note(self, node, "groups", "%s has both children and a field 'groups'", build.label(node))
  end
  data.groups = lower_members(self, node, node.children)
end

local function map_body(self, node, output)
  if node.body then
    if self.flow then return placed(self, { name = "each", run = node.body }, node) end
    refuse_body(self, node)
  end
  local first = node.children[1]
  if not first then return nil end
  if #node.children == 1 and first.type == "step" and output == nil then return lower_step(self, first) end
  return placed(self, { name = "each", groups = lower_members(self, node, node.children), output = output }, node)
end

local function branch_list(self, node)
  local branches = placed(self, json.list {}, node)
  for _, child in ipairs(node.children) do
    if child.type == "step" then
      branches[#branches + 1] = lower_step(self, child)
    else
      note(self, child, nil, "%s stands inside %s; its branches are steps", build.label(child), build.label(node))
    end
  end
  return branches
end

local function split_fields(self, node)
  local all, data, kind = copy_fields(self, {}, node), start(self, node), placed(self, {}, node)
  for name, value in pairs(all) do
    if M.step_fields[name] then
      data[name] = value
    else
      kind[name] = value
    end
  end
  return data, kind
end

local BODIES = {
  map = function(self, node, kind)
    local output = kind.output
    kind.output = nil
    local body = map_body(self, node, output)
    if body and kind.each ~= nil then
      note(self, node, "each", "%s has both children and a field 'each'", build.label(node))
    end
    kind.each = body or kind.each
  end,
  speculate = function(self, node, kind)
    if #node.children > 0 and kind.branches ~= nil then
      note(self, node, "branches", "%s has both children and a field 'branches'", build.label(node))
    end
    if #node.children > 0 or kind.branches == nil then kind.branches = branch_list(self, node) end
    refuse_body(self, node)
  end,
}

local function lower_kind(self, node)
  local data, kind = split_fields(self, node)
  data[node.kind] = kind
  local body = BODIES[node.kind]
  if body then
    body(self, node, kind)
  elseif #node.children > 0 or node.body then
    note(self, node, nil, "%s takes no children", build.label(node))
  end
  return data
end

function lower_step(self, node)
  local data = node.kind and lower_kind(self, node) or copy_fields(self, start(self, node), node)
  if not node.kind then
    refuse_body(self, node, data)
    data.run = self.flow and node.body or nil
    add_children(self, data, node)
  end
  self.is_step[data] = true
  return data
end

local function lower_pipeline(self, node)
  local data = copy_fields(self, start(self, node), node)
  if node.type == "flow" then
    if not node.body then note(self, node, nil, "%s has no function in it", build.label(node)) end
    if #node.children > 0 then
      note(self, node, nil, "%s has children; a flow calls run:step and the like", build.label(node))
    end
    return data
  end
  refuse_body(self, node)
  add_children(self, data, node)
  return data
end

local LOWER = { pipeline = lower_pipeline, flow = lower_pipeline, group = lower_group, step = lower_step }

--- Lowers a built tree.
---@param node weir.Node
---@param sources weir.Sources  gets the lines
---@param options? { flow: boolean }  inside a flow: functions may be steps
---@return table data       as YAML would say it; steps of flows have `run`, a function
---@return table[] errors   {file, line, field, code, message}
---@return table is_step    set of the tables that were written as steps
---@return table kindless   set of the steps whose kind was refused already
function M.lower(node, sources, options)
  local self = setmetatable({ sources = sources, errors = {}, is_step = {}, kindless = {} }, Lowering)
  self.flow = options and options.flow
  return LOWER[node.type](self, node), self.errors, self.is_step, self.kindless
end

return M
