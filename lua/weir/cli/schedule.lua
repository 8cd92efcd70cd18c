--- weir schedule: when runs start by themselves, what became of it, what will, and what a person does about it.

local civil = require "weir.schedule.civil"
local client = require "weir.serve.client"
local clock = require "weir.port.clock"
local duration = require "weir.duration"
local failure = require "weir.failure"
local names = require "weir.schedule.names"
local operations = require "weir.schedule.operations"
local preview_of = require "weir.schedule.preview"
local record = require "weir.schedule.record"
local rule_of = require "weir.schedule.rule"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local text = require "weir.cli.text"
local view = require "weir.view.schedules"

local M = {
  name = "schedule",
  summary = "Lists the schedules of the project's pipelines, says what they did and will do, pauses and resumes them.",
  examples = {
    "schedule list",
    "schedule preview digest --count 5",
    "schedule preview digest --from 2026-12-24 --to 2027-01-02 --duration 2h",
    "schedule history digest/nightly --limit 20",
    "schedule pause digest --why 'the disk is being changed'",
    "schedule resume digest",
    "schedule trigger digest",
    "schedule backfill digest --from 2026-11-01 --to 2026-11-07",
  },
  notes = "SCHEDULE is PIPELINE/NAME as the list shows it, PIPELINE where it has one, an id or the beginning of one.\n"
    .. "A host of the project starts what is due (`weir serve`, `weir dev`); without one what is asked for is kept until there is.\n"
    .. "Exit status: 0 done, 2 a time or a policy that does not fit, 6 no such schedule, 8 several fit.",
}

local COUNT, LIMIT = 10, 50

local function whole_number(value)
  local number = math.tointeger(tonumber(value))
  if number and number >= 1 and number <= 1000 then return number end
  return nil, ("a whole number from 1 to 1000 expected, got '%s'"):format(value)
end

function M.declare(parser)
  parser:argument("action", "what to do"):choices { "list", "preview", "history", "pause", "resume", "trigger", "backfill" }
  parser:argument("schedule", "a schedule, see below"):argname("SCHEDULE"):args "?"
  session.declare_store(parser)
  parser:option("--count", ("preview: how many times; %d"):format(COUNT)):argname("N"):convert(whole_number)
  parser:option("--limit", ("history: how many rows; %d"):format(LIMIT)):argname("N"):convert(whole_number)
  parser:option("--from", "preview, backfill: the first moment, such as 2026-11-01"):argname "TIME"
  parser:option("--to", "preview, backfill: the last moment"):argname "TIME"
  parser:option("--duration", "preview: how long a run takes; as recorded"):argname "D"
  parser:option("--overlap", "trigger, backfill: instead of the schedule's own"):argname("POLICY"):choices(rule_of.overlaps)
  parser:flag("--again", "backfill: also times that have started a run before")
  parser:option("--why", "pause: what for"):argname "T"
end

local TAKES = { list = "", preview = "count from to duration", history = "limit", pause = "why", resume = "", trigger = "overlap",
  backfill = "from to overlap again" }
local OPTIONS = { "count", "limit", "from", "to", "duration", "overlap", "again", "why" }

local function check(arguments)
  local action = arguments.action
  if (action == "list") ~= (arguments.schedule == nil) then
    failure.raise("invalid", "schedule %s takes %s; `weir help schedule` has examples", action, action == "list" and "no SCHEDULE" or
      "a SCHEDULE")
  end
  for _, name in ipairs(OPTIONS) do
    if arguments[name] ~= nil and not (" " .. TAKES[action] .. " "):find(" " .. name .. " ", 1, true) then
      failure.raise("invalid", "schedule %s takes no --%s; `weir help schedule` says what does", action, name)
    end
  end
end

-- For people ---------------------------------------------------------------------------------------------------

local function print_table(context, rows, align)
  local lines = text.columns(rows, align)
  context.out:line(context.out:paint("dim", lines[1]))
  for index = 2, #lines do context.out:line(lines[index]) end
end

-- A time in the zone of the schedule, as people read it.
local function when(given)
  if type(given) ~= "string" then return "" end
  return (given:gsub("T", " "):gsub("([+-]%d%d:%d%d)$", " %1"))
end

local function standing(line)
  if type(line.paused) == "table" then return "paused" end
  if type(line.over) == "string" then return "over: " .. line.over end
  if #line.active > 0 then return ("%d going"):format(#line.active) end
  return ""
end

local function totals_of(line)
  local parts = {}
  for _, name in ipairs(require("weir.value").names(line.totals)) do parts[#parts + 1] = ("%s %d"):format(name, line.totals[name]) end
  return table.concat(parts, ", ")
end

-- Actions ------------------------------------------------------------------------------------------------------

local actions = {}

local function state_of(store, one)
  return store and view.state(store, one) or nil
end

local function say_broken(context, broken)
  for _, one in ipairs(broken) do context.err:line(context.err:paint("yellow", ("pipeline %s: %s"):format(one.pipeline, one.message))) end
end

function actions.list(context, found, store, _, broken)
  local rows = { { "SCHEDULE", "WHEN", "ZONE", "NEXT", "OVERLAP", "MISSED", "STANDS", "SO FAR" } }
  for _, one in ipairs(names.sorted(found)) do
    local line = view.shape(one, state_of(store, one))
    if context.json then context.out:line(shape.line(line)) end
    rows[#rows + 1] = { line.name, text.safe(line.says), line.tz, when(line.next_local), line.overlap, line.missed, standing(line),
      totals_of(line) }
  end
  if not context.json and #rows > 1 then print_table(context, rows) end
  if #rows == 1 then context.err:line "no pipeline of this project has a schedule; `on:` of a pipeline says when it starts by itself" end
  say_broken(context, broken)
end

local function moment(given, name, rule)
  if not given then return nil end
  local ms = rule_of.moment(given, rule.zone)
  if ms then return ms end
  failure.raise("invalid", "--%s: a time such as 2026-11-01 or 2026-11-01T08:00:00Z expected, got '%s'", name, given)
end

local function took(given)
  if not given then return nil end
  local seconds, message = duration.parse(given)
  if not seconds then failure.raise("invalid", "--duration: %s", message) end
  return math.floor(seconds * 1000)
end

local function clock_text(given, item, rule)
  if type(given) ~= "string" then return "" end
  if given == item.nominal then return when(item["local"]) end
  local seconds = civil.read(given)
  return when(seconds and rule:local_text(seconds * 1000) or given) -- years of more than four digits are nobody's
end

function actions.preview(context, one, store, arguments)
  local rule = one.rule
  local answer = view.preview(one, state_of(store, one), { from_ms = moment(arguments.from, "from", rule) or clock.wall_ms(),
    to_ms = moment(arguments.to, "to", rule), count = arguments.count or arguments.to and preview_of.COUNT_MAX or COUNT,
    duration_ms = took(arguments.duration), what_if = arguments.from ~= nil })
  if context.json then
    for _, item in ipairs(answer.items) do context.out:line(shape.line(item)) end
    return
  end
  if #answer.items == 0 then return context.err:line(("%s has no more times"):format(rule.name)) end
  local rows = { { "TIME", "DOES", "STARTS", "ENDS", "" } }
  for _, item in ipairs(answer.items) do
    rows[#rows + 1] = { when(item["local"]), item.outcome, clock_text(item.starts_at, item, rule), clock_text(item.ends_at, item, rule),
      item.ends_early and "the next one ends it" or type(item.why) == "string" and item.why or "" }
  end
  print_table(context, rows)
  local seconds = answer.seconds
  context.err:line(type(seconds) == "number" and ("if a run takes %s%s"):format(duration.format(seconds),
    arguments.duration and "" or (", the middle of %d that are recorded"):format(answer.samples))
    or "no duration is recorded yet; --duration D says how long a run takes")
  if type(answer.paused) == "table" then context.err:line(("it is paused; `weir schedule resume %s`"):format(rule.name)) end
end

function actions.history(context, one, store, arguments)
  local rows = store and record.history(store, one.rule.id, { limit = arguments.limit or LIMIT }) or {}
  if context.json then
    for _, row in ipairs(rows) do context.out:line(shape.line(view.row(one.rule, row))) end
    return
  end
  if #rows == 0 then return context.err:line(("nothing has been decided of %s yet"):format(one.rule.name)) end
  local lines = { { "TIME", "KIND", "OUTCOME", "RUN", "STATUS", "" } }
  for _, row in ipairs(rows) do
    local many = row.interval and ("%d times: "):format(row.interval.count) or ""
    lines[#lines + 1] = { when(one.rule:local_text(row.nominal_ms)), row.kind, row.outcome, row.run or "", row.status or "",
      text.safe(many .. (row.why or "")) }
  end
  print_table(context, lines)
end

local function nudge(context, one)
  local host = client.host()
  if host and host.schedules then return host.schedules:nudge(one.rule.id) end
  context.err:line "no host serves this project: what is to start waits until `weir serve` does"
end

local function say(context, one, store, answer, line)
  if not context.json then return context.out:line(("%s  %s"):format(one.rule.name, line)) end
  answer.schedule = view.shape(one, state_of(store, one))
  context.out:line(shape.line(answer))
end

local function who() return { via = "cli", by = require("weir.port.system").user_name() } end

function actions.pause(context, one, store, arguments)
  local _, changed = operations.pause(store, one.rule, who(), arguments.why)
  say(context, one, store, { changed = changed }, changed and "paused" or "is paused already")
end

function actions.resume(context, one, store)
  local _, passed = operations.resume(store, one.rule, who())
  say(context, one, store, { changed = passed ~= nil, passed = passed or 0 },
    passed and ("goes on; %d of its times have passed meanwhile"):format(passed) or "is not paused")
  if client.host() then nudge(context, one) end
end

local SAYS = { start = "starts a run", buffer = "starts a run when the one before has ended", skip = "starts none: an earlier run goes on",
  drop = "starts none: too many wait for their turn", cancel = "cancels the run before and starts one",
  terminate = "ends the run before and starts one" }

function actions.trigger(context, one, store, arguments)
  local _, action = operations.trigger(store, one.rule, who(), arguments.overlap)
  say(context, one, store, { action = action }, SAYS[action] or action)
  nudge(context, one)
end

function actions.backfill(context, one, store, arguments)
  if not arguments.from or not arguments.to then failure.raise("invalid", "schedule backfill needs --from TIME and --to TIME") end
  local _, times = operations.backfill(store, one.rule, who(), arguments)
  local listed = require("weir.native.json").list {}
  for index, ms in ipairs(times) do listed[index] = clock.rfc3339(ms) end
  say(context, one, store, { times = listed }, ("%d times of then are to start"):format(#times))
  if #times > 0 then nudge(context, one) end
end

-- The command --------------------------------------------------------------------------------------------------

local LOOKS = { list = true, preview = true, history = true }

-- Who only looks needs no store: what was never served has none.
local function open(here, arguments)
  if not LOOKS[arguments.action] then return session.open_store(here, arguments.store) end
  local ok, store = pcall(session.open_present_store, here, arguments.store)
  if ok then return store end
  if failure.of(store).code ~= "not_found" then error(store, 0) end
end

local function act(store, here, arguments, context)
  local found, broken = names.of(here)
  if arguments.action == "list" then return actions.list(context, found, store, arguments, broken) end
  return actions[arguments.action](context, names.find(found, arguments.schedule), store, arguments)
end

function M.run(arguments, context)
  check(arguments)
  local here = session.project()
  local store = open(here, arguments)
  if not store then
    act(nil, here, arguments, context)
    return status.finished
  end
  return session.with_store(store, function()
    act(store, here, arguments, context)
    return status.finished
  end)
end

return M
