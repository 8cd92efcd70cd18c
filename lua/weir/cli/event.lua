--- weir event: sends events, looks at the log and at dead letters, gives both once more, steers sources, and tries another
--- definition on what came.

local again = require "weir.event.again"
local client = require "weir.serve.client"
local clock = require "weir.port.clock"
local duration = require "weir.duration"
local failure = require "weir.failure"
local hash = require "weir.native.hash"
local ids = require "weir.id"
local input = require "weir.cli.input"
local intake_of = require "weir.event.intake"
local json = require "weir.native.json"
local letters = require "weir.trigger.letters"
local log = require "weir.event.log"
local native = require "weir.native.scheduler"
local sayable = require "weir.view.sayable"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local text = require "weir.cli.text"
local view = require "weir.view.event"
local visible = require "weir.text.visible"

local M = {
  name = "event",
  summary = "Sends events, looks at those that came, gives them once more, and steers where they come from.",
  examples = {
    "event send order.paid '{\"id\": 7}'",
    "event log --type 'order.*' --limit 5",
    "event capture --type order.paid --timeout 1m",
    "event replay e_0mwt2j5k1",
    "event dead",
    "event sources",
    "event pause inbox/files",
    "event rehearse inbox --since 1d --file new/inbox.lua",
  },
  notes = "WHAT is, for send, the type of the event, and VALUE its data (JSON, @FILE or - for stdin); for replay an offset of\n"
    .. "the log or the id of a dead letter; for discard the latter; for pause and resume a source; for dead and rehearse a\n"
    .. "pipeline. A rehearsal compares what events did with what they would do under --file; nothing is executed.\n"
    .. "Exit status: 0 done, 1 a rehearsal found changes, 6 there is no such thing, 7 it needs a host, 8 a queue is full.",
}

local LIMIT = 20

local ACTIONS = { "send", "log", "capture", "replay", "dead", "discard", "sources", "pause", "resume", "rehearse" }

local function whole_number(value)
  local number = math.tointeger(tonumber(value))
  if number and number >= 1 then return number end
  return nil, ("a whole number from 1 expected, got '%s'"):format(value)
end

function M.declare(parser)
  parser:argument("action", "what to do"):choices(ACTIONS)
  parser:argument("what", "see below"):argname("WHAT"):args "?"
  parser:argument("value", "the data of an event"):argname("VALUE"):args "?"
  parser:option("--type", "log, capture: only of this type; 'order.*' is what begins so"):argname "TYPE"
  parser:option("--source", "send: its source; log: only of this one"):argname "SOURCE"
  parser:option("--subject", "send: its subject"):argname "TEXT"
  parser:option("--id", "send: its id; an event of the same source and id is taken once"):argname "ID"
  parser:option("--after", "log: those behind this offset, the oldest first"):argname "OFFSET"
  parser:option("--since", "log, rehearse: those of this time, such as 1d"):argname "D"
  parser:option("--limit", ("log: how many at most; %d"):format(LIMIT)):argname("N"):convert(whole_number)
  parser:option("--timeout", "capture: how long to wait; 10m"):argname("D"):default "10m"
  parser:option("--file", "rehearse: the other definition; default: the file as it is now"):argname "FILE"
  parser:flag("-q --quiet", "say nothing on the way")
  session.declare_store(parser)
end

local NEEDS_WHAT = { send = "the TYPE of the event", replay = "an OFFSET, or the id of a dead letter", discard = "the id of a dead letter",
  pause = "a source", resume = "a source", rehearse = "a pipeline" }

local function check(arguments)
  local needed = NEEDS_WHAT[arguments.action]
  if needed and not arguments.what then
    failure.raise("invalid", "event %s needs %s; `weir help event` has examples", arguments.action, needed)
  end
  if arguments.value and arguments.action ~= "send" then
    failure.raise("invalid", "event %s takes one argument, got '%s' too", arguments.action, arguments.value)
  end
end

local function needs_host(what)
  local host = client.host()
  if host and host.triggers then return host.triggers, host end
  local err = failure.new("unavailable", "no host serves this project, so %s; `weir serve` starts one", what)
  err.status = status.no_host
  error(err, 0)
end

local function intake(here, store)
  local host = client.host()
  return host and host.events or intake_of.new(store, session.engine(here, store))
end

-- Sending ----------------------------------------------------------------------------------------------

local function event_of(arguments)
  local event = { specversion = "1.0", id = arguments.id or ids.new "e", source = arguments.source or "/cli", type = arguments.what,
    subject = arguments.subject, time = clock.rfc3339(clock.wall_ms()), data = input.read(arguments.value, "JSON") }
  if event.data ~= nil then event.datacontenttype = "application/json" end
  intake_of.check(event)
  return event
end

-- Runs that wait for it go on here, where no host has them.
local function go_on(context, arguments, here, store)
  if client.host() then return status.finished end
  local due = require("weir.run.waking").due(session.engine(here, store))
  local worst = status.finished
  for _, run_id in ipairs(due) do
    worst = math.max(worst, require("weir.cli.resume").go_on(context, arguments, session.engine(here, store), run_id))
  end
  return worst
end

local ACT = {}

function ACT.send(arguments, context, here, store)
  local event = event_of(arguments)
  local results = intake(here, store):take({ { event = event, from = "cli",
    dedupe = arguments.id and hash.sha256(("%d:%s%s"):format(#event.source, event.source, event.id)) or nil } })
  local one = results[1]
  if arguments.json and not (require("weir.run.waking").due(session.engine(here, store))[1] and not client.host()) then
    context.out:line(shape.line { offset = one.offset, id = event.id, duplicate = not one.is_new })
  elseif not arguments.json and not arguments.quiet then
    context.out:line(one.offset .. (one.is_new and "" or context.out:paint("dim", "  it had come before")))
  end
  return go_on(context, arguments, here, store)
end

-- Looking ------------------------------------------------------------------------------------------------

local function after_of(arguments)
  if arguments.after then return arguments.after end
  if not arguments.since then return nil end
  local seconds, message = duration.parse(arguments.since)
  if not seconds then failure.raise("invalid", "--since: %s", message) end
  return log.at(clock.wall_ms() - math.floor(seconds * 1000))
end

local function columns(context, head, rows)
  if #rows == 0 then return end
  table.insert(rows, 1, head)
  local lines = text.columns(rows)
  context.out:line(context.out:paint("dim", lines[1]))
  for index = 2, #lines do context.out:line(lines[index]) end
end

local function data_of(event)
  if event.data == nil then return event.data_base64 and "(bytes)" or "" end
  local line = sayable.encode(event.data) or "(nested too deep)"
  return text.safe(#line > 60 and visible.head(line, 57) .. "..." or line)
end

local function print_all(arguments, context, list, to_shape, head, to_row)
  if arguments.json then
    for _, one in ipairs(list) do context.out:line(shape.line(to_shape(one))) end
    return
  end
  local rows = {}
  for index, one in ipairs(list) do rows[index] = to_row(one) end
  columns(context, head, rows)
end

local function entry_row(entry)
  local event = entry.event
  return { entry.offset, clock.rfc3339(entry.at_ms), text.safe(event.type), text.safe(event.source), data_of(event) }
end

function ACT.log(arguments, context, _, store)
  local after = after_of(arguments)
  local list = log.page(store, { after = after, reverse = after == nil, type = arguments.type, source = arguments.source,
    limit = arguments.limit or LIMIT })
  print_all(arguments, context, list, view.entry, { "OFFSET", "AT", "TYPE", "SOURCE", "DATA" }, entry_row)
  return status.finished
end

function ACT.dead(arguments, context, here, store)
  local list = letters.list(here, store, arguments.what)
  print_all(arguments, context, list, view.letter, { "ID", "PIPELINE", "TYPE", "WHY" }, function(letter)
    local event, err = letter.event, letter.error
    return { letter.id, letter.pipeline, text.safe(event and event.type or ""), text.safe(err and err.message or "") }
  end)
  return status.finished
end

function ACT.capture(arguments, context)
  local _, host = needs_host "no event comes in"
  local seconds, message = duration.parse(arguments.timeout)
  if not seconds then failure.raise("invalid", "--timeout: %s", message) end
  local waiter = native.waiter()
  local take_back = host.events:listen(function(entry)
    if not arguments.type or log.is_of_type(arguments.type, entry.event.type) then waiter:wake(entry) end
  end)
  local watch = require("weir.cli.interrupt").watch(context.err, function() waiter:wake(false) end)
  if not arguments.quiet and not arguments.json then context.err:line "waiting for the next event" end
  local ok, entry, _, code = pcall(waiter.wait, waiter, "the next event", seconds)
  watch:close()
  take_back()
  if not ok then error(entry, 0) end
  if code == "timeout" then failure.raise("timeout", "no event came within %s", duration.format(seconds)) end
  if not entry then return status.interrupted end
  context.out:line(arguments.json and shape.line(view.entry(entry)) or assert(json.encode(entry.event, { indent = 2 })))
  return status.finished
end

-- Once more -----------------------------------------------------------------------------------------------

function ACT.replay(arguments, context, here, store)
  local host = client.host()
  local id = arguments.what
  if id:find "^q_" then
    local letter = letters.replay(here, store, id)
    if arguments.json then context.out:line(shape.line(view.letter(letter)))
    elseif not arguments.quiet then context.out:line(("%s waits for its turn in the queue of '%s'"):format(id, letter.pipeline)) end
    return status.finished
  end
  local offset = again.emit(intake(here, store), host and host.triggers, id)
  context.out:line(arguments.json and shape.line { offset = offset } or offset)
  return status.finished
end

function ACT.discard(arguments, context, here, store)
  local letter = letters.discard(here, store, arguments.what)
  if arguments.json then context.out:line(shape.line(view.letter(letter))) end
  return status.finished
end

-- Sources ---------------------------------------------------------------------------------------------------

local function source_row(source)
  local counts = source.counts
  return { source.id, source.watcher, source.status, tostring((counts.queued or 0) + (counts.joined or 0)), tostring(source.depth),
    tostring(source.dead), text.safe(source.trouble or "") }
end

local SOURCE_HEAD = { "SOURCE", "WATCHER", "STATUS", "TAKEN", "WAIT", "DEAD", "" }

function ACT.sources(arguments, context)
  print_all(arguments, context, needs_host("it has no sources at work"):list(), view.source, SOURCE_HEAD, source_row)
  return status.finished
end

local function steer(arguments, context, triggers, source)
  local described = triggers:describe(source)
  if arguments.json then context.out:line(shape.line(view.source(described)))
  elseif not arguments.quiet then context.out:line(("%s is %s"):format(described.id, described.status)) end
  return status.finished
end

function ACT.pause(arguments, context)
  local triggers = needs_host "it has no sources at work"
  return steer(arguments, context, triggers, triggers:pause(arguments.what))
end

function ACT.resume(arguments, context)
  local triggers = needs_host "it has no sources at work"
  return steer(arguments, context, triggers, triggers:resume(arguments.what))
end

-- Rehearsals -------------------------------------------------------------------------------------------------

local SAYS = { starts = "starts a run", stays_away = "starts none any more", input = "starts with another input",
  refused = "is refused", diverges = "goes another way", output = "ends otherwise" }

local function say_change(context, one)
  local out = context.out
  out:line(("%s %s %s %s"):format(one.offset, text.safe(one.event.type), out:paint("dim", one.trigger), SAYS[one.change]))
  if one.message then out:line("    " .. text.safe(one.message)) end
  if one.change == "input" or one.change == "output" then
    out:line(out:paint("red", "  - " .. text.safe(sayable.encode(one.was == nil and json.null or one.was) or "?")))
    out:line(out:paint("green", "  + " .. text.safe(sayable.encode(one.would == nil and json.null or one.would) or "?")))
  end
end

local function other_definition(arguments, here)
  local file, message = here:pipeline_file(arguments.what)
  if arguments.file then file = client.path(arguments.file) end
  if not file then failure.raise("not_found", "%s", message) end
  local definition, errors = here:load(file)
  if not definition then failure.raise("invalid", "%s", require("weir.definition.check").format(errors[1])) end
  return definition
end

-- What served when the last event came, if the host does not serve it now.
local function serving(arguments, here)
  local definition, err = here:pipeline(arguments.what)
  if not definition then error(err, 0) end
  return definition
end

function ACT.rehearse(arguments, context, here, store)
  local old, new = serving(arguments, here), other_definition(arguments, here)
  if new.name ~= old.name then failure.raise("invalid", "the other definition is of the pipeline '%s', not '%s'", new.name, old.name) end
  local list, is_all = require("weir.trigger.rehearse").compare(session.engine(here, store), old, new,
    { after = after_of(arguments), limit = arguments.limit })
  local changes = 0
  for _, one in ipairs(list) do
    if one.change ~= "same" then changes = changes + 1 end
    if arguments.json then context.out:line(shape.line(view.rehearsed(one)))
    elseif one.change ~= "same" then say_change(context, one) end
  end
  if not arguments.json and not arguments.quiet then
    local rest = is_all and "" or "; there are more events"
    context.err:line(("%s of %s%s"):format(text.count(changes, "change"), text.count(#list, "start"), rest))
  end
  return changes > 0 and status.failed or status.finished
end

function M.run(arguments, context)
  check(arguments)
  local here = session.project()
  local open = arguments.action == "send" and session.open_store or session.open_present_store
  return session.with_store(open(here, arguments.store), function(store)
    return ACT[arguments.action](arguments, context, here, store)
  end)
end

return M
