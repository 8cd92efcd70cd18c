--- /api/runs: starting, listing, looking, and what is done to one.

local catalog = require "weir.model.catalog"
local door = require "weir.http.door"
local failure = require "weir.failure"
local fork = require "weir.run.fork"
local fork_view = require "weir.view.fork"
local history = require "weir.run.history"
local json = require "weir.native.json"
local lookup = require "weir.http.lookup"
local migrate = require "weir.run.migrate"
local problem = require "weir.http.problem"
local record_of = require "weir.view.record"
local recovery = require "weir.run.recovery"
local run_view = require "weir.view.run"
local sayable = require "weir.view.sayable"
local schemas = require "weir.http.schemas"
local selection = require "weir.view.selection"
local shape = require "weir.view.shape"
local sse = require "weir.http.sse"
local subscription = require "weir.serve.subscription"
local task = require "weir.task"
local value_of = require "weir.value"
local waking = require "weir.run.waking"

local WAIT_MAX = 300 -- seconds
local LIMIT = 100
local PAGES = 100 -- of the store that one answer looks at, each of some thousand rows at most; then the cursor says where to go on
local object = schemas.object
local HAS_ENDED = require("weir.run.keeping").HAS_ENDED

local function location(run_id) return { Location = "/api/runs/" .. run_id } end

-- Starting -------------------------------------------------------------------------------------------

local function key_of(call)
  local header, count = call.request:header "idempotency-key"
  if count and count > 1 then problem.raise(400, "invalid", "Idempotency-Key is given more than once") end
  local given = call.body.key
  if header and given and header ~= given then
    problem.raise(422, "invalid", "the header Idempotency-Key and the field 'key' differ; give one of them")
  end
  return header or given
end

local function seconds_of(text)
  if not text then return nil end
  local seconds, message = require("weir.duration").parse(tonumber(text) or text)
  if not seconds then problem.raise(422, "invalid", "wait: %s", message) end
  if seconds > WAIT_MAX then problem.raise(422, "invalid", "wait: at most %d s are allowed", WAIT_MAX) end
  return seconds
end

local function wait_for(run, seconds)
  if not seconds or run.ended_ms then return end
  task.within({ timeout = seconds }, function() run:wait() end)
end

local function start(call)
  local host, body, seconds = call.host, call.body, seconds_of(call.query.wait)
  local definition, err = lookup.definition(host, body.pipeline)
  if not definition then error(err, 0) end
  local input = body.input
  if input == nil then input = {} end
  local key = key_of(call)
  if body.model then catalog.new(host.project):find(body.model) end
  local run, is_new = door.detached(function()
    return host.engine:start(definition, input, { key = key, by = call.who.name, model = body.model })
  end)
  wait_for(run, seconds)
  local has_ended = run.ended_ms ~= nil
  local line = run.plan and run.binding and shape.live(run) or lookup.line(host, run.id)
  return (is_new == false or seconds and has_ended) and 200 or 202, line, location(run.id)
end

-- Looking --------------------------------------------------------------------------------------------

local function list(call)
  local query, host = call.query, call.host
  local limit = query.limit or LIMIT
  local found, rest = selection.runs(host.store, { status = query.status, pipeline = query.pipeline, limit = limit + 1, damaged = true,
    since_ms = selection.since(query.since, "since"), after = query.cursor, live = host.engine.live, pages = PAGES })
  local items = json.list {}
  for index = 1, math.min(#found, limit) do items[index] = shape.row(found[index].id, found[index].row or { status = "damaged" }) end
  return 200, { items = items, next = found[limit + 1] and found[limit].id or rest or json.null }
end

local JSON = "application/json"

-- Of a run that has ended nothing changes any more.
local function show(call)
  local id, bodies = call.params.id, call.host.http.bodies
  local row = lookup.row(call.host, id)
  local has_ended = HAS_ENDED[row.status]
  local text = has_ended and bodies:get(id)
  if text then return 200, text end
  local record = record_of.load(call.host.store, id, call.host.engine.live)
  record.candidates = require("weir.view.candidates").of_run(call.host.store, record)
  local whole = run_view.whole(record)
  local goes_on = record.normal and record.normal.reflect ~= nil -- what is proposed after it is still to come
  if not has_ended or goes_on or whole.ended_at == json.null then return 200, whole end
  local message
  text, message = sayable.encode(whole)
  if not text then failure.raise("corrupt", "run %s cannot be written as JSON: %s", id, message) end
  bodies:put(id, text)
  return 200, text
end

local function entries(call)
  local id, limit = call.params.id, call.query.limit or LIMIT
  lookup.row(call.host, id)
  local found, last, code = call.host.store:entries(id, call.query.after or 0, limit)
  if not found then failure.raise(code or "failed", "%s", last) end
  local items, from = json.list {}, last - #found
  for index, entry in ipairs(found) do items[index] = { n = from + index, entry = entry } end
  return 200, { items = items, next = #found == limit and tostring(last) or json.null }
end

local function data(call)
  local id = call.params.id
  lookup.row(call.host, id)
  if call.query.at then return 200, run_view.moment(history.at(call.host.engine, id, call.query.at)) end
  local record = record_of.load(call.host.store, id)
  return 200, { run = id, pipeline = record.pipeline, version = record.version, data = record_of.data(record) }
end

local function has_ended(event)
  return event.kind == "run" and HAS_ENDED[event.data.status] == true
end

-- What is followed begins before what is is told, so that nothing lies between.
local function stream(call)
  local host, id = call.host, call.params.id
  lookup.row(host, id)
  local after = sse.last_id(call.request, call.query.after)
  local follower = host.feed:follow { after = after, run = id }
  if not sse.begin(call.request) then return follower:close() end
  local line = lookup.line(host, id)
  if HAS_ENDED[line.status] or not after then call.request:write(sse.event(nil, "now", line)) end
  if HAS_ENDED[line.status] then
    follower:close()
    return call.request:close()
  end
  local own = subscription.new(follower, { rate = call.query.rate, run_of = function() return host.engine.live[id] end })
  sse.follow(call, own, { is_last = has_ended })
end

-- Acting ---------------------------------------------------------------------------------------------

local function reason_of(call, what)
  return call.body and call.body.reason or ("%s by %s"):format(what, call.who.name)
end

local function cancel(call)
  local host, id = call.host, call.params.id
  lookup.row(host, id)
  local reason = reason_of(call, "cancelled")
  door.detached(function() host.engine:cancel(id, reason) end)
  return 200, lookup.line(host, id)
end

local function pause(call)
  local host, id = call.host, call.params.id
  lookup.row(host, id)
  door.detached(function() waking.pause(host.engine, id) end)
  return 200, lookup.line(host, id)
end

local function resume(call)
  local host, id = call.host, call.params.id
  local row = lookup.row(host, id)
  local live = host.engine.live[id]
  if live and shape.only_waits(live) then return 202, lookup.line(host, id), location(id) end -- it goes on by itself
  door.detached(function()
    door.go_on(recovery.open(host.engine, id, { anyway = row.status == "quarantined" }))
  end)
  return 202, lookup.line(host, id), location(id)
end

local function set_values(made, values, prefix)
  for _, path in ipairs(value_of.names(values or {})) do made:set((prefix or "") .. path, values[path]) end
end

local function make(call, made)
  if call.body.dry_run then return 200, fork_view.shape(call.host.store, made) end
  local engine = call.host.engine
  local id = door.detached(function()
    local new = made:make { by = call.who.name }
    door.go_on(engine:reopen(new))
    return new
  end)
  return 202, lookup.line(call.host, id), location(id)
end

local function retry(call)
  local body = call.body
  lookup.row(call.host, call.params.id)
  local has_input = body.input ~= nil or body.set ~= nil
  local made = fork.retry(call.host.engine, call.params.id, { from = body.from, latest = body.latest, anew = has_input })
  if body.input ~= nil then made:set("input", body.input) end
  set_values(made, body.set, "input.")
  return make(call, made)
end

local function fork_at(call)
  lookup.row(call.host, call.params.id)
  local made = fork.fork(call.host.engine, call.params.id, call.body.at)
  set_values(made, call.body.set)
  return make(call, made)
end

local function signal(call)
  local host, body = call.host, call.body
  lookup.row(host, call.params.id)
  door.detached(function() waking.signal(host.engine, call.params.id, body.name, body.value) end)
  return 202, { run = call.params.id, name = body.name }
end

-- A run that was at work goes on whatever came of it; one that is parked is woken by whoever serves the store.
local function migrate_run(call)
  local host, body, id = call.host, call.body, call.params.id
  lookup.row(host, id)
  local options = { dry_run = body.dry_run, by = call.who.name, via = "http",
    go_on = function(run_id) door.go_on(recovery.open(host.engine, run_id)) end }
  local ok, done = pcall(door.detached, function() return migrate.run(host.engine, id, body.to, options) end)
  if not ok then
    local found = type(done) == "table" and rawget(done, "divergence")
    if found then done.extra = { divergence = { key = found.key, record = found.n, recorded = found.recorded } } end
    error(done, 0)
  end
  return 200, { run = done.run, pipeline = done.pipeline, from = done.from, to = done.to, dry_run = body.dry_run == true }
end

-- Routes ---------------------------------------------------------------------------------------------

local RUN, LINE, PLAN = schemas.ref "Run", schemas.ref "RunLine", schemas.ref "Plan"
local reason = object { reason = schemas.comment }
local set = { type = "object", propertyNames = { minLength = 1, maxLength = 512 } }

local function action(name, role, doc, body, answers, handler)
  return { method = "POST", path = "/api/runs/{id}/" .. name, role = role, doc = doc, accepts = JSON, body = body, answers = answers,
    handler = handler }
end

return {
  { method = "POST", path = "/api/runs", role = "run", accepts = JSON, handler = start,
    doc = "Starts a run. Its start is on disk before the answer. An equal key with an equal body gives the first run.",
    query = { wait = { type = "string", maxLength = 20 } },
    body = object({ pipeline = schemas.pipeline_name, input = {}, key = { type = "string", minLength = 1, maxLength = 256 },
      model = { type = "string", minLength = 1, maxLength = 128 } }, { "pipeline" }),
    answers = { [202] = { doc = "It has begun.", schema = LINE },
      [200] = { doc = "It has ended within `wait`, or the key had started it before.", schema = LINE } } },
  { method = "GET", path = "/api/runs", role = "read", handler = list,
    doc = "Lists runs, the newest first. A page may hold fewer than `limit`; `next` says whether to go on.",
    query = { status = schemas.status, pipeline = schemas.pipeline_name, since = { type = "string", maxLength = 40 }, limit = schemas.limit,
      cursor = { type = "string", pattern = "^[0-9A-Za-z_]{1,128}$" } },
    answers = { [200] = { doc = "A page.", schema = schemas.page "RunLine" } } },
  { method = "GET", path = "/api/runs/{id}", role = "read", handler = show, doc = "The whole of a run.",
    answers = { [200] = { doc = "The run.", schema = RUN } } },
  { method = "GET", path = "/api/runs/{id}/journal", role = "read", handler = entries, doc = "The entries of a run's journal.",
    query = { after = { type = "integer", minimum = 0 }, limit = schemas.limit },
    answers = { [200] = { doc = "A page; `next` is what `after` goes on from.", schema = schemas.page "Entry" } } },
  { method = "GET", path = "/api/runs/{id}/data", role = "read", handler = data, doc = "StepData now, or right after a step.",
    query = { at = schemas.step }, answers = { [200] = { doc = "The data.", schema = schemas.ref "Moment" } } },
  { method = "GET", path = "/api/runs/{id}/stream", role = "read", handler = stream,
    doc = "What happens in a run, until it ends: first `now`, its run line, then what its streams have given out, then the events.",
    query = { after = schemas.cursor, rate = { type = "number", minimum = 0.01, maximum = 1000 } },
    answers = { [200] = { doc = "Server-sent events.", type = "text/event-stream" } } },
  action("cancel", "run", "Cancels a run; what it did is undone. Waits until it has ended.", reason,
    { [200] = { doc = "It has ended.", schema = LINE } }, cancel),
  action("pause", "run", "Stops a run where it stands, until it is resumed.", reason, { [200] = { doc = "It is paused.", schema = LINE } },
    pause),
  action("resume", "run", "Goes on with a run.", object {}, { [202] = { doc = "It goes on.", schema = LINE } }, resume),
  action("retry", "run", "A new run that does again what this one did not get done.",
    object { from = schemas.step, input = {}, set = set, latest = { type = "boolean" }, dry_run = { type = "boolean" } },
    { [202] = { doc = "The new run.", schema = LINE }, [200] = { doc = "What it would keep and do again.", schema = PLAN } },
    retry),
  action("fork", "run", "A new run that begins with what was done up to a step.",
    object({ at = schemas.step, set = set, dry_run = { type = "boolean" } }, { "at" }),
    { [202] = { doc = "The new run.", schema = LINE }, [200] = { doc = "What it would keep and do again.", schema = PLAN } },
    fork_at),
  action("migrate", "admin", "Binds a run that has not ended to another version of its definition, if its record answers what that asks.",
    object({ to = { type = "string", pattern = "^([0-9a-f]{1,64}|latest)$" }, dry_run = { type = "boolean" } }, { "to" }),
    { [200] = { doc = "It is bound to it; or, with `dry_run`, it could be.", schema = { type = "object" } },
      [409] = { doc = "It cannot; `divergence` is the first place where they part.", schema = schemas.ref "Problem" } }, migrate_run),
  action("signal", "run", "Sends a signal to a run.",
    object({ name = { type = "string", minLength = 1, maxLength = 128 }, value = {} }, { "name" }),
    { [202] = { doc = "It is on disk.", schema = { type = "object" } } }, signal),
}
