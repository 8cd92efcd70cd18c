--- What a run may still use of its budget: steps, tokens, money, time. Looked at before each step, so that what crosses the
--- limit is the last one. What happens then is the pipeline's to say: the run fails, it is paused until somebody resumes it,
--- or somebody is asked; whoever resumes it or says yes lets it use as much again.

local failure = require "weir.failure"
local native = require "weir.native.scheduler"
local question = require "weir.run.question"

local M = {}

local GRANT = "budget#%d" -- key of the choice that lets a run use as much again

--- The measures that count against a budget, in the order in which they are looked at.
M.measures = { "steps", "tokens", "usd", "seconds" }

-- What is used, and what an unfinished call may have used.
local function used(run, what)
  if what == "steps" then return (run.journal and run.journal.steps or 0) + run.steps end
  if what == "seconds" then return run:active_seconds() end
  return run:used(what) + run:used(what .. "_estimated")
end

-- How often it was let use as much again.
local function grants(run)
  local count = run.grants or 0
  while run.journal and run.journal.choices[GRANT:format(count + 1)] do count = count + 1 end
  run.grants = count
  return count
end

local function limit_of(run, what)
  local budget = run.plan.budget
  return budget and budget[what] and budget[what] * (1 + grants(run))
end

local function grant(run)
  local number = grants(run) + 1
  run.journal:append { "choice", GRANT:format(number), true }
  run.grants = number
end

---@class weir.Crossing a limit at which nothing is left
---@field what string       the measure
---@field limit number
---@field used number
---@field name string       of the limit, for people
---@field key string        under which the question to let it be crossed stands
---@field otherwise "fail"|"pause"|"ask"|nil
---@field grant fun()       lets as much again be used

local function crossing(run, what, limit, amount)
  local number = grants(run) + 1
  return { what = what, limit = limit, used = amount, otherwise = run.plan.budget.otherwise, key = GRANT:format(number),
    name = ("the run's budget of %g %s"):format(limit, what),
    grant = function() if grants(run) < number then grant(run) end end }
end

-- The first measure of which nothing is left. A step is counted before it is asked for, so that it may be the last one.
local function crossed(run)
  for _, what in ipairs(run.plan.budget and M.measures or {}) do
    local limit = limit_of(run, what)
    if limit then
      local amount = used(run, what)
      if what == "steps" and amount > limit then return crossing(run, what, limit, limit) end -- those beyond it have not begun
      if what ~= "steps" and amount >= limit then return crossing(run, what, limit, amount) end
    end
  end
end

local OTHERWISE = {}

function OTHERWISE.fail(_, _, found)
  failure.raise("limit", "%s is used up", found.name)
end

-- Somebody is asked, once for all steps that want to go on.
function OTHERWISE.ask(frame, key, found)
  local record = question.ask(frame, found.key, { kind = "approval", waits_as = key .. "/budget",
    title = ("%s: %s is used up"):format(frame.run.plan.name, found.name),
    show = { used = found.used, limit = found.limit, measure = found.what } })
  if record.decision ~= "approve" then
    failure.raise("limit", "%s is used up, and %s does not let the run use more", found.name, record.by or "nobody")
  end
  found.grant()
end

-- Stops where it stands, until somebody resumes it.
function OTHERWISE.pause(frame, _, found)
  local run = frame.run
  if not run.journal then failure.raise("unavailable", "%s is used up, and a run that keeps nothing cannot be paused", found.name) end
  run:pause(found.name)
  native.check()
end

-- Until something is left; `find` looks again each time.
local function go_beyond(frame, key, find)
  local found = find()
  while found do
    OTHERWISE[found.otherwise or "fail"](frame, key, found)
    found = find()
  end
end

--- Counts a step, and sees that something is left for it. What is undone is not kept from it. May wait for a person. Raises
--- `limit`.
---@param frame table
---@param key string
function M.spend(frame, key)
  local run = frame.run
  if run.is_undoing then return end
  run.steps = run.steps + 1
  go_beyond(frame, key, function() return crossed(run) end)
end

--- Sees that something is left of a limit that the run shares with others. May wait for a person. Raises `limit`.
---@param frame table
---@param key string
---@param find fun(): weir.Crossing|nil
function M.shared(frame, key, find)
  go_beyond(frame, key, find)
end

--- A run that was paused for a budget of its own is resumed by somebody: it may use as much again.
---@param run weir.Run
function M.resumed(run)
  for _, wait in ipairs(run.parked_on or {}) do
    if wait.kind == "pause" and type(wait.name) == "string" and wait.name:find "^the run's budget" then
      grant(run)
    end
  end
end

-- Calls side by side ------------------------------------------------------------------------------------

local Reservation = {}
Reservation.__index = Reservation

--- What was reserved is known by now, or was not used.
function Reservation:close()
  if self.is_closed then return end
  self.is_closed = true
  local run = self.run
  run.reserved.calls = run.reserved.calls - 1
  for name, amount in pairs(self.amounts) do run.reserved[name] = run.reserved[name] - amount end
  local waiting = run.reserved.waiting
  run.reserved.waiting = {}
  for _, waiter in ipairs(waiting) do waiter:wake() end
end

Reservation.__close = Reservation.close

local function is_near(run, amounts)
  for name, amount in pairs(amounts) do
    local limit = limit_of(run, name)
    if limit and used(run, name) + run.reserved[name] + amount > limit then return true end
  end
end

--- Sets aside what a call of a model may use, until it is closed. While others of the run are under way and this one could
--- cross the limit with them it waits for them, so that no more than one call ever crosses it. Raises `limit`.
---@param frame table
---@param key string
---@param amounts { tokens: number, usd: number }
---@return table reservation to be closed
function M.reserve(frame, key, amounts)
  local run = frame.run
  if not run.plan.budget then return setmetatable({ is_closed = true }, Reservation) end
  run.reserved = run.reserved or { calls = 0, tokens = 0, usd = 0, waiting = {} }
  while run.reserved.calls > 0 and is_near(run, amounts) do
    local waiter = native.waiter()
    table.insert(run.reserved.waiting, waiter)
    waiter:wait "other calls of the run, since its budget is nearly used up"
  end
  go_beyond(frame, key, function() return crossed(run) end)
  run.reserved.calls = run.reserved.calls + 1
  for name, amount in pairs(amounts) do run.reserved[name] = run.reserved[name] + amount end
  return setmetatable({ run = run, amounts = amounts }, Reservation)
end

--- What is left of each measure that has a limit.
---@param run weir.Run
---@return { seconds: number?, usd: number?, tokens: number? }
function M.left(run)
  local left, budget = {}, run.plan.budget
  for _, what in ipairs(budget and M.measures or {}) do
    local limit = limit_of(run, what)
    if limit then left[what] = math.max(0, limit - used(run, what)) end
  end
  return left
end

return M
