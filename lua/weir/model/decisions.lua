--- The log of choices: what a policy saw when it chose a model, what it chose, and what came of it. `weir models replay`
--- asks it what another policy would have done.
---
--- Of each day at most 400 choices are kept, each with the same chance, however many there are: reservoir sampling,
--- algorithm R of Vitter, "Random Sampling with a Reservoir", ACM TOMS 11(1), 1985. A day goes after 30 days. The store has
--- them in the space `models.decisions`, under DAY/SLOT; `models.days` says how many there were each day.

local default_clock = require "weir.port.clock"
local keeper = require "weir.model.keeper"
local random = require "weir.port.random"

local M = { space = "models.decisions", days_space = "models.days" }

local DAY = 86400
M.quota, M.days = 400, 30
local PAGE = 200

---@class weir.LoggedChoice
---@field at_ms integer
---@field label string|nil
---@field policy string
---@field chosen string            the first that was asked
---@field candidates table[]       usable ones: {name, price, weight, running, provider, estimate, limits}
---@field of table<string, weir.ModelMetrics> what the policy saw
---@field left table               what the run had left
---@field outcomes { model: string, ok: boolean, class: string?, seconds: number, usd: number?, tokens: integer? }[]

---@class weir.Decisions
local Decisions = {}
Decisions.__index = Decisions

--- A log. Does not wait.
---@param store weir.Store|nil without one nothing is logged
---@param clock table|nil
---@param options { keeper: weir.Keeper?, draw: (fun(): number)? }|nil
---@return weir.Decisions
function M.new(store, clock, options)
  options = options or {}
  return setmetatable({ store = store, clock = clock or default_clock, keeper = options.keeper or keeper.new(store, clock),
    draw = options.draw or random.float }, Decisions)
end

local function day_key(day)
  return ("%05d"):format(day)
end

-- Days that are over go with their choices.
local function forget_old(self, day)
  local rows = self.store:scan(M.days_space, { before = day_key(day - M.days + 1), limit = PAGE }) or {}
  for _, row in ipairs(rows) do
    self.keeper:delete(M.days_space, row.key)
    for slot = 1, math.min(row.value, M.quota) do self.keeper:delete(M.space, ("%s/%03d"):format(row.key, slot)) end
  end
end

local function begin_day(self, day)
  local seen = self.store:get(M.days_space, day_key(day))
  self.day, self.seen = day, math.type(seen) == "integer" and seen or 0
  forget_old(self, day)
end

-- Where a choice is kept; nil: it is not.
local function slot_of(self)
  if self.seen <= M.quota then return self.seen end
  local drawn = 1 + math.floor(self.draw() * self.seen)
  if drawn <= M.quota then return drawn end
end

--- Logs a choice. Does not wait.
---@param choice weir.LoggedChoice
function Decisions:note(choice)
  if not self.store then return end
  local day = choice.at_ms // (DAY * 1000)
  if day ~= self.day then begin_day(self, day) end
  self.seen = self.seen + 1
  local seen = self.seen
  self.keeper:put(M.days_space, day_key(day), function() return seen end)
  local slot = slot_of(self)
  if slot then self.keeper:put(M.space, ("%s/%03d"):format(day_key(day), slot), function() return choice end) end
end

local function page_of(self, from, after)
  return self.store and self.store:scan(M.space, { from = from, after = after, limit = PAGE, damaged = true }) or {}
end

--- The kept choices since a moment, by day; within a day in no order. Reads page by page; does not wait.
---@param since_ms integer
---@return fun(): weir.LoggedChoice|nil
function Decisions:each(since_ms)
  local after, page, place = nil, {}, 0
  local from = day_key(since_ms // (DAY * 1000))
  return function()
    while true do
      place = place + 1
      if place > #page then
        page = page_of(self, not after and from or nil, after)
        if #page == 0 then return nil end
        after, place = page[#page].key, 1
      end
      local choice = page[place].value
      if type(choice) == "table" and choice.at_ms >= since_ms then return choice end
    end
  end
end

--- How many choices there were since the day of a moment, kept or not. Reads; does not wait.
---@param since_ms integer
---@return integer
function Decisions:count(since_ms)
  local sum, from = 0, day_key(since_ms // (DAY * 1000))
  local rows = self.store and self.store:scan(M.days_space, { from = from, limit = M.days + 1 }) or {}
  for _, row in ipairs(rows) do sum = sum + row.value end
  return sum
end

return M
