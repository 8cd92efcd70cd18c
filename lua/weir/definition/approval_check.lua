--- The checks of what asks people: that enough of them may decide, that the rungs of the ladder are in order. Pure; never
--- yields.

local checker = require "weir.definition.checker"
local duration = require "weir.duration"

local M = {}

local below = checker.below

-- How much all whom `names` lets decide weigh together; without weights how many they are. A name that is no group is a
-- person; a person weighs what is said of them, or the most of what is said of their groups, or 1.
local function weight_of(self, names, weights)
  local seen, sum = {}, 0
  for _, name in ipairs(names) do
    for _, person in ipairs(self.lookup("group", name) or { name }) do
      local weight = weights[person]
      for group, of_group in pairs(weight and {} or weights) do
        for _, member in ipairs(self.lookup("group", group) or {}) do
          if member == person then weight = math.max(weight or 0, of_group) end
        end
      end
      sum, seen[person] = sum + (seen[person] and 0 or weight or 1), true
    end
  end
  return sum
end

local function everybody(approval)
  local names = table.move(approval.who, 1, #approval.who, 1, {})
  for _, rung in ipairs(approval.escalate or {}) do table.move(rung.to, 1, #rung.to, #names + 1, names) end
  return names
end

--- That those who may decide can make up the quorum.
---@param self weir.Checker
---@param approval table
---@param keys (string|integer)[]
function M.check_quorum(self, approval, keys)
  if not self.lookup or not approval.quorum or not approval.who then return end
  local weights = type(approval.quorum) == "table" and approval.quorum.weights or {}
  local needed = type(approval.quorum) == "table" and approval.quorum.weight or approval.quorum
  local there = weight_of(self, everybody(approval), weights)
  if there < needed then
    local what = type(approval.quorum) == "table" and "is %d, but all whom 'who' names weigh only %d" or "is %d, but 'who' names only %d"
    self:refuse(below(keys, "quorum"), what:format(needed, there))
  end
end

-- Its zone, its hours and its calendar are read as they will be.
local function check_working(self, given, keys)
  if not given then return end
  local working = require "weir.schedule.working"
  local ok, err = pcall(working.read, given, self.lookup and self.lookup "calendars" or nil)
  if not ok then self:refuse_plainly(keys, err.message, "invalid") end
end

local function check_ladder(self, approval, timeout, keys)
  for index, text in ipairs(type(approval.remind) == "table" and approval.remind or { approval.remind }) do
    self:check_duration(text, type(approval.remind) == "table" and below(keys, "remind", index - 1) or below(keys, "remind"))
    local seconds = duration.parse(text)
    if seconds and seconds < 1 then self:refuse(below(keys, "remind"), "is less than a second") end
  end
  local last = 0
  for index, rung in ipairs(approval.escalate or {}) do
    local rung_keys = below(keys, "escalate", index - 1)
    self:check_duration(rung.after, below(rung_keys, "after"))
    local seconds = rung.after ~= nil and duration.parse(rung.after)
    if seconds and seconds < last then self:refuse(below(rung_keys, "after"), "comes before the rung above it") end
    if rung.after == nil and approval.on_timeout ~= "escalate" then
      self:refuse(below(rung_keys, "after"), "is missing: when are they asked, or on_timeout: escalate")
    end
    last = seconds or last
  end
  if approval.on_timeout == "escalate" and not (approval.escalate and timeout ~= nil) then
    self:refuse(below(keys, "on_timeout"), "is escalate: that needs 'escalate', who is asked then, and a timeout")
  end
end

--- A step that asks people, or a gate.
---@param self weir.Checker
---@param approval table
---@param keys (string|integer)[]
---@param place table what its paths see
---@param timeout any of the step, in place of its own
function M.check(self, approval, keys, place, timeout)
  self:check_value(approval.title, below(keys, "title"), place)
  self:check_value(approval.show, below(keys, "show"), place)
  self:check_schema(approval.form, below(keys, "form"))
  self:check_duration(approval.timeout, below(keys, "timeout"))
  M.check_quorum(self, approval, keys)
  check_ladder(self, approval, timeout or approval.timeout, keys)
  check_working(self, approval.working, below(keys, "working"))
  if approval.precondition then
    self:check_agent(approval.precondition, below(keys, "precondition"))
    self:check_value(approval.precondition.input, below(keys, "precondition", "input"), place)
  end
end

return M
