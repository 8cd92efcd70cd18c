--- Budgets that many runs share: of a day, a month or for ever, of all runs, of a pipeline's, or of those that ask with one
--- key. What was used stands in the store, and what a call may use is added to it before the call, so that neither a
--- restart nor a kill forgets any of it.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local pages = require "weir.pages"
local sweep = require "weir.sweep"
local value_of = require "weir.value"

local M = {}

local SPACE = "spent"
local MICRO = 1000000 -- sums are integers; money is counted in millionths

local MEASURES = { "calls", "tokens", "usd", "steps", "seconds" }

---@class weir.model.Budgets
local Budgets = {}
Budgets.__index = Budgets

--- The budgets of the settings, kept in a store.
---@param list table[]|nil the setting `budgets`
---@param store userdata|nil
---@return weir.model.Budgets
function M.new(list, store)
  return setmetatable({ list = list or {}, store = store }, Budgets)
end

local PERIOD = {
  day = function(now_ms) return clock.rfc3339(now_ms):sub(1, 10) end,
  month = function(now_ms) return clock.rfc3339(now_ms):sub(1, 7) end,
  ever = function() return "ever" end,
}

-- What a budget counts under in its present period.
local function account(budget, now_ms)
  local period = PERIOD[budget.per or "day"](now_ms)
  return ("%s/%s/%s"):format(period, budget.pipeline or "*", budget.key or "*")
end

local function applies(budget, place)
  return (not budget.pipeline or budget.pipeline == place.pipeline) and (not budget.key or budget.key == place.key)
end

-- What is counted in each store, by name: read once, since one process owns it. What is about to be written counts already: of calls
-- that begin at the same moment none passes because of what the others have not written yet.
local of_store = setmetatable({}, { __mode = "k" })

local function sums_of(store)
  local sums = of_store[store] or {}
  of_store[store] = sums
  return sums
end

local function sum(self, name)
  local sums = sums_of(self.store)
  if not sums[name] then
    local value, message, code = self.store:get(SPACE, name)
    if value == nil and code ~= "not_found" then failure.raise(code, "%s", message) end
    sums[name] = value or 0
  end
  return sums[name]
end

local function scale(what) return what == "usd" and MICRO or what == "seconds" and 1000 or 1 end

local function crossing_of(self, budget, what, now_ms)
  local base = account(budget, now_ms)
  local used = sum(self, base .. "/" .. what) / scale(what)
  local grants = sum(self, ("%s/%s/granted"):format(base, what))
  local limit = budget[what] * (1 + grants)
  if used < limit then return nil end
  return { what = what, limit = limit, used = used, otherwise = budget.otherwise, key = ("budget/%s/%s#%d"):format(base, what, grants + 1),
    name = ("the budget of %g %s per %s%s"):format(limit, what, budget.per or "day",
      budget.pipeline and (" of pipeline '%s'"):format(budget.pipeline) or budget.key and (" of key '%s'"):format(budget.key) or ""),
    grant = function() self:grant(("%s/%s/granted"):format(base, what), grants) end }
end

--- Lets as much again be used in this period; several who were asked at once grant it once.
function Budgets:grant(name, before)
  local _, version = self.store:get(SPACE, name)
  if sum(self, name) > before then return end
  self.store:cas(SPACE, name, math.type(version) == "integer" and version or 0, before + 1)
  sums_of(self.store)[name] = nil -- as it is by now, whoever was first
end

--- The first budget of which nothing is left, or nil. Raises what the store says.
---@param place { pipeline: string, key: string? }
---@return table|nil crossing {what, limit, used, otherwise, key, name, grant}
function Budgets:crossed(place)
  if not self.store then return nil end
  for _, budget in ipairs(self.list) do
    for _, what in ipairs(applies(budget, place) and MEASURES or {}) do
      local found = budget[what] and crossing_of(self, budget, what, clock.wall_ms())
      if found then return found end
    end
  end
end

--- Whether any budget counts what a place uses.
function Budgets:counts(place)
  for _, budget in ipairs(self.store and self.list or {}) do
    if applies(budget, place) then return true end
  end
  return false
end

local function count(self, operations, sign)
  local sums = sums_of(self.store)
  for _, operation in ipairs(operations) do sums[operation.key] = sum(self, operation.key) + sign * operation.by end
end

--- Adds what was or may be used to every budget that it counts against; amounts may be negative. Waits for the disk.
--- Raises what the store says.
---@param place { pipeline: string, key: string? }
---@param amounts { calls: number?, tokens: number?, usd: number?, steps: number?, seconds: number? }
---@param at_ms integer|nil what it puts right was added then: it is of that day and month; default now
function Budgets:add(place, amounts, at_ms)
  local operations, has, now_ms = {}, {}, at_ms or clock.wall_ms()
  for _, budget in ipairs(self.store and self.list or {}) do
    local base = applies(budget, place) and account(budget, now_ms)
    if base and not has[base] then -- two limits of one account count once
      has[base] = true
      for _, what in ipairs(value_of.names(amounts)) do
        local by = math.floor(amounts[what] * scale(what) + 0.5)
        if by ~= 0 then operations[#operations + 1] = { op = "add", space = SPACE, key = base .. "/" .. what, by = by } end
      end
    end
  end
  if #operations == 0 then return end
  count(self, operations, 1)
  local done, message, code = self.store:batch(operations)
  if done then return end
  count(self, operations, -1)
  failure.raise(code, "%s", message)
end

local KEPT_DAYS, KEPT_MONTHS = 62, 13 * 31 -- days for which what was used on a day, and in a month, can be looked up

--- Forgets what was used on days and in months that are long over. Waits for the disk. Raises what the store says.
---@param store userdata
---@param now_ms integer
---@return integer removed
function M.expire(store, now_ms)
  local first_day = clock.rfc3339(now_ms - KEPT_DAYS * 86400000):sub(1, 10)
  local first_month = clock.rfc3339(now_ms - KEPT_MONTHS * 86400000):sub(1, 7)
  local function is_over(row)
    local period = row.key:match "^[%d-]+"
    return period ~= nil and (#period == 10 or period < first_month)
  end
  local function forget(operations)
    for _, operation in ipairs(operations) do sums_of(store)[operation.key] = nil end
  end
  local rows = pages.rows(store, SPACE, { before = first_day, damaged = true })
  return sweep.rows(store, SPACE, rows, is_over, { on_removed = forget })
end

return M
