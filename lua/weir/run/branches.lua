--- The branches of a speculation while they run: which have begun, which have shown a sign of life, which are not needed any
--- more. Each is a task; a branch that is hedged begins when those before it are late or have failed. What is decided by
--- time or by what streams have brought so far is in the journal, so that a later life decides the same.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local frames = require "weir.run.frame"
local native = require "weir.native.scheduler"
local parking = require "weir.run.parking"
local step_runner = require "weir.run.step"
local stream = require "weir.run.stream"
local task = require "weir.task"

local M = {}

local TURN = 0.001 -- seconds that a deadline which has passed leaves for outcomes that are recorded already
local SPACE, MEASURED, ENOUGH = "races", 100, 5 -- of the store: the latest first signs of life; from so many on they tell

---@class weir.Entry a branch
---@field step table
---@field key string
---@field frame weir.Frame
---@field stream weir.Stream
---@field meter table          what it has used
---@field task weir.Task|nil   once it has begun
---@field status string|nil    once it has ended; "dropped" when the worse half was left behind
---@field value any
---@field seconds number|nil
---@field first_s number|nil   until its first item, or its end
---@field verdict weir.Verdict|nil

---@class weir.Branches
---@field frame weir.Frame
---@field step table
---@field key string
---@field number integer       of the attempt
---@field tag string           of the attempt and draft; empty for the first
---@field input any
---@field entries weir.Entry[]
---@field decided_key string   of the journal's entry
---@field on_finished nil|fun(entry: weir.Entry): boolean judges a branch that has finished: whether it decides
---@field on_rung nil|fun(entries: weir.Entry[]): fun(entry): number scores what branches have streamed so far
---@field is_late boolean      the deadline has passed
---@field decided_s number|nil when it was known who is not needed any more
local Branches = {}
Branches.__index = Branches

local function frame_of(frame, key, branch, tag)
  local branch_key = ("%s/%s"):format(key, branch.name)
  local inner = frames.inner(frame, key .. "/", setmetatable({}, { __index = frame.data }))
  local own = stream.new(nil, frame.run, branch.name)
  inner.branch, inner.branch_of, inner.streams = branch_key, frame.branch, { [branch.name] = own }
  if frame.run.journal then
    inner.sync = { lsn = frame.run.engine.store:lsn(), prefix = key .. "/", group = "(branches)" .. tag, visit = 1 }
  end
  return inner, branch_key, own
end

local function entry_of(frame, key, branch, tag)
  local inner, branch_key, own = frame_of(frame, key, branch, tag)
  return { step = branch, key = branch_key, frame = inner, stream = own, meter = frame.run:meter(branch_key) }
end

--- The branches of an attempt of a step; none has begun.
---@param frame weir.Frame
---@param step table of the plan: {branches, join, judge, hedge, halve}
---@param key string
---@param input any
---@param attempt integer
---@return weir.Branches to be closed
function M.new(frame, step, key, input, attempt)
  local draft = frame.draft or 1
  local tag = draft == 1 and attempt == 1 and "" or ("#%d.%d"):format(draft, attempt)
  local self = setmetatable({ frame = frame, step = step, key = key, number = attempt, tag = tag, input = input, entries = {}, order = {},
    decided_key = ("%s/(decided)%s"):format(key, tag), began = 0, running = 0, rung = 0, is_late = false }, Branches)
  for index, branch in ipairs(step.branches) do self.entries[index] = entry_of(frame, key, branch, tag) end
  return self
end

Branches.__close = function(self)
  for _, entry in ipairs(self.entries) do
    self.frame.run:unmeter(entry.meter)
    entry.stream:close()
  end
end

-- Who is there ---------------------------------------------------------------------------------------

local function with_status(list, status)
  local found = {}
  for _, entry in ipairs(list) do
    if entry.status == status then found[#found + 1] = entry end
  end
  return found
end

--- Those that have finished, in the order of the definition.
function Branches:finished() return with_status(self.entries, "finished") end

--- Those that have failed, in the order in which they did.
function Branches:failures() return with_status(self.order, "failed") end

--- The first that finished, of those that fit.
---@param fits nil|fun(entry: weir.Entry): boolean
function Branches:first(fits)
  for _, entry in ipairs(self.order) do
    if entry.status == "finished" and (not fits or fits(entry)) then return entry end
  end
end

-- What the journal knows -----------------------------------------------------------------------------

local function choice(self, name, choose)
  local journal = self.frame.run.journal
  if not journal then return choose() end
  return journal:choice(("%s/(%s)%s"):format(self.key, name, self.tag), choose)
end

local function chosen(self, name)
  local journal = self.frame.run.journal
  local entry = journal and journal.choices[("%s/(%s)%s"):format(self.key, name, self.tag)]
  return entry and entry[3]
end

-- How long branches take to their first sign of life, of all runs of the pipeline.
local function measure_key(self, entry)
  local place = self.key:gsub("%[%d+%]", ""):gsub("#%d+", "")
  return ("%s/%s/%s"):format(self.frame.run.plan.name, place, entry.step.name)
end

local function measures(self, entry)
  local store = self.frame.run.engine.store
  local kept = store and store:get(SPACE, measure_key(self, entry))
  return kept and kept.seconds or {}
end

-- Nearest rank; nil while too little is known.
local function p95(seconds)
  if #seconds < ENOUGH then return nil end
  local sorted = table.move(seconds, 1, #seconds, 1, {})
  table.sort(sorted)
  return sorted[math.ceil(0.95 * #sorted)]
end

--- Adds the operations that keep how long branches took, where hedging goes by it.
---@param operations table[]
function Branches:add_measures(operations)
  if self.step.hedge ~= "p95" then return end
  for _, entry in ipairs(self.entries) do
    if entry.first_s then
      local seconds = measures(self, entry)
      seconds[#seconds + 1] = entry.first_s
      if #seconds > MEASURED then table.remove(seconds, 1) end
      operations[#operations + 1] = { op = "put", space = SPACE, key = measure_key(self, entry), value = { seconds = seconds } }
    end
  end
end

-- Ending ---------------------------------------------------------------------------------------------

local function is_done(self, entry)
  local join = self.step.join
  if self.fault or self.running == 0 and self.began == #self.entries then return true end
  if entry.status ~= "finished" then return false end
  if join == "first" then return not self.on_finished or entry.is_accepted end
  return type(join) == "table" and join.at_least ~= nil and #self:finished() >= join.at_least
end

local function cancel_others(self, reason)
  for _, entry in ipairs(self.entries) do
    if entry.task and not entry.status then entry.task:cancel(reason) end
  end
  if self.hedger then self.hedger:cancel(reason) end
end

local function decide(self, reason)
  self.is_decided, self.decided_s = true, clock.now()
  cancel_others(self, reason)
end

local start_next, hedge

-- The last task that counts hands over to the one that waits; the others leave.
local function ended(self, entry, status, value)
  local run = self.frame.run
  self.running = self.running - 1
  entry.stream:close()
  if self.is_decided then
    entry.status = entry.status or "cancelled"
    return parking.left(run)
  end
  if not entry.status then entry.status, entry.value = status, value end
  entry.seconds = clock.now() - entry.began_s
  if status == "finished" then entry.first_s = entry.first_s or entry.seconds end
  self.order[#self.order + 1] = entry
  if entry.status ~= "finished" and self.running == 0 and self.began < #self.entries then start_next(self) end
  if not is_done(self, entry) then return parking.left(run) end
  decide(self, "another branch is enough")
  self.waiter:wake()
end

local function judged(self, entry)
  if not self.on_finished then return end
  local ok, result = pcall(self.on_finished, entry)
  if ok then
    entry.is_accepted = result
  elseif not native.cancelled() then
    self.fault = result
  end
end

local function run_branch(self, entry)
  native.set_context(entry.frame)
  local ok, status, value = pcall(step_runner.run, entry.frame, entry.step, entry.key)
  if ok and status == "finished" and not self.is_decided then
    entry.value = value
    judged(self, entry)
  end
  if ok then return ended(self, entry, status, value) end
  parking.left(self.frame.run)
  error(status, 0)
end

-- Beginning ------------------------------------------------------------------------------------------

local function start(self, entry)
  entry.began_s = clock.now()
  self.began, self.running = self.began + 1, self.running + 1
  entry.task = native.start({ scope = self.scope, lane = entry.step.lane }, run_branch, self, entry)
end

function start_next(self)
  parking.back(self.frame.run)
  start(self, self.entries[self.began + 1])
  if self.step.hedge then hedge(self) end
end

-- Seconds after which the next branch begins if the one that runs has shown no sign of life.
local function hedge_seconds(self)
  if self.step.hedge ~= "p95" then return self.step.hedge end
  return p95(measures(self, self.entries[self.began])) or 0
end

local function wait_for_hedge(self, due_ms)
  local run = self.frame.run
  native.set_context { run = run } -- that it stops is nothing to be told
  if run.journal then
    parking.sleep_until(run, ("%s/(hedge)%s"):format(self.key, self.tag), "sleep", due_ms)
  else
    clock.sleep(math.max(0, (due_ms - clock.wall_ms()) / 1000))
  end
end

local function has_shown(self)
  for _, entry in ipairs(self.entries) do
    if entry.task and not entry.status and entry.first_s then return true end
  end
  return false
end

-- Counted as work of the run from its beginning to its end.
local function hedger(self, due_ms)
  pcall(wait_for_hedge, self, due_ms)
  local is_due = not native.cancelled() and not self.is_decided and not has_shown(self)
  self.hedger = nil
  if is_due then start_next(self) end
  parking.left(self.frame.run)
end

-- Arms the start of the next branch, if there is one.
function hedge(self)
  if self.hedger then self.hedger:cancel "another branch has begun" end
  self.hedger = nil
  if self.began >= #self.entries then return end
  local due_ms = choice(self, ("hedge %d"):format(self.began + 1), function()
    return clock.wall_ms() + math.ceil(hedge_seconds(self) * 1000)
  end)
  parking.back(self.frame.run)
  self.hedger = native.start({ scope = self.scope }, hedger, self, due_ms)
end

-- Streams --------------------------------------------------------------------------------------------

local function on_sign(self, entry)
  if entry.first_s then return end
  entry.first_s = clock.now() - entry.began_s
  if self.hedger then self.hedger:cancel "a branch has shown a sign of life" end
end

-- Who takes part in a rung: those that run and those that have finished.
local function runners(self)
  local list = {}
  for _, entry in ipairs(self.entries) do
    if entry.status == "finished" or entry.task and not entry.status then list[#list + 1] = entry end
  end
  return list
end

local function is_rung_reached(self, list)
  local wanted = self.step.halve << self.rung
  for _, entry in ipairs(list) do
    if not entry.status and entry.stream.count < wanted then return false end
  end
  return #list > 1
end

-- The worse half, by what each has brought so far; of the finished ones nothing is to be saved.
local function worse_half(list, score)
  local ranked, position = {}, {}
  for index, entry in ipairs(list) do
    ranked[index], position[entry] = entry, index
  end
  table.sort(ranked, function(a, b)
    local left, right = score(a), score(b)
    if left ~= right then return left > right end
    return position[a] < position[b]
  end)
  return table.move(ranked, (#ranked + 1) // 2 + 1, #ranked, 1, {})
end

local function drop(entry)
  entry.status = "dropped"
  entry.task:cancel "others of the speculation do better so far"
end

local function halve(self)
  local list = runners(self)
  if self.is_judging or self.is_decided or not is_rung_reached(self, list) then return end
  self.is_judging = true
  for _, entry in ipairs(list) do
    if not entry.status then entry.value = entry.stream:value() end
  end
  local rung = self.rung + 1
  local worse = worse_half(list, self.on_rung(list))
  local names = {}
  for _, entry in ipairs(worse) do
    if not entry.status then names[#names + 1] = entry.step.name end
  end
  choice(self, ("rung %d"):format(rung), function() return table.concat(names, ",") end)
  self.rung, self.is_judging = rung, false
  if self.is_decided then return end
  for _, entry in ipairs(worse) do
    if not entry.status then drop(entry) end
  end
end

local function listen(self, entry)
  entry.stream.watch = function()
    on_sign(self, entry)
    if self.on_rung then halve(self) end
    if entry.status == "dropped" then native.check() end
  end
end

-- Those that an earlier life left behind are not begun again.
local function recall_drops(self)
  local names = chosen(self, ("rung %d"):format(self.rung + 1))
  while names do
    self.rung = self.rung + 1
    for _, entry in ipairs(self.entries) do
      if ("," .. names .. ","):find("," .. entry.step.name .. ",", 1, true) then entry.status = "dropped" end
    end
    names = chosen(self, ("rung %d"):format(self.rung + 1))
  end
end

-- All together ---------------------------------------------------------------------------------------

-- When those that have finished are judged, in whichever life of the run.
local function due_of(self)
  local join = self.step.join
  local seconds = type(join) == "table" and join.deadline
  if not seconds then return nil end
  return choice(self, "due", function() return clock.wall_ms() + math.ceil(seconds * 1000) end)
end

local function start_first(self)
  local started = 0
  for _, entry in ipairs(self.entries) do
    listen(self, entry)
    if entry.status == "dropped" then
      self.began = self.began + 1
    elseif started == 0 or not self.step.hedge then
      start(self, entry)
      started = started + 1
    end
  end
  return started
end

local function wait_for_end(self, due_ms)
  local run = self.frame.run
  self.waiter:wait("the branches of a speculation", due_ms and math.max(TURN, (due_ms - clock.wall_ms()) / 1000))
  if self.is_decided then return end
  self.is_late = true
  parking.back(run)
  decide(self, "the deadline of the speculation has passed")
end

local function together(self, due_ms)
  local ok, err = task.within({}, function(scope)
    self.scope = scope
    parking.aside(self.frame.run, start_first(self))
    if self.step.hedge then hedge(self) end
    wait_for_end(self, due_ms)
  end)
  if not ok then
    if not self.is_decided then parking.back(self.frame.run) end
    error(err, 0)
  end
end

--- Runs the branches until it is known between which of them is to be decided; when this returns the others have ended.
--- Waits. Raises when the run is cancelled or stopped, and what judging raises.
function Branches:run()
  local run = self.frame.run
  self.waiter = native.waiter()
  recall_drops(self)
  local due_ms = due_of(self)
  local limit_key = ("%s/(due)"):format(self.key)
  if due_ms then parking.limit(run, limit_key, due_ms) end
  local ok, err = pcall(together, self, due_ms)
  if due_ms and not run.interrupted then parking.limit(run, limit_key, nil) end -- else it is to wake the run
  if not ok then error(err, 0) end
  local code, reason = native.cancelled()
  if code then error(failure.new(code, reason), 0) end
  if self.fault then error(self.fault, 0) end
end

return M
