--- /api/sources, /api/events/log and /api/events/dead: where events come from, what came, and what could not become what it
--- should have.

local again = require "weir.event.again"
local door = require "weir.http.door"
local json = require "weir.native.json"
local letters = require "weir.trigger.letters"
local log = require "weir.event.log"
local problem = require "weir.http.problem"
local schemas = require "weir.http.schemas"
local view = require "weir.view.event"

local function triggers_of(call)
  if call.host.triggers then return call.host.triggers end
  problem.raise(503, "unavailable", "the triggers of this host are not at work")
end

local function listed(list, shape)
  local items = json.list {}
  for index, one in ipairs(list) do items[index] = shape(one) end
  return items
end

local function sources(call)
  return 200, { items = listed(triggers_of(call):list(), view.source), next = json.null }
end

local function id_of(call) return call.params.pipeline .. "/" .. call.params.name end

local function pause(call)
  local triggers = triggers_of(call)
  local source = door.detached(function() return triggers:pause(id_of(call), call.who.name) end)
  return 200, view.source(triggers:describe(source))
end

local function resume(call)
  local triggers = triggers_of(call)
  local source = door.detached(function() return triggers:resume(id_of(call)) end)
  return 200, view.source(triggers:describe(source))
end

local function page(call)
  local query = call.query
  local entries, more = log.page(call.host.store, { after = query.after, before = query.before, reverse = query.newest, type = query.type,
    source = query.source, limit = query.limit })
  return 200, { items = listed(entries, view.entry), next = more or json.null }
end

local function replay(call)
  local offset = door.detached(function() return again.emit(call.host.events, call.host.triggers, call.params.offset) end)
  return 202, { id = offset }
end

local function dead(call)
  local list = letters.list(call.host.project, call.host.store, call.query.pipeline)
  return 200, { items = listed(list, view.letter), next = json.null }
end

local function of_letter(what)
  return function(call)
    local letter = door.detached(function() return letters[what](call.host.project, call.host.store, call.params.id) end)
    return 200, view.letter(letter)
  end
end

local LETTER = { doc = "As it was.", schema = { type = "object" } }
local EMPTY = schemas.object {}

return {
  { method = "GET", path = "/api/sources", role = "read", handler = sources, doc = "Lists the sources of events of the pipelines.",
    answers = { [200] = { doc = "All of them.", schema = { type = "object" } } } },
  { method = "POST", path = "/api/sources/{pipeline}/{name}/pause", role = "run", accepts = "application/json", body = EMPTY,
    handler = pause, doc = "Has a source give nothing until it is resumed.",
    answers = { [200] = { doc = "The source.", schema = { type = "object" } } } },
  { method = "POST", path = "/api/sources/{pipeline}/{name}/resume", role = "run", accepts = "application/json", body = EMPTY,
    handler = resume, doc = "Has a paused source go on from where it was.",
    answers = { [200] = { doc = "The source.", schema = { type = "object" } } } },
  { method = "GET", path = "/api/events/log", role = "read", handler = page, doc = "The log of events, by offsets.",
    query = { after = schemas.cursor, before = schemas.cursor, newest = { type = "boolean" }, type = schemas.word, source = schemas.word,
      limit = schemas.limit }, answers = { [200] = { doc = "A page.", schema = { type = "object" } } } },
  { method = "POST", path = "/api/events/log/{offset}/replay", role = "run", accepts = "application/json", body = EMPTY, handler = replay,
    doc = "Gives an event of the log once more, with an id of its own.",
    answers = { [202] = { doc = "It is on disk.", schema = schemas.ref "Accepted" } } },
  { method = "GET", path = "/api/events/dead", role = "read", handler = dead, query = { pipeline = schemas.pipeline_name },
    doc = "Events that could not become what they should have.",
    answers = { [200] = { doc = "All of them.", schema = { type = "object" } } } },
  { method = "POST", path = "/api/events/dead/{id}/replay", role = "run", accepts = "application/json", body = EMPTY,
    handler = of_letter "replay", doc = "Puts a dead letter into its queue again.", answers = { [200] = LETTER } },
  { method = "POST", path = "/api/events/dead/{id}/discard", role = "run", accepts = "application/json", body = EMPTY,
    handler = of_letter "discard", doc = "Throws a dead letter away.", answers = { [200] = LETTER } },
}
