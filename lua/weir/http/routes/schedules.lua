--- /api/schedules: when runs start by themselves, what became of it, what will, and what people do about it.

local door = require "weir.http.door"
local duration = require "weir.duration"
local clock = require "weir.port.clock"
local civil = require "weir.schedule.civil"
local failure = require "weir.failure"
local json = require "weir.native.json"
local names = require "weir.schedule.names"
local operations = require "weir.schedule.operations"
local preview_of = require "weir.schedule.preview"
local record = require "weir.schedule.record"
local rule_of = require "weir.schedule.rule"
local schemas = require "weir.http.schemas"
local view = require "weir.view.schedules"

local COUNT, LIMIT = 10, 100

local function all(call)
  return door.detached(function() return names.of(call.host.project) end)
end

local function find(call)
  return names.find(all(call), call.params.id)
end

local function list(call)
  local items = json.list {}
  for index, one in ipairs(names.sorted(all(call))) do items[index] = view.shape(one, view.state(call.host.store, one)) end
  return 200, { items = items, next = json.null }
end

local function shape_of(call, one)
  return view.shape(one, view.state(call.host.store, one))
end

local function show(call)
  return 200, shape_of(call, find(call))
end

local function moment(text, name)
  if text == nil then return nil end
  local seconds, is_local = civil.read(text)
  if not seconds or is_local and #text > 10 then
    failure.raise("invalid", "%s: a time such as 2026-11-01T08:00:00Z expected, got '%s'", name, text:sub(1, 60))
  end
  return seconds * 1000
end

local function preview(call)
  local one, query = find(call), call.query
  local took, message
  if query.duration then
    took, message = duration.parse(query.duration)
    if not took then failure.raise("invalid", "duration: %s", message) end
  end
  return 200, view.preview(one, view.state(call.host.store, one), { from_ms = moment(query.from, "from") or clock.wall_ms(),
    to_ms = moment(query.to, "to"), count = query.count or query.to and preview_of.COUNT_MAX or COUNT,
    duration_ms = took and math.floor(took * 1000), what_if = query.from ~= nil })
end

local function history(call)
  local one, limit = find(call), call.query.limit or LIMIT
  local rows = record.history(call.host.store, one.rule.id, { limit = limit, before = tonumber(call.query.cursor) })
  local items = json.list {}
  for index, row in ipairs(rows) do items[index] = view.row(one.rule, row) end
  return 200, { items = items, next = #rows == limit and tostring(rows[#rows].seq) or json.null }
end

local function who(call) return { by = call.who.name, via = "http" } end

-- What is done is kept first; the host looks at the schedule then.
local function act(call, body)
  local one = find(call)
  local answer = door.detached(function() return body(one) end) or {}
  if call.host.schedules then call.host.schedules:nudge(one.rule.id) end
  answer.schedule = shape_of(call, one)
  return 200, answer
end

local function pause(call)
  return act(call, function(one)
    local _, changed = operations.pause(call.host.store, one.rule, who(call), call.body.why)
    return { changed = changed }
  end)
end

local function resume(call)
  return act(call, function(one)
    local _, passed = operations.resume(call.host.store, one.rule, who(call))
    return { changed = passed ~= nil, passed = passed or 0 }
  end)
end

local function trigger(call)
  return act(call, function(one)
    local _, action = operations.trigger(call.host.store, one.rule, who(call), call.body.overlap)
    return { action = action }
  end)
end

local function backfill(call)
  return act(call, function(one)
    local _, times = operations.backfill(call.host.store, one.rule, who(call), call.body)
    local listed = json.list {}
    for index, ms in ipairs(times) do listed[index] = clock.rfc3339(ms) end
    return { times = listed }
  end)
end

local JSON = "application/json"
local ACTED = { [200] = { doc = "It is on disk.", schema = schemas.ref "ScheduleAction" } }
local OVERLAP = { type = "string", enum = rule_of.overlaps }
local WHEN = { type = "string", minLength = 10, maxLength = 40 }

return {
  { method = "GET", path = "/api/schedules", role = "read", handler = list, doc = "Lists the schedules of the project's pipelines.",
    answers = { [200] = { doc = "All of them.", schema = schemas.page "Schedule" } } },
  { method = "GET", path = "/api/schedules/{id}", role = "read", handler = show, doc = "One schedule.",
    answers = { [200] = { doc = "The schedule.", schema = schemas.ref "Schedule" } } },
  { method = "GET", path = "/api/schedules/{id}/preview", role = "read", handler = preview,
    doc = "The next times of a schedule, and what its overlap policy will make of them if runs take as long as those recorded.",
    query = { count = schemas.limit, from = WHEN, to = WHEN, duration = schemas.word },
    answers = { [200] = { doc = "The times.", schema = schemas.ref "Preview" } } },
  { method = "GET", path = "/api/schedules/{id}/history", role = "read", handler = history,
    doc = "What was decided of each nominal time, and what became of its run; the newest first.",
    query = { limit = schemas.limit, cursor = { type = "string", pattern = "^[0-9]{1,18}$" } },
    answers = { [200] = { doc = "A page.", schema = schemas.page "Occurrence" } } },
  { method = "POST", path = "/api/schedules/{id}/pause", role = "run", accepts = JSON, handler = pause,
    body = schemas.object { why = schemas.comment }, doc = "Keeps a schedule from firing.", answers = ACTED },
  { method = "POST", path = "/api/schedules/{id}/resume", role = "run", accepts = JSON, handler = resume, body = schemas.object {},
    doc = "Has a schedule fire again, from now on.", answers = ACTED },
  { method = "POST", path = "/api/schedules/{id}/trigger", role = "run", accepts = JSON, handler = trigger,
    body = schemas.object { overlap = OVERLAP }, doc = "Has a schedule start a run now, beside its times.", answers = ACTED },
  { method = "POST", path = "/api/schedules/{id}/backfill", role = "run", accepts = JSON, handler = backfill,
    body = schemas.object({ from = WHEN, to = WHEN, overlap = OVERLAP, again = { type = "boolean" } }, { "from", "to" }),
    doc = "Starts a run for each time of a past stretch that has started none.", answers = ACTED },
}
