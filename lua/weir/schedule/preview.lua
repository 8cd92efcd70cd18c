--- What a schedule will do: its next times, and for each whether it starts, waits, is left out or ends the run before it, if
--- runs take as long as those that are recorded. The rule is that of `weir.schedule.overlap`, as a host applies it. Pure;
--- never waits.

local overlap = require "weir.schedule.overlap"

local M = {}

M.COUNT_MAX = 1000

---@class weir.PreviewItem
---@field nominal_ms integer
---@field due_ms integer
---@field outcome "start"|"wait"|"skip"|"drop"
---@field starts_ms integer|nil
---@field ends_ms integer|nil
---@field ends_early boolean|nil a later time ends it
---@field why string|nil

--- The middle of the durations that are recorded, ms; nil when none is.
---@param state weir.ScheduleState|nil
---@return integer|nil median
---@return integer samples
function M.duration(state)
  local sorted = table.move(state and state.durations or {}, 1, #(state and state.durations or {}), 1, {})
  if #sorted == 0 then return nil, 0 end
  table.sort(sorted)
  return sorted[(#sorted + 1) // 2], #sorted
end

local Simulation = {}
Simulation.__index = Simulation

local function begin(self, item, at_ms)
  item.starts_ms, item.ends_ms = at_ms, at_ms + self.duration_ms
  self.going[#self.going + 1] = item
end

local function earliest(list)
  local found
  for index, item in ipairs(list) do
    if not found or item.ends_ms < list[found].ends_ms then found = index end
  end
  return found
end

-- What ends up to a moment; whoever waits begins when the last of those that go on has ended.
function Simulation:advance(to_ms)
  while true do
    local index = earliest(self.going)
    if not index or self.going[index].ends_ms > to_ms then return end
    local ended = table.remove(self.going, index)
    if #self.going == 0 and self.waiting[1] then begin(self, table.remove(self.waiting, 1), ended.ends_ms) end
  end
end

local function cut(self, at_ms)
  for _, item in ipairs(self.going) do item.ends_ms, item.ends_early = at_ms, true end
  for _, item in ipairs(self.waiting) do item.outcome, item.why = "skip", "a later time takes its turn" end
  self.going, self.waiting = {}, {}
end

local DONE = {}

function DONE.start(self, item) begin(self, item, item.due_ms) end
function DONE.skip(_, item) item.why = "an earlier run goes on" end
function DONE.drop(_, item) item.why = "too many wait for their turn" end
function DONE.buffer(self, item)
  item.outcome = "wait"
  self.waiting[#self.waiting + 1] = item
end
function DONE.cancel(self, item)
  item.outcome = "start"
  cut(self, item.due_ms)
  begin(self, item, item.due_ms)
end
DONE.terminate = DONE.cancel

function Simulation:take(item)
  self:advance(item.due_ms)
  local action = overlap.action(self.policy, #self.going, #self.waiting)
  item.outcome = action
  DONE[action](self, item)
end

local function simulation(rule, state, now_ms, duration_ms)
  local self = setmetatable({ policy = rule.overlap, duration_ms = duration_ms, going = {}, waiting = {} }, Simulation)
  for _, active in ipairs(state and state.active or {}) do
    self.going[#self.going + 1] = { ends_ms = math.max(now_ms, active.since_ms + duration_ms) }
  end
  for index, one in ipairs(state and state.queue or {}) do self.waiting[index] = { nominal_ms = one.nominal_ms } end
  if #self.going == 0 and self.waiting[1] then begin(self, table.remove(self.waiting, 1), now_ms) end
  return self
end

local function times(rule, state, options)
  local list, after = {}, math.max(options.from_ms - 1, state and not options.what_if and state.mark_ms or 0)
  local anchor = state and state.anchor_ms or rule.start_ms or options.from_ms
  local left = rule.limit and rule.limit - (state and not options.what_if and state.taken or 0) or math.huge
  while #list < options.count and #list < left do
    local ms = rule:next(after, anchor)
    if not ms or options.to_ms and ms > options.to_ms then break end
    list[#list + 1] = { nominal_ms = ms, due_ms = rule:due(ms) }
    after = ms
  end
  return list
end

--- The next times.
---@param rule weir.Rule
---@param state weir.ScheduleState|nil
---@param options { from_ms: integer, count: integer, to_ms: integer|nil, duration_ms: integer|nil, what_if: boolean|nil }
---   duration_ms: how long a run takes; default: the middle of those that are recorded; what_if: of any stretch of time, also
---   one that is over, as if nothing went on when it begins
---@return weir.PreviewItem[]
---@return { duration_ms: integer|nil, samples: integer } about
function M.of(rule, state, options)
  local recorded, samples = M.duration(state)
  local duration_ms = options.duration_ms or recorded
  local list = times(rule, state, options)
  local run = simulation(rule, not options.what_if and state or nil, options.from_ms, duration_ms or 0)
  for _, item in ipairs(list) do run:take(item) end
  run:advance(math.huge)
  if not duration_ms then
    for _, item in ipairs(list) do item.ends_ms = nil end
  end
  return list, { duration_ms = duration_ms, samples = samples }
end

return M
