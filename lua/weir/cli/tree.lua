--- The steps of a run as a tree: groups, steps, items of maps, bodies. A node is a step, or stands for what
--- holds steps. Pure.

local M = {}

---@class weir.cli.Node
---@field label string
---@field step weir.view.Step|nil
---@field children weir.cli.Node[]
---@field is_item boolean of a map
---@field number integer|nil of an item, from 0

-- `parts[3]/text` is parts, [3], text.
local function labels_of(key)
  local labels = {}
  for segment in key:gmatch "[^/]+" do
    local name, index = segment:match "^(.-)(%[%d+%])$"
    labels[#labels + 1] = name or segment
    if index then labels[#labels + 1] = index end
  end
  return labels
end

local function child_of(node, label)
  local child = node.by_label[label]
  if not child then
    child = { label = label, children = {}, by_label = {}, is_item = label:sub(1, 1) == "[",
      number = math.tointeger(label:match "^%[(%d+)%]$") }
    node.by_label[label] = child
    node.children[#node.children + 1] = child
  end
  return child
end

-- An item, or a reduction, that holds one step is that step: `[3] text`.
local function merge_single(node)
  for position, child in ipairs(node.children) do
    merge_single(child)
    local only = #child.children == 1 and child.children[1]
    local may_merge = not child.step and (child.is_item or child.label == "reduce")
    if only and may_merge then
      local label = child.is_item and ("%s %s"):format(child.label, only.label) or child.label
      node.children[position] = { label = label, step = only.step, children = only.children, is_item = child.is_item,
        number = child.number }
    end
  end
end

-- Items in order of their numbers, whenever they began.
local function sort_items(node)
  local has_items = false
  for position, child in ipairs(node.children) do
    child.position = position
    has_items = has_items or child.is_item
    sort_items(child)
  end
  if not has_items then return end
  table.sort(node.children, function(a, b)
    local x, y = a.number or math.huge, b.number or math.huge
    if x ~= y then return x < y end
    return a.position < b.position
  end)
end

--- The tree of steps.
---@param steps weir.view.Step[]
---@return weir.cli.Node root
function M.of(steps)
  local root = { label = "", children = {}, by_label = {} }
  for _, step in ipairs(steps) do
    local node = root
    for _, label in ipairs(labels_of(step.key)) do node = child_of(node, label) end
    node.step = step
  end
  sort_items(root)
  merge_single(root)
  return root
end

local RANK = { failed = 5, running = 4, cancelled = 3, waiting = 3, finished = 2, skipped = 1 }

--- The status of a node: its step's, or the gravest among its children.
---@param node weir.cli.Node
---@return string
function M.status(node)
  if node.step then return node.step.status end
  local gravest = "skipped"
  for _, child in ipairs(node.children) do
    local status = M.status(child)
    if (RANK[status] or 0) > RANK[gravest] then gravest = status end
  end
  return gravest
end

--- When a node began and ended, in ms; nil for what is not known.
---@param node weir.cli.Node
---@return integer|nil from
---@return integer|nil to
function M.span(node)
  if node.step then return node.step.from_ms, node.step.to_ms end
  local from, to
  for _, child in ipairs(node.children) do
    local child_from, child_to = M.span(child)
    if child_from then from = math.min(from or child_from, child_from) end
    if child_to then to = math.max(to or child_to, child_to) end
  end
  return from, to
end

--- How many items of a map, by status.
---@param node weir.cli.Node
---@return integer count
---@return table<string, integer> by_status
function M.items(node)
  local count, by_status = 0, {}
  for _, child in ipairs(node.children) do
    if child.is_item then
      local status = M.status(child)
      count, by_status[status] = count + 1, (by_status[status] or 0) + 1
    end
  end
  return count, by_status
end

return M
