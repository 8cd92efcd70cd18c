--- What happens to a question while nobody decides: people are reminded, and others are asked. When, in which order, and
--- who may decide then. Each moment is a nominal one, counted from when it was asked, not from when somebody looked; so
--- whoever looks late finds the same moments. Part of weir.approval. Pure.
---
--- A ladder is plain data, kept with the question: {remind, escalate, working, reminded, remind_ms, rung, rung_ms}.

local M = {}

---@class weir.ApprovalLadder
---@field remind { every: number }|{ at: number[] }|nil  seconds: again and again, or since it was asked
---@field escalate { after: number, to: string[], instead: boolean|nil }[]|nil  rungs, in order of their seconds
---@field working table|nil      of what clock the seconds are, see weir.schedule.working; nil: that never stands still
---@field reminded integer|nil   how many moments have been reminded of
---@field remind_ms integer|nil  the next one
---@field rung integer|nil       how many rungs have been taken
---@field rung_ms integer|nil    when the next one is

local function copy_of(ladder)
  local copy = {}
  for field, value in pairs(ladder) do copy[field] = value end
  return copy
end

local function rung_ms_of(self, asked_ms, clock)
  local rung = (self.escalate or {})[(self.rung or 0) + 1]
  return rung and clock:after(asked_ms, rung.after)
end

local function remind_ms_of(self, asked_ms, clock)
  local remind = self.remind
  if not remind then return nil end
  if remind.every then return clock:after(self.remind_ms or asked_ms, remind.every) end
  local seconds = remind.at[(self.reminded or 0) + 1]
  return seconds and clock:after(asked_ms, seconds)
end

--- The ladder of a question that is asked now.
---@param fields { remind: table|nil, escalate: table[]|nil, working: table|nil }
---@param asked_ms integer
---@param clock weir.WorkingTime
---@return weir.ApprovalLadder|nil
function M.new(fields, asked_ms, clock)
  if not fields.remind and not fields.escalate then return nil end
  local self = { remind = fields.remind, escalate = fields.escalate, working = fields.working }
  self.rung_ms, self.remind_ms = rung_ms_of(self, asked_ms, clock), remind_ms_of(self, asked_ms, clock)
  return self
end

--- When something is to happen next; nil when nothing is.
---@param ladder weir.ApprovalLadder|nil
---@param due_ms integer|nil of the question: from then on nothing happens
---@return integer|nil ms
function M.next_ms(ladder, due_ms)
  if not ladder then return nil end
  local next_ms = math.min(ladder.remind_ms or math.maxinteger, ladder.rung_ms or math.maxinteger)
  if next_ms == math.maxinteger or due_ms and next_ms >= due_ms then return nil end
  return next_ms
end

local function climb(self, asked_ms, clock, happened)
  local number = (self.rung or 0) + 1
  local rung = self.escalate[number]
  happened[#happened + 1] = { kind = "escalated", nominal_ms = self.rung_ms, number = number, to = rung.to, instead = rung.instead }
  self.rung = number
  self.rung_ms = rung_ms_of(self, asked_ms, clock)
end

-- Several reminders that were missed are one: nobody needs yesterday's.
local function remind(self, asked_ms, clock, until_ms, happened)
  local missed, nominal_ms = -1, nil
  while self.remind_ms and self.remind_ms <= until_ms do
    missed, nominal_ms = missed + 1, self.remind_ms
    self.reminded = (self.reminded or 0) + 1
    self.remind_ms = remind_ms_of(self, asked_ms, clock)
  end
  if nominal_ms then
    happened[#happened + 1] = { kind = "reminder", nominal_ms = nominal_ms, number = self.reminded, missed = missed > 0 and missed or nil }
  end
end

--- What has happened by now that had not happened before: rungs in their order, then one reminder.
---@param ladder weir.ApprovalLadder
---@param asked_ms integer
---@param due_ms integer|nil
---@param now_ms integer
---@param clock weir.WorkingTime
---@return weir.ApprovalLadder ladder as it is then, another table
---@return { kind: "escalated"|"reminder", nominal_ms: integer, number: integer, to: string[]|nil, instead: boolean|nil,
---   missed: integer|nil }[] happened  missed: reminders before this one that nobody was sent
function M.take(ladder, asked_ms, due_ms, now_ms, clock)
  local self, happened = copy_of(ladder), {}
  local until_ms = due_ms and math.min(now_ms, due_ms - 1) or now_ms
  while self.rung_ms and self.rung_ms <= until_ms do climb(self, asked_ms, clock, happened) end
  remind(self, asked_ms, clock, until_ms, happened)
  return self, happened
end

local function add_names(list, names)
  local has = {}
  for _, name in ipairs(list) do has[name] = true end
  for _, name in ipairs(names) do
    if not has[name] then list[#list + 1], has[name] = name, true end
  end
end

--- Who may decide after so many rungs: each lets its people decide as well, or, where it says so, instead of all before.
---@param who string[]|nil nil: anybody
---@param ladder weir.ApprovalLadder|nil
---@return string[]|nil
function M.who(who, ladder)
  local list = who and table.move(who, 1, #who, 1, {})
  for number = 1, ladder and ladder.rung or 0 do
    local rung = ladder.escalate[number]
    if rung.instead then list = {} end
    if list then add_names(list, rung.to) end
  end
  return list
end

return M
