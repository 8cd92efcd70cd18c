--- What a graph shows: groups as clusters, steps as nodes, arrows between groups. Made of a normal form, or
--- of the record of a flow, which has none; colours of a record by status. Writers of Mermaid and DOT read
--- it. Pure.

local place = require "weir.view.place"
local text = require "weir.cli.text"

local M = {}

local CONDITION_WIDTH = 40

---@class weir.cli.Item a node, or a cluster with `items`
---@field id string
---@field title string
---@field notes string[]      of a node: what does it, when
---@field status string|nil   in a run
---@field items weir.cli.Item[]|nil

---@class weir.cli.Edge
---@field from string
---@field to string
---@field label string|nil
---@field style "solid"|"dashed"|"failed"|"stream"

---@class weir.cli.Drawing
---@field title string
---@field items weir.cli.Item[]
---@field edges weir.cli.Edge[]

local Maker = {}
Maker.__index = Maker

function Maker:id()
  self.count = self.count + 1
  return "n" .. self.count
end

-- A cluster cannot have an arrow to itself: it goes from its last node to its first.
local function within(item, is_last)
  while item.items and #item.items > 0 do item = item.items[is_last and #item.items or 1] end
  return item.id
end

function Maker:loop(item, style, label)
  self:edge(within(item, true), within(item, false), style, label)
end

function Maker:edge(from, to, style, label)
  self.edges[#self.edges + 1] = { from = from, to = to, style = style or "solid", label = label }
end

local add_body

local function notes_of(step)
  local notes = {}
  local by = place.done_by(step)
  local is_said = by == nil or by == step.name or by == "groups" or by == "map" or by == "speculate"
  if not is_said then notes[1] = by end
  if step.when then notes[#notes + 1] = "when " .. text.shorten(step.when, CONDITION_WIDTH) end
  for _, use in ipairs(step.critic and step.critic.use or {}) do notes[#notes + 1] = "critic " .. use.use end
  return notes
end

local function titled(step)
  local by = place.done_by(step)
  return (by == "map" or by == "speculate") and ("%s: %s"):format(step.name, by) or step.name
end

local function add_reduce(self, items, step, key)
  local reduce = step.map and step.map.reduce
  if not reduce then return end
  local node = { id = self:id(), title = "reduce", notes = { reduce.agent }, status = self.status_of(key .. "/reduce") }
  self:edge(items[#items].id, node.id, "solid")
  items[#items + 1] = node
end

local add_step

-- The plans that a step has made in the run that is drawn, one after the other.
local function add_plans(self, items, key)
  for _, plan in ipairs(self.plans[key] or {}) do
    local cluster = { id = self:id(), title = ("plan %s"):format(plan.version:sub(1, 12)), notes = {}, items = {} }
    if items[#items] then self:edge(items[#items].id, cluster.id, "failed", "replaced") end
    items[#items + 1] = cluster
    add_body(self, cluster.items, plan.normal.groups, plan.prefix)
  end
end

-- What a step holds: its groups, the body of a map, the branches of a speculation, the plans it made.
local function add_inner(self, step, key)
  local items = {}
  if step.plan then
    add_plans(self, items, key)
  elseif step.groups then
    add_body(self, items, step.groups, key .. "/")
  elseif step.map then
    local each = step.map.each
    if each.groups and each.name == "each" then
      add_body(self, items, each.groups, key .. "/each/")
    else
      items[1] = add_step(self, each, key .. "/" .. each.name)
    end
    add_reduce(self, items, step, key)
  else
    for index, branch in ipairs(step.speculate.branches) do items[index] = add_step(self, branch, key .. "/" .. branch.name) end
  end
  return items
end

function add_step(self, step, key)
  local item = { id = self:id(), title = titled(step), notes = notes_of(step), status = self.status_of(key) }
  local holds = step.groups or step.map or step.speculate or step.plan and self.plans[key]
  if holds then item.items = add_inner(self, step, key) end
  return item
end

local function is_bare(group)
  return #group.steps == 1 and group.steps[1].name == group.name
end

local function add_streams(self, group, item)
  local id_of = {}
  for index, step in ipairs(group.steps) do id_of[step.name] = item.items[index].id end
  for _, step in ipairs(group.steps) do
    local from = step.from and (step.from.steps or step.from) or {}
    for _, source in ipairs(from) do
      if id_of[source] then self:edge(id_of[source], id_of[step.name], "stream") end
    end
  end
end

local function join_text(join)
  if join == nil or join == "all" then return "" end
  if type(join) ~= "table" then return (" (%s)"):format(join) end
  local name, value = next(join)
  return (" (%s %s)"):format(name:gsub("_", " "), tostring(value))
end

local function add_group(self, group, prefix)
  if is_bare(group) then return add_step(self, group.steps[1], prefix .. group.name) end
  local key = prefix .. group.name
  local item = { id = self:id(), title = group.name .. join_text(group.join), notes = {}, items = {} }
  for index, step in ipairs(group.steps) do item.items[index] = add_step(self, step, key .. "/" .. step.name) end
  add_streams(self, group, item)
  return item
end

local function sorted(cases)
  return require("weir.value").names(cases)
end

-- The arrows that leave a group. `ids` are the groups' by name, `next_id` the following one's.
local function add_arrows(self, group, item, ids, next_id)
  local branch, id = group.branch, item.id
  local function arrow(target, style, label)
    if ids[target] == id then return self:loop(item, style, label) end
    self:edge(id, ids[target], style, label)
  end
  if not branch then
    if next_id then self:edge(id, next_id) end
    return
  end
  for _, label in ipairs(sorted(branch.cases or {})) do arrow(branch.cases[label], "solid", label) end
  if branch.default then
    arrow(branch.default, "dashed", "default")
  elseif next_id then
    self:edge(id, next_id, "dashed", branch.cases and "no label" or nil)
  end
  if branch.failed then arrow(branch.failed, "failed", "failed") end
end

local function mark(self, title)
  return { id = self:id(), title = title, notes = {}, is_mark = true }
end

local function leads_to_end(branch)
  if branch.default == "end" or branch.failed == "end" then return true end
  for _, target in pairs(branch.cases or {}) do
    if target == "end" then return true end
  end
  return false
end

local function leads_out(groups)
  for _, group in ipairs(groups) do
    if group.branch and leads_to_end(group.branch) then return true end
  end
  return false
end

-- The groups of a body in order. `last` stands for the end, where there is one to show.
function add_body(self, items, groups, prefix, last)
  local ids, own = { ["end"] = last }, {}
  for _, group in ipairs(groups) do
    local item = add_group(self, group, prefix)
    ids[group.name], own[#own + 1] = item.id, item
    items[#items + 1] = item
  end
  if not last and leads_out(groups) then
    local stop = mark(self, "end")
    ids["end"], items[#items + 1] = stop.id, stop
  end
  for index, group in ipairs(groups) do
    add_arrows(self, group, own[index], ids, own[index + 1] and own[index + 1].id or last)
  end
  return own[1]
end

-- Statuses by key without visits and items: the gravest of the latest visit's.

local RANK = { failed = 5, running = 4, cancelled = 3, finished = 2, skipped = 1 }

-- Which plan a step belongs to tells it apart from those of another one.
local function without_visits(record, key)
  local prefix = ""
  for _, plan in ipairs(record.plans) do
    if key:sub(1, #plan.prefix) == plan.prefix and #plan.prefix > #prefix then prefix = plan.prefix end
  end
  return prefix .. key:sub(#prefix + 1):gsub("%[%d+%]", ""):gsub("#%d+", "")
end

local function statuses(record)
  local found = {}
  for _, step in ipairs(record.steps) do
    local key = without_visits(record, step.key)
    local before = found[key]
    local is_item = step.key:find("[", 1, true) ~= nil
    if not before or not is_item or (RANK[step.status] or 0) > (RANK[before] or 0) then found[key] = step.status end
  end
  return found
end

local function status_reader(record)
  if not record then return function() return nil end end
  local found = statuses(record)
  return function(key) return found[key] or "unvisited" end
end

local function plans_by_step(record)
  local plans = {}
  for _, plan in ipairs(record and record.plans or {}) do
    if plan.normal then
      plans[plan.step] = plans[plan.step] or {}
      table.insert(plans[plan.step], plan)
    end
  end
  return plans
end

local function maker(record)
  return setmetatable({ count = 0, edges = {}, status_of = status_reader(record), plans = plans_by_step(record) }, Maker)
end

--- The drawing of a pipeline, or of a run of it.
---@param normal table the normal form
---@param record weir.view.Record|nil
---@return weir.cli.Drawing
function M.of_pipeline(normal, record)
  local self = maker(record)
  local first, last = mark(self, "start"), mark(self, "end")
  local items = { first }
  local entry = add_body(self, items, normal.groups, "", last.id)
  items[#items + 1] = last
  table.insert(self.edges, 1, { from = first.id, to = entry.id, style = "solid" })
  return { title = normal.name, items = items, edges = self.edges }
end

-- A flow's record -----------------------------------------------------------------------------------

local function item_of_node(self, node)
  local tree = require "weir.cli.tree"
  local count = tree.items(node)
  local notes = {}
  if node.step and node.step.by and node.step.by ~= node.label then notes[1] = node.step.by end
  if count > 0 then notes[#notes + 1] = text.count(count, "item") end
  local item = { id = self:id(), title = node.label, notes = notes, status = tree.status(node) }
  if not node.step and #node.children > 0 then
    item.items, item.status = {}, nil
    for index, child in ipairs(node.children) do item.items[index] = item_of_node(self, child) end
  end
  return item
end

--- The drawing of what a flow's run did, in the order in which it began.
---@param record weir.view.Record
---@return weir.cli.Drawing
function M.of_flow(record)
  local self = maker(nil)
  local items = { mark(self, "start") }
  for _, node in ipairs(require("weir.cli.tree").of(record.steps).children) do items[#items + 1] = item_of_node(self, node) end
  items[#items + 1] = mark(self, "end")
  for index = 2, #items do self:edge(items[index - 1].id, items[index].id) end
  return { title = record.pipeline, items = items, edges = self.edges }
end

return M
