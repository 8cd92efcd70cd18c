--- Reducing the results of a map as they come, in the order of the items: all at once, one after the other (fold), or as a
--- tree. What is held meanwhile is one accumulator, or of a tree less than `arity` nodes for each level; it is plain
--- data, so that it can be kept with the items and gone on with.

local failure = require "weir.failure"
local frames = require "weir.run.frame"
local json = require "weir.native.json"
local step_runner = require "weir.run.step"

local M = {}

---@class weir.Reducer
---@field count integer of results that were added
local Reducer = {}
Reducer.__index = Reducer

local function combine(self, items, acc, level, place)
  local reduce = self.step.reduce
  local key = ("%s/reduce/%s"):format(self.key, place)
  local frame = frames.inner(self.frame, key .. "/",
    setmetatable({ items = items, acc = acc, level = level }, { __index = self.frame.data }))
  local run = self.is_kept_elsewhere and step_runner.run_unkept or step_runner.run
  local status, value = run(frame, reduce.each, key)
  if status == "finished" then return value end
  error(value or failure.new("failed", "map '%s': its reduce step did not finish", self.step.name), 0)
end

local ADD, FINISH = {}, {}

function ADD.all(self, value)
  self.items[#self.items + 1] = value
end

function FINISH.all(self)
  return combine(self, self.items, nil, 1, "all")
end

function ADD.fold(self, value)
  self.acc = combine(self, json.list { value }, self.acc, 1, ("%d"):format(self.count))
end

function FINISH.fold(self)
  if self.count == 0 then return json.null end
  return self.acc
end

-- A level that is full becomes a node of the next one.
local function push(self, level, value)
  local nodes = self.levels[level] or { made = 0, items = json.list {} }
  self.levels[level] = nodes
  nodes.items[#nodes.items + 1] = value
end

local function fold_up(self, level)
  local nodes = self.levels[level]
  local value = combine(self, nodes.items, nil, level, ("%d.%d"):format(level, nodes.made))
  nodes.made, nodes.items = nodes.made + 1, json.list {}
  push(self, level + 1, value)
end

function ADD.tree(self, value)
  push(self, 1, value)
  local level = 1
  while self.levels[level] and #self.levels[level].items == self.step.reduce.arity do
    fold_up(self, level)
    level = level + 1
  end
end

function FINISH.tree(self)
  if self.count == 0 then return json.null end
  local level = 1
  while true do
    local nodes, is_last = self.levels[level], self.levels[level + 1] == nil
    if level > 1 and is_last and #nodes.items == 1 then return nodes.items[1] end
    if #nodes.items > 0 then fold_up(self, level) end
    level = level + 1
  end
end

--- @param frame weir.Frame
--- @param step table with `reduce`: {each, mode, arity}
--- @param key string
--- @param is_kept_elsewhere boolean the steps have no outcomes of their own in the journal
--- @return weir.Reducer
function M.new(frame, step, key, is_kept_elsewhere)
  return setmetatable({ frame = frame, step = step, key = key, is_kept_elsewhere = is_kept_elsewhere, count = 0, items = json.list {},
    acc = nil, levels = {} }, Reducer)
end

--- Adds the next result. Waits, as the agent does.
---@param value any
function Reducer:add(value)
  ADD[self.step.reduce.mode](self, value)
  self.count = self.count + 1
end

--- The result. Waits, as the agent does.
---@return any
function Reducer:finish()
  return FINISH[self.step.reduce.mode](self)
end

--- What has been made so far, as plain data.
---@return table
function Reducer:state()
  return { count = self.count, items = self.items, acc = self.acc, levels = json.list(self.levels) }
end

--- Goes on with what `state` gave.
---@param state table
function Reducer:restore(state)
  self.count, self.items, self.levels = state.count, json.list(state.items), state.levels
  self.acc = state.acc
  if self.acc == json.null then self.acc = nil end
end

return M
