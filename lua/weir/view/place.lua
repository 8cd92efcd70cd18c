--- Where a key of a journal stands in the definition: which group, which step, which visit.
--- Keys are made by the run engine: `step`, `group/step`, `group#2/step` for a second visit, `map[3]/step`
--- for an item, `map/reduce/...`, and a body's or child's own keys below the key of its step. Pure.

local keys = require "weir.run.keys"

local M = {}

local function parse(segment)
  local parts = keys.segment(segment)
  return parts.name, parts.visit, parts.index
end

local function named(list, name)
  for _, entry in ipairs(list or {}) do
    if entry.name == name then return entry end
  end
end

local function is_bare(group)
  return #group.steps == 1 and group.steps[1].name == group.name
end

-- A child pipeline has the groups of its own definition.
local function groups_of(self, node)
  if node.groups then return node.groups end
  local child = node.pipeline and self.children[node.pipeline]
  return child and child.groups
end

local find_in_groups

local function of_map(node, segments, at, found)
  local first = parse(segments[at])
  local own = first == "chunk" and node.map.chunk or first == "reduce" and node.map.reduce
  if not own then return nil end
  return { name = first, group = found.group, visit = found.visit, node = own }
end

-- Below a step: its item, its body, its child, its reduce.
local function below(self, node, segments, at, index, found)
  if at > #segments then return found end
  if node.map and index == nil then return of_map(node, segments, at, found) end
  if node.map then
    local name, _, inner = parse(segments[at])
    if name ~= node.map.each.name then return nil end
    return below(self, node.map.each, segments, at + 1, inner,
      { name = name, group = found.group, visit = found.visit, node = node.map.each })
  end
  if node.speculate then
    local name, _, inner = parse(segments[at])
    local branch = named(node.speculate.branches, name)
    return branch and below(self, branch, segments, at + 1, inner, { name = name, group = found.group, visit = found.visit, node = branch })
  end
  local groups = groups_of(self, node)
  return groups and find_in_groups(self, groups, segments, at)
end

function find_in_groups(self, groups, segments, at)
  local name, visit, index = parse(segments[at])
  local group = named(groups, name)
  if not group then return nil end
  if is_bare(group) then
    local node = group.steps[1]
    return below(self, node, segments, at + 1, index, { name = name, group = name, visit = visit, node = node })
  end
  if at == #segments then return nil end
  local step, _, inner = parse(segments[at + 1])
  local node = named(group.steps, step)
  return node and below(self, node, segments, at + 2, inner, { name = step, group = name, visit = visit, node = node })
end

---@class weir.view.Places
local Places = {}
Places.__index = Places

--- The places of a definition.
---@param normal table|nil the normal form; a flow has no groups
---@param children table<string, table>|nil normal forms of child pipelines, by name
---@return weir.view.Places
function M.new(normal, children)
  return setmetatable({ groups = normal and normal.groups, children = children or {} }, Places)
end

--- Finds the place of a key.
---@param key string
---@return { name: string, group: string|nil, visit: integer, node: table|nil }
function Places:find(key)
  local segments = keys.segments(key)
  local found = self.groups and find_in_groups(self, self.groups, segments, 1)
  if found then return found end
  local name, visit = parse(segments[#segments])
  return { name = name, visit = visit }
end

local KINDS = { "agent", "pipeline", "map", "sleep", "approval", "wait", "speculate", "plan" }

--- What a step is done by, in a word: its agent's name, or its kind; nil when it is not known.
---@param node table|nil of the normal form
---@return string|nil
function M.done_by(node)
  if not node then return nil end
  for _, kind in ipairs(KINDS) do
    if node[kind] ~= nil then return type(node[kind]) == "string" and kind ~= "sleep" and node[kind] or kind end
  end
  return node.groups and "groups" or nil
end

return M
