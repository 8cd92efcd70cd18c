--- The goal store: which goals were planned for, by which plans, and what came of them. One record for each time that a step
--- plans, in the space `goals`, in the order of the runs. A plan that reached a goal is used again for the same goal, or for one
--- that says nearly the same; one that failed for what it was is not tried again for a time.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local hash = require "weir.native.hash"
local json = require "weir.native.json"
local pages = require "weir.pages"
local similarity = require "weir.text.similarity"
local tokens = require "weir.text.tokens"
local value_of = require "weir.value"

local M = { space = "goals" }

local ALIKE = 0.8           -- share of words that two goals have in common, of all that they have, to count as alike
local LOOKED_AT = 400       -- of the newest goals, when one is looked for
local FORGET_S = 3600       -- seconds for which a plan that failed is not tried again
local KEEP_S = 90 * 86400   -- seconds after which a goal may leave the store
local PAGE, EVICTED = 100, 20

-- Failures that say something of the plan. What was not there, or could not be reached, may be another time.
local OF_THE_PLAN = { failed = true, invalid = true, rejected = true, limit = true, corrupt = true }

---@class weir.GoalRecord
---@field pipeline string
---@field run string
---@field step string     key
---@field at_ms integer
---@field text string
---@field want table      schemas by name
---@field signature string
---@field subject string
---@field planner string
---@field status "running"|"finished"|"failed"|"rejected"
---@field score number|nil    0..1, of the step's critic
---@field error table|nil     {code, message}
---@field plans { version: string, normal: table, pins: table<string, string>, status: string, error: table?, seconds: number?,
---  usd: number?, estimate: table?, reused: string?, at_ms: integer }[]

--- The id of a goal: that of its run's time, and drawn from where it stands, so that a replay has the same.
---@param run_id string
---@param key string of the step
---@return string `g_` and 20 characters
function M.id(run_id, key)
  local digest = hash.sha256(run_id .. "/" .. key)
  local time = run_id:match "^r_([0-9a-z][0-9a-z][0-9a-z][0-9a-z][0-9a-z][0-9a-z][0-9a-z][0-9a-z][0-9a-z])" or digest:sub(-9)
  return "g_" .. time .. digest:sub(1, 11)
end

--- The operation that puts a record.
---@param id string
---@param record weir.GoalRecord
---@return table
function M.operation(id, record)
  return { op = "put", space = M.space, key = id, value = value_of.copy(record) }
end

--- Puts a record by itself. Waits. Raises {code, message}.
function M.put(store, id, record)
  local done, message, code = store:batch { M.operation(id, record) }
  if not done then failure.raise(code or "failed", "%s", message) end
end

--- What removes the oldest goals when their time is over, a few at a time, for whoever writes a new one. What is damaged stays,
--- to be looked at. Raises `unavailable`.
---@param store weir.Store
---@param now_ms integer
---@return table[] operations
function M.eviction(store, now_ms)
  local operations = {}
  for found in pages.rows(store, M.space, { limit = EVICTED, damaged = true }) do
    if not found.damaged then
      if #operations == EVICTED or now_ms - (found.value.at_ms or 0) <= KEEP_S * 1000 then break end
      operations[#operations + 1] = { op = "delete", space = M.space, key = found.key }
    end
  end
  return operations
end

--- The newest goals, newest first.
---@param store weir.Store
---@param limit integer|nil
---@param before string|nil only those that sort before this id
---@return fun(): { key: string, value: weir.GoalRecord }|nil
function M.newest(store, limit, before)
  local page, at, left = {}, 0, limit or LOOKED_AT
  return function()
    if left == 0 then return nil end
    at = at + 1
    if at > #page then
      local is_last = #page > 0 and #page < PAGE
      page = is_last and {} or store:scan(M.space, { reverse = true, before = before, limit = PAGE, damaged = true }) or {}
      at, before = 1, page[#page] and page[#page].key
    end
    left = left - 1
    local found = page[at]
    if found and found.damaged then return { key = found.key, value = { plans = {}, status = "damaged" } } end
    return found
  end
end

-- Plans that work ------------------------------------------------------------------------------------------

local function finished_plan(record)
  for index = #record.plans, 1, -1 do
    if record.plans[index].status == "finished" then return record.plans[index] end
  end
end

local function words_of(value, words)
  if type(value) == "string" then
    if value:find "^%$[.%[]" then return words end
    for _, word in ipairs(tokens.words(value)) do words[word] = true end
  elseif type(value) == "number" then
    words[tostring(value)] = true
  elseif type(value) == "table" and value ~= json.null then
    for name, inner in pairs(value) do
      if name ~= "name" and name ~= "agent" then words_of(inner, words) end
    end
  end
  return words
end

local function set_of(text)
  local set = {}
  for _, word in ipairs(tokens.words(text)) do set[word] = true end
  return set
end

-- A plan that has words of the old goal in it which the new one does not say would do what nobody has asked for.
local function says_other_things(normal, old_text, new_text)
  local said, old, new = words_of(normal.groups, {}), set_of(old_text), set_of(new_text)
  for word in pairs(said) do
    if old[word] and not new[word] then return true end
  end
  return false
end

local function candidates_for(store, goal)
  local list = {}
  for found in M.newest(store) do
    local record = found.value
    local plan = record.status == "finished" and record.signature == goal.signature and finished_plan(record)
    if plan then list[#list + 1] = { id = found.key, record = record, plan = plan } end
  end
  return list
end

local function better(a, b)
  local x, y = a.record.score or 0.5, b.record.score or 0.5
  if x ~= y then return x > y end
  return a.id > b.id
end

local function same_text(candidates, goal)
  local same = {}
  for _, one in ipairs(candidates) do
    if one.record.text == goal.text then same[#same + 1] = one end
  end
  table.sort(same, better)
  return same[1]
end

local function alike_text(candidates, goal)
  table.sort(candidates, better)
  local seen, by_number = similarity.seen(ALIKE), {}
  for _, one in ipairs(candidates) do
    local is_other = says_other_things(one.plan.normal, one.record.text, goal.text)
    if not is_other then by_number[seen:add(tokens.words(one.record.text))] = one end
  end
  return by_number[seen:alike(tokens.words(goal.text)) or 0]
end

--- A plan that reached the same goal, or one that says nearly the same of the same things. Does not wait.
---@param store weir.Store
---@param goal weir.Goal
---@return { id: string, plan: table, is_same: boolean }|nil the best by its score, of several the newest
function M.recall(store, goal)
  local candidates = candidates_for(store, goal)
  local same = same_text(candidates, goal)
  if same then return { id = same.id, plan = same.plan, is_same = true } end
  local alike = goal.text ~= "" and alike_text(candidates, goal)
  return alike and { id = alike.id, plan = alike.plan, is_same = false } or nil
end

-- Plans that do not ---------------------------------------------------------------------------------------

local function is_current(pins, versions)
  for full, version in pairs(pins) do
    local name = full:match "^agents/(.+)$"
    if name and versions[name] ~= version then return false end
  end
  return true
end

--- The plans that failed for a goal a short time ago, with the agents as they are now: those that are not to be tried again.
--- Does not wait.
---@param store weir.Store
---@param goal weir.Goal
---@param versions table<string, string> of agents, by name
---@param run_id string|nil what failed in this run does not count
---@return { version: string, id: string, agent: string|nil, error: table, until_ms: integer }[]
function M.failed(store, goal, versions, run_id)
  local list, now = {}, clock.wall_ms()
  for found in M.newest(store) do
    local record = found.value
    for _, plan in ipairs(record.subject == goal.subject and record.run ~= run_id and record.plans or {}) do
      local until_ms = plan.at_ms + FORGET_S * 1000
      local counts = plan.status == "failed" and plan.error and OF_THE_PLAN[plan.error.code] and until_ms > now
      if counts and is_current(plan.pins, versions) then
        list[#list + 1] = { version = plan.version, id = found.key, agent = plan.error.agent, error = plan.error, until_ms = until_ms }
      end
    end
  end
  return list
end

--- Whether an error says that the plan is no good, and not that something could not be reached.
---@param code string
---@return boolean
function M.is_of_the_plan(code)
  return OF_THE_PLAN[code] == true
end

--- One goal, by its id, the beginning of one, or `last`. Does not wait. Raises `not_found`, `invalid` (several begin so).
---@param store weir.Store
---@param given string
---@return string id
---@return weir.GoalRecord
function M.find(store, given)
  if given == "last" then
    local found = M.newest(store, 1)()
    if not found then failure.raise("not_found", "no goal is kept yet; a step with `plan` makes one") end
    return found.key, found.value
  end
  local rows, message, code = store:scan(M.space, { prefix = given, limit = 2 })
  if not rows then failure.raise(code or "failed", "%s", message) end
  if #rows == 0 then failure.raise("not_found", "there is no goal '%s'; `weir goals` lists them", given) end
  if #rows > 1 then failure.raise("invalid", "'%s' fits more than one goal, such as %s and %s", given, rows[1].key, rows[2].key) end
  return rows[1].key, rows[1].value
end

return M
