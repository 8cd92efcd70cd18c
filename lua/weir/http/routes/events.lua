--- /api/events and /hooks: what comes in from outside, and what happens here as it happens. Events are CloudEvents 1.0.2
--- (https://github.com/cloudevents/spec), structured, in batches, or with their attributes in headers.

local clock = require "weir.port.clock"
local digest = require "weir.native.digest"
local door = require "weir.http.door"
local intake_of = require "weir.event.intake"
local json = require "weir.native.json"
local problem = require "weir.http.problem"
local router = require "weir.http.router"
local schemas = require "weir.http.schemas"
local schema_of = require "weir.schema"
local signature = require "weir.http.signature"
local sse = require "weir.http.sse"

local STRUCTURED, BATCH, PLAIN = "application/cloudevents+json", "application/cloudevents-batch+json", "application/json"
local BATCH_MAX = 100
local KINDS_MAX = 20

-- Events in ------------------------------------------------------------------------------------------

local check_event = assert(schema_of.compile(schemas.components.CloudEvent, { trusted = true }))

local function checked(event)
  local fits, errors = check_event(event, "event")
  if not fits then
    local err = problem.new(422, "invalid", "%s", errors[1].message)
    err.details = errors
    error(err, 0)
  end
  intake_of.check(event)
  if event.data ~= nil and event.data_base64 ~= nil then
    problem.raise(422, "invalid", "event: give 'data' or 'data_base64', not both")
  end
  return event
end

-- Attributes that stand in headers are percent-encoded there.
local function of_headers(call, body)
  local event = {}
  for _, header in ipairs(call.request:headers()) do
    local name = header[1]:match "^ce%-([a-z0-9]+)$"
    if name and event[name] ~= nil then problem.raise(400, "invalid", "the header %s is given more than once", header[1]) end
    if name then event[name] = header[2]:gsub("%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end) end
  end
  event.datacontenttype = PLAIN
  if body ~= "" then event.data = router.body({}, body) end
  return event
end

local function events_of(call)
  local body = door.raw(call.request)
  if call.type == STRUCTURED then return { router.body({}, body) } end
  if call.type == PLAIN then return { of_headers(call, body) } end
  local list = router.body({}, body)
  if not json.is_list(list) or #list < 1 or #list > BATCH_MAX then
    problem.raise(422, "invalid", "a batch is a list of 1 to %d events", BATCH_MAX)
  end
  return list
end

local function key_of(event)
  return digest.sha256(("%d:%s%s"):format(#event.source, event.source, event.id))
end

local function receive(call)
  local events, ids = events_of(call), json.list {}
  for _, event in ipairs(events) do checked(event) end
  local any_new = false
  for index, event in ipairs(events) do
    local id, is_new = door.detached(function() return call.host.http.intake:take(event, key_of(event), "api") end)
    ids[index], any_new = id, any_new or is_new
  end
  if call.type == BATCH then return 202, { items = ids, next = json.null } end
  return 202, { id = ids[1], duplicate = not any_new }
end

-- Webhooks -------------------------------------------------------------------------------------------

local function content_of(body, media)
  local value
  if media == PLAIN then value = json.decode(body) end
  if value ~= nil then return { data = value } end
  if utf8.len(body) then return { data = body } end
  return { data_base64 = digest.to_base64(body) }
end

local function hook_event(call, delivery, body)
  local media = (call.request:header "content-type" or ""):match "^%s*([^;%s]+)"
  local event = content_of(body, media and media:lower())
  event.specversion, event.id, event.source = "1.0", delivery.id, "/hooks/" .. call.params.path
  event.type = "webhook" .. (delivery.type and "." .. delivery.type or "")
  event.time, event.datacontenttype = clock.rfc3339(clock.wall_ms()), media
  return event
end

-- What was signed is checked before anything of it is read; whoever is not the sender learns no more than that.
local function hook(call)
  local one = call.host.http.hooks[call.params.path]
  local body = door.raw(call.request)
  if not one then problem.raise(404, "not_found", "there is no hook '%s'", call.params.path:sub(1, 60)) end
  local delivery, why = signature.verify(one, function(name) return call.request:header(name) end, body, clock.wall())
  if not delivery then
    if call.host.log then call.host.log:warn("a delivery was refused", { hook = call.params.path, reason = why }) end
    problem.raise(401, "denied", "%s", why)
  end
  local event = hook_event(call, delivery, body)
  intake_of.check(event)
  local id, is_new = door.detached(function()
    return call.host.http.intake:take(event, digest.sha256(("hook %s %s"):format(call.params.path, delivery.id)), "hook")
  end)
  return 202, { id = id, duplicate = not is_new }
end

-- Events out -----------------------------------------------------------------------------------------

local function kinds_of(text)
  if not text then return nil end
  local kinds = {}
  for kind in text:gmatch "[^,]+" do kinds[#kinds + 1] = kind end
  if #kinds > KINDS_MAX then problem.raise(422, "invalid", "kinds: at most %d", KINDS_MAX) end
  return kinds
end

local function follow(call)
  local query = call.query
  local follower = call.host.feed:follow { after = sse.last_id(call.request, query.after), run = query.run, kinds = kinds_of(query.kinds) }
  if not sse.begin(call.request) then return follower:close() end
  sse.follow(call, follower)
end

local TAKEN = { doc = "It is on disk. `duplicate`: it had come before.", schema = schemas.ref "Accepted" }
local FULL = { doc = "The queue is full; Retry-After says when there will be room.", schema = schemas.ref "Problem" }

return {
  { method = "POST", path = "/api/events", role = "run", handler = receive, is_raw = true, body = schemas.ref "CloudEvent",
    accepts = { STRUCTURED, BATCH, PLAIN },
    doc = "Takes an event in: a CloudEvent, a batch of up to 100, or JSON with the attributes in `ce-` headers.",
    answers = { [202] = TAKEN, [429] = FULL } },
  { method = "GET", path = "/api/events", role = "read", handler = follow, doc = "What happens in this host, as it happens.",
    query = { after = schemas.cursor, run = schemas.word, kinds = { type = "string", minLength = 1, maxLength = 400 } },
    answers = { [200] = { doc = "Server-sent events.", type = "text/event-stream" } } },
  { method = "POST", path = "/hooks/{path}", role = "signed", handler = hook, is_raw = true, accepts = "*",
    doc = "Takes a webhook in, whose sender is known by its signature.",
    answers = { [202] = TAKEN, [429] = FULL,
      [401] = { doc = "It is not signed as it should be, or too old.", schema = schemas.ref "Problem" } } },
}
