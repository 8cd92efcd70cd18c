--- A step that does one thing per item, so many at a time, and may reduce the results. Items are taken in ranges of 1,000, so
--- that a large map needs memory for a few of them only. Results keep the order of the items; a failure is tolerated up to
--- `tolerate`, and its place holds null.
---
--- Of a map with up to one range, and of one that reads a stream, every item is a step in the journal. Of a larger one whose
--- items are one agent's work each,
--- what came of the items stands in a table of its own (`weir.run.map.items`), and the journal has one entry for the map.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local frames = require "weir.run.frame"
local items_of = require "weir.run.map.items"
local json = require "weir.native.json"
local lock_of = require "weir.lock"
local memo = require "weir.run.map.memo"
local native = require "weir.native.scheduler"
local pace_of = require "weir.run.map.pace"
local parking = require "weir.run.parking"
local reduce_of = require "weir.run.map.reduce"
local source_of = require "weir.run.map.source"
local step_runner = require "weir.run.step"
local task = require "weir.task"

local M = { name = "map", has_steps = true }

local WINDOW = 4         -- ranges that are open at once, beside those that many tasks need
local LATENCY = 0.02     -- seconds until what came of an item is written
local TOLD = 0.1         -- seconds between two reports of a large map
local FAILURES_KEPT = 20 -- errors that are told of one map

---@class weir.Mapping
---@field frame weir.Frame
---@field step table
---@field key string
---@field source weir.MapSource
---@field items weir.MapItems|nil   where a large map keeps what came of its items
---@field reducer weir.Reducer|nil
---@field pace weir.Pace
---@field open table<integer, weir.Range>
---@field first integer    number of the oldest open range
---@field outputs any[]
---@field done integer     items with an outcome
---@field failed integer
---@field failures { index: integer, error: table }[] the first of them
---@field workers integer
local Mapping = {}
Mapping.__index = Mapping

-- Ranges -----------------------------------------------------------------------------------------

local function allowed_failures(self)
  local tolerate = self.step.tolerate
  if not tolerate then return 0 end
  if tolerate.count then return tolerate.count end
  return self.source.total and math.floor(self.source.total * tolerate.percent / 100) or math.huge
end

local function too_many(self)
  return self.failed > allowed_failures(self)
end

-- Of a stream only what is there: the first item is not to wait for the last.
local function read_range(self)
  local items = json.list {}
  while #items < (self.is_live and 1 or items_of.SIZE) do
    local item = self.source:next()
    if item == nil then break end
    items[#items + 1] = item
  end
  return items
end

-- A map that turns out to be large has a table of its items from its beginning.
local function begin_table(self)
  local run = self.frame.run
  if self.is_live or not self.step.is_light or not run.journal or not self.source:has_more() then return end
  self.items = items_of.open(run, self.key, self.tag)
  if not self.reducer then return end
  self.reducer.is_kept_elsewhere = true
  local kept = self.items:reduced()
  if kept then
    self.reducer:restore(kept.state)
    self.reduced_to, self.failed, self.failures = kept.ranges, kept.failed, kept.failures
  end
end

local function note_failure(self, index, err)
  self.failed = self.failed + 1
  if #self.failures < FAILURES_KEPT then
    self.failures[#self.failures + 1] = { index = index, error = { code = err.code, message = err.message, step = err.step,
      healing = err.healing } }
  end
end

local advance

-- Those that have an outcome from an earlier life count as if they had it now.
local function recall(self, range)
  local run = self.frame.run
  local used = self.items:load(range)
  for name, amount in pairs(used or {}) do run.journal.usage[name] = (run.journal.usage[name] or 0) + amount end
  for position, state in pairs(range.states) do
    self.done, self.recalled = self.done + 1, self.recalled + 1
    if state == "failed" then note_failure(self, range.number * items_of.SIZE + position - 1, range.results[position]) end
  end
  if self.step.ordered == false and not self.reducer then
    for position = 1, range.count do
      if range.states[position] == "finished" then self.outputs[#self.outputs + 1] = range.results[position] end
    end
  end
end

local function new_range(self, number, items)
  return { number = number, items = items, count = #items, next = 1, left = #items, states = {}, results = {}, dirty = {}, parts = 0,
    is_whole = false }
end

-- One more item of a stream.
local function fill(self)
  local range = self.range
  local item = self.source:next()
  if item == nil then
    self.is_exhausted, range.is_filling = true, false
    return advance(self)
  end
  range.count, range.left = range.count + 1, range.left + 1
  range.items[range.count], range.is_filling = item, range.count < items_of.SIZE
end

local function open_range(self)
  local items = read_range(self)
  local number = self.opened
  if number == 0 then begin_table(self) else native.yield() end -- what is only found again is found without a wait
  if #items == 0 then
    self.is_exhausted = true
    return
  end
  self.opened = number + 1
  local range = new_range(self, number, items)
  if number < self.reduced_to then -- its results are in what the reducer had made
    self.first, self.done, self.recalled = number + 1, self.done + #items, self.recalled + #items
    return
  end
  if self.items then recall(self, range) end
  range.is_filling = self.is_live
  self.open[number], self.range = range, range
  if range.left == 0 then advance(self) end
end

local function is_window_full(self)
  return self.opened - self.first >= WINDOW + self.pace.max // items_of.SIZE
end

-- Ranges whose results wait for one before them are not to become many.
local function wait_for_room(self)
  while is_window_full(self) do
    local waiter = native.waiter()
    table.insert(self.room, waiter)
    waiter:wait "the first items of a map"
  end
end

local function untaken(range)
  while range and range.next <= range.count and range.states[range.next] do range.next = range.next + 1 end
  return range and range.next <= range.count
end

-- Whoever came before may have seen to it already.
local function more_items(self)
  if untaken(self.range) or self.is_exhausted then return end
  if self.range and self.range.is_filling then return fill(self) end
  if not is_window_full(self) then open_range(self) end
end

-- The next item that has to be done; nil when none is left.
local function take(self)
  while not untaken(self.range) do
    if self.is_exhausted then return nil end
    wait_for_room(self)
    self.taking:hold(more_items, self)
  end
  local range = self.range
  range.next = range.next + 1
  return range, range.next - 1
end

-- What came of items ----------------------------------------------------------------------------------

-- What stands in the list of outputs: null where there is none; false is one.
local function output_of(is_finished, value)
  if is_finished and value ~= nil then return value end
  return json.null
end

local function consume(self, range)
  local results, states = range.results, range.states
  for position = 1, range.count do
    local is_finished = states[position] == "finished"
    if self.reducer then
      if is_finished and results[position] ~= json.null then self.reducer:add(results[position]) end
    elseif self.step.ordered ~= false then
      self.outputs[#self.outputs + 1] = output_of(is_finished, results[position])
    end
  end
end

local function close_range(self, range)
  consume(self, range)
  if self.items and not range.is_whole and not self.frame.run.rehearsal then
    local reducer = self.reducer
    range.is_closing = true
    self.items:keep_whole(range, reducer and { state = reducer:state(), ranges = range.number + 1, failed = self.failed,
      failures = self.failures } or nil)
    self.frame.run.journal:kept(self.key)
  end
  self.open[range.number], self.first = nil, range.number + 1
  local room = self.room
  self.room = {}
  for _, waiter in ipairs(room) do waiter:wake() end
end

-- Ranges that are done are left behind in their order.
local function advance_all(self)
  while not too_many(self) do
    local range = self.open[self.first]
    if not range or range.left > 0 or range.is_filling then return end
    close_range(self, range)
  end
end

function advance(self)
  if self.is_advancing then return end
  self.is_advancing = true
  local ok, err = pcall(advance_all, self)
  self.is_advancing = false
  if not ok then error(err, 0) end
end

local function report(self, is_last)
  local run, source = self.frame.run, self.source
  if not run.listener then return end
  local now = clock.now()
  local is_quiet = (source.total or math.huge) > items_of.SIZE and not is_last and now - self.told_s < TOLD
  if is_quiet then return end
  self.told_s = now
  local here = self.done - self.recalled
  local left = source.total and source.total - self.done
  local eta = left and here > 0 and (now - self.from_s) / here * left or nil
  run:notify { kind = "progress", step = self.key, done = self.done, total = source.total, failed = self.failed, eta_s = eta,
    concurrency = self.pace.target }
end

-- Writes what came of items a moment ago, as long as the map is at work, also of ranges that are done and wait for one before
-- them or for the reducer. Ranges come and go meanwhile.
local function keep_parts(self, is_last)
  for number = self.first, self.opened do
    local range = self.open[number]
    if range and (is_last or not range.is_closing) and self.items:keep_part(range) then self.frame.run.journal:kept(self.key) end
  end
end

local function keeper(self)
  while true do
    self.keeper_waiter:wait "items of a map"
    self.keeper_waiter = native.waiter()
    clock.sleep(LATENCY)
    self.is_told = false
    keep_parts(self)
  end
end

local function settle(self, range, position, status, value)
  range.states[position], range.results[position] = status, value
  range.left, self.done = range.left - 1, self.done + 1
  if status == "failed" then
    range.results[position] = { code = value.code, message = value.message, step = value.step, healing = value.healing }
    note_failure(self, range.number * items_of.SIZE + position - 1, value)
  elseif self.step.ordered == false and not self.reducer then
    self.outputs[#self.outputs + 1] = output_of(status == "finished", value)
  end
  if self.items then
    range.dirty[#range.dirty + 1] = position
    if not self.is_told then
      self.is_told = true
      self.keeper_waiter:wake()
    end
  end
  if self.frame.run.listener then report(self) end
  if range.left == 0 and not self.is_enough then advance(self) end
end

-- Doing ------------------------------------------------------------------------------------------------

-- With room for what a step notes on its frame, since there is one for each item. It has no prefix: the item's step is given
-- its key, and what is inside of that has frames of its own.
local function item_frame(self, item, index)
  local outer = self.frame
  return { run = outer.run, data = setmetatable({ item = item, index = index }, self.around), branch = outer.branch,
    branch_of = outer.branch_of, planned = outer.planned, held = self.held,
    on_attempt_failed = self.on_attempt_failed, began_ms = nil,
    attempt_ms = false, draft = false,
    scopes = false, current = false, staged = nil, stopped = nil }
end

local function add_usage(range, used)
  if not used then return end
  range.usage = range.usage or {}
  for name, amount in pairs(used) do range.usage[name] = (range.usage[name] or 0) + amount end
end

-- `until` sees the item, its index, and its output under the name of the item's step.
local function check_enough(self, data, output)
  data[self.step.each.name] = output
  if not self.step.enough(data) then return end
  self.is_enough = true
  local current = native.current()
  for _, one in ipairs(self.tasks) do
    if one ~= current then one:cancel "the map has enough" end
  end
end

local function do_item(self, range, position)
  local step, run = self.step, self.frame.run
  local index = range.number * items_of.SIZE + position - 1
  local key = self.key .. "[" .. index .. "]/" .. step.each.name
  local inner = item_frame(self, range.items[position], index)
  local from_s = self.pace.min and clock.now()
  local status, value = (self.items and step_runner.run_unkept or step_runner.run)(inner, step.each, key)
  if status == "cancelled" then
    if self.is_enough then return end
    error(value, 0)
  end
  if self.items and run.usage_of then add_usage(range, run:take_usage(key)) end
  if status == "finished" then
    if from_s then self.pace:finished(clock.now() - from_s) end
    if step.enough then check_enough(self, inner.data, value) end
  elseif status == "failed" and value.code == "full" then
    self.pace:full()
  end
  settle(self, range, position, status, value)
end

local start_workers

local function work(self)
  while not self.is_enough and (self.failed == 0 or not too_many(self)) and self.workers <= self.pace.target do
    local range, position = take(self)
    if not range then return end
    do_item(self, range, position)
    if self.pace.min then start_workers(self) end
  end
end

local function end_helpers(self)
  if self.keeper then self.keeper:cancel "all items are done" end
  self.source:close()
end

-- The last of the workers hands over to the task that waits for them.
local function worker(self)
  local ok, err = pcall(work, self)
  if ok and too_many(self) then self.scope:cancel "too many items failed" end
  self.workers = self.workers - 1
  if self.workers > 0 then
    parking.left(self.frame.run)
  else
    end_helpers(self)
  end
  if not ok and not (self.is_enough and native.cancelled()) then error(err, 0) end
end

local function has_work(self)
  return not self.is_enough and (untaken(self.range) or not self.is_exhausted and self.source.total ~= self.source.taken)
end

-- As many as the pace allows and as there may be items for.
function start_workers(self)
  while self.workers < self.pace.target and has_work(self) do
    if self.is_counted then parking.back(self.frame.run) end
    self.workers = self.workers + 1
    self.tasks[#self.tasks + 1] = native.start({ scope = self.scope }, worker, self)
    if self.workers >= (self.source.total or math.huge) then return end
  end
end

local function work_all(self, scope)
  self.scope = scope
  self.source = source_of.open(self.frame, self.step, self.key, scope)
  open_range(self)
  if self.items then self.keeper = native.start({ scope = scope }, keeper, self) end
  start_workers(self)
  if self.workers == 0 then return end_helpers(self) end
  parking.aside(self.frame.run, self.workers)
  self.is_counted = true
end

-- The end ----------------------------------------------------------------------------------------------

local function raise_failures(self)
  table.sort(self.failures, function(a, b) return a.index < b.index end)
  local first = self.failures[1]
  local err = failure.new(first.error.code, "map '%s': item %d: %s%s", self.step.name, first.index, first.error.message,
    self.failed > 1 and (" (%d items failed, %d tolerated)"):format(self.failed, allowed_failures(self)) or "")
  err.step, err.healing = first.error.step, first.error.healing -- supervisors know of it already
  error(err, 0)
end

-- What is stopped keeps what came of the items until then.
local function keep_rest(self)
  local run = self.frame.run
  if not self.items or run.interrupted == "crashed" or run.rehearsal then return end
  task.within({ shield = true, timeout = 30 }, function() keep_parts(self, true) end)
end

-- A map that has enough leaves null for what it did not do.
local function give_up_rest(self)
  for number = self.first, self.opened - 1 do
    consume(self, self.open[number])
    self.open[number] = nil
  end
  if self.reducer or self.step.ordered == false then return end
  for _ = #self.outputs + 1, self.source.total or 0 do self.outputs[#self.outputs + 1] = json.null end
end

local function note_summary(self)
  local run = self.frame.run
  if not self.items or run.rehearsal then return end
  run.journal:note { "choice", ("%s/(items)%s"):format(self.key, self.tag), { total = self.done, failed = self.failed,
    recalled = self.recalled, failures = json.list(self.failures) } }
end

-- A supervisor may have fewer items worked on at once, those of this map too.
local function supervise(self)
  local run = self.frame.run
  local limit = require("weir.healing.controls").concurrency(run.engine.store, run.plan.name)
  if limit then self.pace:cap(limit) end
  run.paces = run.paces or setmetatable({}, { __mode = "k" })
  run.paces[self.pace] = true
end

local function new(frame, step, key, attempt)
  local draft = frame.draft or 1
  local self = setmetatable({ frame = frame, step = step, key = key, open = {}, first = 0, opened = 0, outputs = json.list {},
    around = { __index = frame.data }, held = frames.held_in(frame), done = 0, recalled = 0, failed = 0, failures = {}, workers = 0,
    tasks = {}, taking = lock_of.new "the next items of a map", room = {}, reduced_to = 0,
    told_s = clock.now(), from_s = clock.now(), pace = pace_of.new(step.concurrency), keeper_waiter = native.waiter(),
    tag = draft == 1 and attempt == 1 and "" or ("#%d.%d"):format(draft, attempt) }, Mapping)
  self.is_live = step.from ~= nil and frame.sources ~= nil
  if frame.run.is_supervised then supervise(self) end
  self.on_attempt_failed = function(err) if err.code == "full" then self.pace:full() end end
  if step.reduce then self.reducer = reduce_of.new(frame, step, key, false) end
  return self
end

--- Does all items, and gives their outputs or what they were reduced to. Waits.
function M.execute(frame, step, key, _, attempt)
  local self = new(frame, step, key, attempt or 1)
  local ok, err = task.within({}, function(scope) work_all(self, scope) end)
  if not ok or too_many(self) then keep_rest(self) end
  if too_many(self) then
    note_summary(self)
    raise_failures(self)
  end
  if not ok then error(err, 0) end
  if self.is_enough then give_up_rest(self) end
  note_summary(self)
  report(self, true)
  local output = self.reducer and self.reducer:finish() or self.outputs
  if frame.run.memo then memo.flush(frame.run) end
  return output
end

return M
