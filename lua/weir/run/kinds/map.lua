--- A step that does one thing per item of a list, so many at a time, and may reduce the results. Items keep
--- their order; a failure is tolerated up to `tolerate`, and its place holds null.

local failure = require "weir.failure"
local frames = require "weir.run.frame"
local json = require "weir.native.json"
local native = require "weir.native.scheduler"
local parking = require "weir.run.parking"
local step_runner = require "weir.run.step"
local task = require "weir.task"

local M = { name = "map", has_steps = true }

-- A chunker turns what is mapped over into the list; it returns a list, or {chunks = list}.
local function chunked(step, frame, key)
  local inner = frames.inner(frame, key .. "/", frame.data)
  local status, value = step_runner.run(inner, step.chunk, key .. "/chunk")
  if status ~= "finished" then error(value, 0) end
  return type(value) == "table" and value.chunks or value
end

local function items_of(step, frame, key)
  local list, message, code
  if step.chunk then
    list = chunked(step, frame, key)
  else
    list, message, code = step.over(frame.data)
    if list == nil and message then failure.raise(code or "invalid", "map '%s': over: %s", step.name, message) end
  end
  if type(list) ~= "table" or (next(list) ~= nil and not json.is_list(list)) then
    failure.raise("invalid", "map '%s': `over` must give a list, got %s", step.name, type(list))
  end
  return list
end

local function batches(list, size)
  if not size then return list end
  local result = json.list {}
  for from = 1, #list, size do
    result[#result + 1] = json.list(table.move(list, from, math.min(from + size - 1, #list), 1, {}))
  end
  return result
end

local function allowed_failures(step, count)
  local tolerate = step.tolerate
  if not tolerate then return 0 end
  return tolerate.percent and math.floor(count * tolerate.percent / 100) or tolerate.count
end

local function item_frame(frame, item, index, prefix)
  local data = setmetatable({ item = item, index = index - 1 }, { __index = frame.data })
  return frames.inner(frame, prefix, data)
end

local function run_item(state, index)
  local frame, step = state.frame, state.step
  local prefix = ("%s[%d]/"):format(state.key, index - 1)
  local inner = item_frame(frame, state.list[index], index, prefix)
  native.set_context(inner)
  local status, value = step_runner.run(inner, step.each, prefix .. step.each.name)
  if status == "cancelled" then error(value, 0) end
  state.done = state.done + 1
  if status == "finished" then
    state.results[index], inner.data[step.each.name] = value, value
  elseif status == "skipped" then
    state.results[index] = json.null
  elseif status == "failed" then
    state.results[index] = json.null
    state.failures[#state.failures + 1] = { index = index - 1, error = value }
  end
  frame.run:notify { kind = "progress", step = state.key, done = state.done, total = #state.list }
  return inner.data
end

-- `until` sees the item, its index, and its output under the name of the item's step.
local function is_enough(step, data)
  return step.enough and rawget(data, step.each.name) ~= nil and step.enough(data)
end

local function too_many(state)
  return #state.failures > state.allowed
end

-- A fixed number of tasks take the items one after another.
local function work(state)
  while state.next <= #state.list and not too_many(state) and not state.enough do
    local index = state.next
    state.next = index + 1
    local data = run_item(state, index)
    if is_enough(state.step, data) then
      state.enough = true
    end
  end
end

local function raise_failures(state)
  local first = state.failures[1]
  table.sort(state.failures, function(a, b) return a.index < b.index end)
  local err = failure.new(first.error.code, "map '%s': item %d: %s%s", state.step.name, first.index, first.error.message,
    #state.failures > 1 and (" (%d items failed, %d tolerated)"):format(#state.failures, state.allowed) or "")
  err.step = first.error.step
  error(err, 0)
end

-- The last of the workers hands over to the task that waits for them.
local function worker(state, scope)
  local ok, err = pcall(work, state)
  if ok and too_many(state) then scope:cancel "too many items failed" end
  state.workers = state.workers - 1
  if state.workers > 0 then parking.left(state.frame.run) end
  if not ok then error(err, 0) end
end

local function run_items(state)
  local ok, err = task.within({}, function(scope)
    state.workers = math.min(state.step.concurrency, #state.list)
    for _ = 1, state.workers do native.spawn(worker, state, scope) end
    parking.aside(state.frame.run, state.workers)
  end)
  if too_many(state) then raise_failures(state) end
  if not ok then error(err, 0) end
end

-- Reducing ---------------------------------------------------------------------------------------

local function combine(state, items, acc, level, place)
  local reduce = state.step.reduce
  local key = ("%s/reduce/%s"):format(state.key, place)
  local frame = frames.inner(state.frame, key .. "/",
    setmetatable({ items = items, acc = acc, level = level }, { __index = state.frame.data }))
  local status, value = step_runner.run(frame, reduce.each, key)
  if status == "finished" then return value end
  error(value or failure.new("failed", "map '%s': its reduce step did not finish", state.step.name), 0)
end

local REDUCE = {}

function REDUCE.all(state, items) return combine(state, items, nil, 1, "all") end

function REDUCE.fold(state, items)
  local acc
  for position, item in ipairs(items) do acc = combine(state, json.list { item }, acc, 1, ("%d"):format(position - 1)) end
  return acc
end

function REDUCE.tree(state, items)
  local level = 1
  repeat
    local next_items = json.list {}
    for from = 1, #items, state.step.reduce.arity do
      local part = json.list(table.move(items, from, math.min(from + state.step.reduce.arity - 1, #items), 1, {}))
      next_items[#next_items + 1] = combine(state, part, nil, level, ("%d.%d"):format(level, #next_items))
    end
    items, level = next_items, level + 1
  until #items <= 1
  return items[1]
end

local function present(results)
  local kept = json.list {}
  for _, value in ipairs(results) do
    if value ~= json.null then kept[#kept + 1] = value end
  end
  return kept
end

function M.execute(frame, step, key)
  local list = batches(items_of(step, frame, key), step.batch)
  local state = { frame = frame, step = step, key = key, list = list, results = {}, failures = {}, next = 1, done = 0,
    allowed = allowed_failures(step, #list) }
  if #list > 0 then run_items(state) end
  for index = 1, #list do
    if state.results[index] == nil then state.results[index] = json.null end
  end
  local results = json.list(state.results)
  if not step.reduce then return results end
  local items = present(results)
  if #items == 0 and step.reduce.mode ~= "all" then return json.null end
  return REDUCE[step.reduce.mode](state, items)
end

return M
