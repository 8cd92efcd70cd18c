--- Incidents: what went wrong, which remedy it got, and what came of that. One record each, written in one transaction with what
--- follows from it, so that none is lost and none is mended twice. A record stays, as what is known afterwards, until it is pruned.
---
--- Spaces: `incidents` by id; `incidents.by`: an index whose keys are "run/RUN/ID", "family/FAMILY/ID" and, of those that somebody
--- still has to look at, "open/ID"; `quarantine` by id of the incident: inputs that were set aside.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local id = require "weir.id"
local pages = require "weir.pages"
local value_of = require "weir.value"

local M = {}

M.SPACE, M.INDEX, M.QUARANTINE = "incidents", "incidents.by", "quarantine"
local PAGE = 500
local KEPT = 30 * 86400 -- seconds

---@class weir.Incident
---@field id string
---@field kind "step"|"stuck"|"run"|"monitor"|"watcher"|"supervisor"|"remedy"|"version"
---@field at_ms integer
---@field state "remedied"|"escalated"|"passed"|"closed" passed: no supervisor had anything to do about it
---@field code string
---@field message string
---@field fingerprint string
---@field family string
---@field text string       the message without what is of one case only
---@field pipeline string|nil
---@field version string|nil of the pipeline
---@field run string|nil
---@field step string|nil   key in the journal
---@field agent string|nil  module that did the step's work
---@field agent_version string|nil
---@field attempt integer|nil
---@field by string|nil     the supervisor that decided
---@field remedy { name: string, args: table, reverted_at: integer|nil }|nil
---@field reason string|nil why it was escalated, or what the remedy is to do
---@field outcome "healed"|"failed"|nil what came of the remedy, once that is known
---@field ended_ms integer|nil when that was known
---@field caused_by string|nil the incident whose remedy, or whose supervisor, has caused this one

--- A new incident: its id and time are given here. Not written yet.
---@param fields table
---@return weir.Incident
function M.new(fields)
  fields.id, fields.at_ms = id.in_a_row "i", fields.at_ms or clock.wall_ms()
  return fields
end

local IS_OPEN = { escalated = true }

local function index(operations, op, key)
  operations[#operations + 1] = { op = op, space = M.INDEX, key = key, value = op == "put" and true or nil }
end

--- Adds the operations that write an incident for the first time.
---@param operations table[]
---@param incident weir.Incident
function M.write(operations, incident)
  operations[#operations + 1] = { op = "put", space = M.SPACE, key = incident.id, value = incident }
  index(operations, "put", ("family/%s/%s"):format(incident.family, incident.id))
  if incident.run then index(operations, "put", ("run/%s/%s"):format(incident.run, incident.id)) end
  if IS_OPEN[incident.state] then index(operations, "put", "open/" .. incident.id) end
end

--- Adds the operations that write what has become of an incident.
---@param operations table[]
---@param incident weir.Incident as it is now
function M.update(operations, incident)
  operations[#operations + 1] = { op = "put", space = M.SPACE, key = incident.id, value = incident }
  index(operations, IS_OPEN[incident.state] and "put" or "delete", "open/" .. incident.id)
end

local function must(result, message, code)
  if result == nil then failure.raise(code or "failed", "%s", message) end
  return result
end

--- Commits operations. Waits for the disk. Raises as the store refuses.
---@param store weir.Store
---@param operations table[]
function M.commit(store, operations)
  must(store:batch(operations))
end

--- One incident. Does not wait. Raises `not_found`, `corrupt`.
---@param store weir.Store
---@param incident_id string
---@return weir.Incident
function M.get(store, incident_id)
  local value, message, code = store:get(M.SPACE, incident_id)
  if not value then
    if code and code ~= "not_found" then failure.raise(code, "%s", message) end
    failure.raise("not_found", "there is no incident '%s'; `weir incidents` lists them", incident_id)
  end
  return value_of.known(value)
end

local held = setmetatable({}, { __mode = "k" }) -- by store: incidents that somebody is just changing, by id

--- One incident, for somebody who is going to change it: nobody else does until what is given second is closed. Does not wait.
--- Raises `not_found`, `corrupt`, `conflict` (another one is just changing it).
---@param store weir.Store
---@param incident_id string
---@return weir.Incident
---@return table claim to be closed once the change is written
function M.hold(store, incident_id)
  local incident, of_store = M.get(store, incident_id), held[store] or {}
  if of_store[incident_id] then
    failure.raise("conflict", "somebody else is doing something about incident %s; look what came of it", incident_id)
  end
  held[store], of_store[incident_id] = of_store, incident
  return incident, setmetatable({}, { __close = function() of_store[incident_id] = nil end })
end

--- What has become of an incident by now, also what somebody is just writing of it. Does not wait.
---@param store weir.Store
---@param incident weir.Incident as it was known to be
---@return weir.Incident
function M.latest(store, incident)
  local changing = held[store] and held[store][incident.id]
  if changing then return changing end
  local value = store:get(M.SPACE, incident.id)
  return value and value_of.known(value) or incident
end

local function by_index(store, prefix, after)
  local list = {}
  for found in pages.rows(store, M.INDEX, { prefix = prefix, after = after }) do
    local value = store:get(M.SPACE, found.key:match "[^/]*$")
    if value then list[#list + 1] = value_of.known(value) end
  end
  return list
end

--- The incidents of a run, the oldest first. Does not wait.
---@param store weir.Store
---@param run_id string
---@return weir.Incident[]
function M.of_run(store, run_id) return by_index(store, ("run/%s/"):format(run_id)) end

--- Those that somebody has to look at.
---@param store weir.Store
---@return weir.Incident[]
function M.open(store) return by_index(store, "open/") end

--- Those of a family since a moment.
---@param store weir.Store
---@param family string
---@param since_ms integer|nil
---@return weir.Incident[]
function M.of_family(store, family, since_ms)
  local prefix = ("family/%s/"):format(family)
  return by_index(store, prefix, since_ms and prefix .. id.bound("i", since_ms))
end

--- Those of a whole class that are not closed, the oldest first. Does not wait. Raises `not_found` when there are none.
---@param store weir.Store
---@param name string a fingerprint or a family
---@return weir.Incident[]
function M.of_class(store, name)
  local list = {}
  for _, one in ipairs(M.since(store)) do
    if (one.fingerprint == name or one.family == name) and one.state ~= "closed" then list[#list + 1] = one end
  end
  return #list > 0 and list or failure.raise("not_found", "there is no incident '%s'; `weir incidents` lists them", name)
end

--- When the latest of a family came, ms since 1970, the oldest first.
---@param store weir.Store
---@param family string
---@param since_ms integer
---@param most integer up to 1000
---@return integer[]
function M.times_of_family(store, family, since_ms, most)
  local page = must(store:scan(M.INDEX, { prefix = ("family/%s/"):format(family), reverse = true, limit = most }))
  local times = {}
  for position = #page, 1, -1 do
    local value = store:get(M.SPACE, page[position].key:match "[^/]*$")
    if value and value.at_ms >= since_ms then times[#times + 1] = value.at_ms end
  end
  return times
end

--- All since a moment, the oldest first. Does not wait.
---@param store weir.Store
---@param since_ms integer|nil
---@return weir.Incident[]
function M.since(store, since_ms)
  local list = {}
  for found in pages.rows(store, M.SPACE, { after = since_ms and id.bound("i", since_ms) or nil }) do
    list[#list + 1] = value_of.known(found.value)
  end
  return list
end

local function place_of(query)
  if query.run then return M.INDEX, ("run/%s/"):format(query.run) end
  if query.is_open then return M.INDEX, "open/" end
  return M.SPACE, ""
end

--- Those that fit, the newest first. Does not wait.
---@param store weir.Store
---@param query { run: string?, is_open: boolean?, since_ms: integer?, before: string?, limit: integer } is_open: that somebody has to
---   look at; before: only those that sort before this id
---@return weir.Incident[]
function M.newest(store, query)
  local found, space, prefix = {}, place_of(query)
  local before = query.before and prefix .. query.before
  local first = query.since_ms and prefix .. id.bound("i", query.since_ms)
  repeat
    local page = must(store:scan(space, { prefix = prefix, before = before, reverse = true, limit = PAGE }))
    for _, one in ipairs(page) do
      if #found == query.limit or first and one.key < first then return found end
      local value = space == M.SPACE and one.value or store:get(M.SPACE, one.key:match "[^/]*$")
      if value and (IS_OPEN[value.state] or not query.is_open) then found[#found + 1] = value_of.known(value) end
    end
    before = page[#page] and page[#page].key
  until #page < PAGE
  return found
end

--- The input that was set aside over an incident, or nil: {run, pipeline, step, input, at_ms}.
---@param store weir.Store
---@param incident_id string
---@return table|nil
function M.quarantined(store, incident_id)
  local value = store:get(M.QUARANTINE, incident_id)
  return value
end

local function remove(operations, incident)
  for _, key in ipairs { ("family/%s/%s"):format(incident.family, incident.id), "open/" .. incident.id,
    incident.run and ("run/%s/%s"):format(incident.run, incident.id) } do
    if key then index(operations, "delete", key) end
  end
  operations[#operations + 1] = { op = "delete", space = M.SPACE, key = incident.id }
  operations[#operations + 1] = { op = "delete", space = M.QUARANTINE, key = incident.id }
end

--- Forgets what nobody has to look at any more and is older than thirty days. What is damaged stays. Waits.
---@param store weir.Store
---@param now_ms integer
---@return integer removed
function M.expire(store, now_ms)
  local removed, after = 0, nil
  repeat
    local operations = {}
    local page = must(store:scan(M.SPACE, { after = after, limit = PAGE, damaged = true }))
    after = page[#page] and page[#page].key
    for _, found in ipairs(page) do
      local incident = not found.damaged and value_of.known(found.value)
      if incident and incident.at_ms > now_ms - KEPT * 1000 then
        after = nil -- what follows is younger
        break
      end
      if incident and not IS_OPEN[incident.state] then
        remove(operations, incident)
        removed = removed + 1
      end
    end
    if #operations > 0 then M.commit(store, operations) end
  until not after
  return removed
end

return M
