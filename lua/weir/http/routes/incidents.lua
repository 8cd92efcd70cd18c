--- Incidents over HTTP: what went wrong, what supervisors did about it, and what people do about the rest.

local door = require "weir.http.door"
local incident_of = require "weir.healing.incident"
local json = require "weir.native.json"
local lookup = require "weir.http.lookup"
local operations = require "weir.healing.operations"
local schemas = require "weir.http.schemas"
local selection = require "weir.view.selection"
local view = require "weir.view.incident"

local LIMIT = 100
local object = schemas.object

local function shapes(incidents)
  local items = json.list {}
  for index, one in ipairs(incidents) do items[index] = view.shape(one) end
  return items
end

local function list(call)
  local query, limit = call.query, call.query.limit or LIMIT
  local found = incident_of.newest(call.host.store, { run = query.run, is_open = query.open, before = query.cursor, limit = limit,
    since_ms = selection.since(query.since, "since") })
  return 200, { items = shapes(found), next = #found == limit and found[limit].id or json.null }
end

local function whole(call, status, headers)
  local store = call.host.store
  return status, view.whole(store, incident_of.get(store, call.params.id)), headers
end

local function show(call) return whole(call, 200) end

local function about(call) return { by = call.who.name, via = "http", note = call.body.note } end

local function close(call)
  door.detached(function() operations.close(call.host.engine, call.params.id, about(call)) end)
  return whole(call, 200)
end

local function close_class(call)
  local engine = call.host.engine
  local closed = door.detached(function()
    return operations.close_all(engine, incident_of.of_class(engine.store, call.body.class), about(call))
  end)
  return 200, { items = shapes(closed), next = json.null }
end

local function revert(call)
  door.detached(function() operations.revert(call.host.engine, call.params.id, about(call)) end)
  return whole(call, 200)
end

local function replay(call)
  local engine = call.host.engine
  local run_id = door.detached(function()
    local made = operations.replay(engine, call.params.id, about(call), call.body.latest)
    door.go_on(engine:reopen(made))
    return made
  end)
  return 202, lookup.line(call.host, run_id), { Location = "/api/runs/" .. run_id }
end

local INCIDENT = schemas.ref "Incident"

local function action(name, doc, body, handler, answers)
  answers[404] = { doc = "There is none of this id." }
  return { method = "POST", path = "/api/incidents/{id}/" .. name, role = "run", accepts = "application/json", doc = doc, body = body,
    answers = answers, handler = handler }
end

return {
  { method = "GET", path = "/api/incidents", role = "read", handler = list,
    query = { run = schemas.word, open = { type = "boolean" }, since = { type = "string", maxLength = 40 }, limit = schemas.limit,
      cursor = { type = "string", pattern = "^i_[0-9a-z]{1,20}$" } },
    doc = "What went wrong and what was done about it, the newest first. `open`: what somebody has to look at.",
    answers = { [200] = { doc = "A page.", schema = schemas.page "Incident" } } },
  { method = "GET", path = "/api/incidents/{id}", role = "read", handler = show,
    doc = "An incident, with `seen`, how many of its family came within a week, `set_aside`, the input that was, and `holds`, what its "
      .. "remedy changes beyond its run.",
    answers = { [200] = { doc = "The incident.", schema = INCIDENT }, [404] = { doc = "There is none of this id." } } },
  { method = "POST", path = "/api/incidents/close", role = "run", accepts = "application/json", handler = close_class,
    doc = "Says of a whole `class`, a fingerprint or a family, that nobody has to look at it any more, with a `note`.",
    body = object({ class = { type = "string", pattern = "^[0-9a-f]{12}$" }, note = schemas.comment }, { "class" }),
    answers = { [200] = { doc = "Those that are closed now.", schema = schemas.page "Incident" },
      [404] = { doc = "There is none of this class that is not closed." } } },
  action("close", "Says that nobody has to look at it any more, with a `note` of what is known about it.",
    object { note = schemas.comment }, close,
    { [200] = { doc = "It is closed.", schema = INCIDENT }, [409] = { doc = "It was closed before." } }),
  action("revert", "Takes back what its remedy changed for more than one run.", object {}, revert,
    { [200] = { doc = "It is taken back.", schema = INCIDENT }, [409] = { doc = "Nothing that it changed holds any more." } }),
  action("replay", "Has what failed, or was set aside, tried again: a new run that keeps what the old one had finished before the step; "
      .. "`latest`: with the definition and modules as they are now.", object { latest = { type = "boolean" } },
    replay,
    { [202] = { doc = "The new run.", schema = schemas.ref "RunLine" }, [409] = { doc = "It was tried again before, or is of no run." } }),
}
