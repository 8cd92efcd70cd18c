--- weir incidents: what went wrong, what supervisors did about it, and what people do about the rest.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local forking = require "weir.cli.forking"
local incident_of = require "weir.healing.incident"
local json = require "weir.native.json"
local operations = require "weir.healing.operations"
local sayable = require "weir.view.sayable"
local selection = require "weir.view.selection"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local supervision = require "weir.healing.supervision"
local text = require "weir.cli.text"
local view = require "weir.view.incident"

local M = {
  name = "incidents",
  summary = "Lists what went wrong and what was done about it; closes incidents, takes remedies back, tries again what was set aside.",
  examples = {
    "incidents",
    "incidents list --open",
    "incidents show last",
    "incidents replay i_0mjuohs",
    "incidents close 9ef0bde83c5f --note 'fixed in the parser' --replay --latest",
    "incidents revert i_0mjuohs",
    "incidents rehearse thresholds --options @rules.json --since 7d",
  },
  notes = "ID is an id, the beginning of one, `last`, or the fingerprint or family of a whole class of incidents (close, replay).\n"
    .. "replay begins a new run that keeps what the old one had finished before the step; --latest takes the definition and modules\n"
    .. "as they are now. rehearse says what a supervisor would have done about recorded incidents, and does nothing.\n"
    .. "Exit status: 0 done, 2 a supervisor or options that do not fit, 6 no such incident, 8 there is nothing to take back or to try.",
}

local LIMIT, WIDTH = 50, 60

local function whole_number(value)
  local number = math.tointeger(tonumber(value))
  if number and number >= 1 and number <= 100000 then return number end
  return nil, ("a whole number from 1 to 100000 expected, got '%s'"):format(value)
end

function M.declare(parser)
  parser:argument("action", "what to do; list"):choices({ "list", "show", "close", "replay", "revert", "rehearse" }):args "?"
  parser:argument("id", "an incident or a class, see below; rehearse: the name of a supervisor"):argname("ID"):args "?"
  session.declare_store(parser)
  parser:flag("--open", "list: those that somebody has to look at")
  parser:option("--run", "list: of this run"):argname "RUN"
  parser:option("--since", "list, rehearse: how far back, or from which day on; 7d"):argname "D"
  parser:option("--limit", ("list: how many; %d"):format(LIMIT)):argname("N"):convert(whole_number)
  parser:option("--note", "close: what is known about it"):argname "T"
  parser:flag("--replay", "close: and try again what was set aside or failed")
  parser:flag("--latest", "replay: with the definition and modules as they are now")
  parser:option("--options", "rehearse: options of the supervisor, JSON or @FILE"):argname "JSON"
  parser:flag("-q --quiet", "say nothing on the way")
end

-- Finding ----------------------------------------------------------------------------------------------------

local function since_ms(arguments, default) return selection.since(arguments.since or default, "--since") end

local function missing(given)
  failure.raise("not_found", "there is no incident '%s'; `weir incidents` lists them", given)
end

local function by_beginning(store, given)
  local page = store:scan(incident_of.SPACE, { prefix = given, limit = 2 }) or {}
  if #page > 1 then failure.raise("invalid", "'%s' is the beginning of several incidents; give more of it", given) end
  return page[1] and incident_of.get(store, page[1].key) or missing(given)
end

local function newest(store)
  return incident_of.newest(store, { limit = 1 })[1] or failure.raise("not_found", "there are no incidents yet")
end

local function find(store, given)
  if not given then failure.raise("invalid", "give an incident; `weir incidents` lists them") end
  if given == "last" then return newest(store) end
  if given:find "^i_" then return by_beginning(store, given) end
  return missing(given)
end

local function find_all(store, given)
  if given and given:find "^%x+$" and #given == 12 then return incident_of.of_class(store, given) end
  return { find(store, given) }
end

-- Showing ----------------------------------------------------------------------------------------------------

local function what_was_done(one)
  if one.state == "passed" then return "" end
  local name = one.remedy and one.remedy.name or ""
  if one.remedy and one.remedy.reverted_at then return name .. ", taken back" end
  return one.outcome and ("%s, %s"):format(name, one.outcome) or name
end

local function where(one) return one.step and ("%s/%s"):format(one.pipeline or "?", one.step) or one.pipeline or one.agent or "" end

local actions = {}

function actions.list(context, store, arguments)
  local run_id = arguments.run and session.find_run(store, arguments.run)
  local list = incident_of.newest(store, { run = run_id, is_open = arguments.open, limit = arguments.limit or LIMIT,
    since_ms = since_ms(arguments, not run_id and not arguments.open and "7d" or nil) })
  local rows = { { "INCIDENT", "WHEN", "WHERE", "CODE", "STATE", "REMEDY", "WHAT" } }
  for _, one in ipairs(list) do
    if arguments.json then context.out:line(shape.line(view.shape(one))) end
    rows[#rows + 1] = { one.id, os.date("%Y-%m-%d %H:%M:%S", one.at_ms // 1000), text.safe(where(one)), one.code, one.state,
      what_was_done(one), text.shorten(text.first_line(one.message), WIDTH) }
  end
  if arguments.json then return end
  if #list == 0 then return context.err:line "no incidents" end
  local lines = text.columns(rows)
  context.out:line(context.out:paint("dim", lines[1]))
  for index = 2, #lines do context.out:line(lines[index]) end
end

local function fact(out, name, value)
  if value == nil or value == "" then return end
  out:line(("  %s %s"):format(out:paint("dim", ("%-12s"):format(name)), text.shorten(text.safe(tostring(value)), 400)))
end

local function remedy_line(one)
  if not one.remedy then return nil end
  local args = next(one.remedy.args or {}) ~= nil and " " .. (sayable.encode(one.remedy.args) or "") or ""
  return ("%s%s%s"):format(one.remedy.name, args, one.by and " by " .. one.by or "")
end

-- What is known afterwards: what happened, how often, what was done, what came of it.
function actions.show(context, store, arguments)
  local one = find(store, arguments.id)
  local whole = view.whole(store, one)
  if arguments.json then return context.out:line(shape.line(whole)) end
  local out = context.out
  out:line(("%s  %s  %s"):format(out:paint("bold", one.id), one.kind, one.state))
  fact(out, "when", clock.rfc3339(one.at_ms))
  fact(out, "where", where(one))
  fact(out, "run", one.run)
  fact(out, "agent", one.agent and ("%s %s"):format(one.agent, (one.agent_version or ""):sub(1, 12)))
  fact(out, "error", ("%s (%s)"):format(text.first_line(one.message), one.code))
  fact(out, "fingerprint", ("%s, family %s, %s in the last 7 days"):format(one.fingerprint, one.family,
    text.count(whole.seen, "incident")))
  fact(out, "remedy", remedy_line(one))
  fact(out, "why", one.reason)
  fact(out, "outcome", one.outcome)
  fact(out, "caused by", one.caused_by)
  fact(out, "closed", one.closed_ms and ("%s by %s"):format(clock.rfc3339(one.closed_ms), one.closed_by))
  fact(out, "note", one.note)
  fact(out, "tried again", one.replayed_as)
  if whole.set_aside ~= json.null then fact(out, "set aside", sayable.encode(whole.set_aside.input) or "") end
end

-- Doing ------------------------------------------------------------------------------------------------------

local function about(arguments) return { via = "cli", note = arguments.note } end

local function tell(context, arguments, one, what)
  if arguments.json then return context.out:line(shape.line(view.shape(one))) end
  context.out:line(("%s  %s  %s"):format(one.id, where(one), what))
end

local function replay(context, store, arguments, list)
  local engine, highest, done = session.engine(session.project(), store), status.finished, {}
  for _, one in ipairs(list) do
    local is_done = one.replayed_as or not one.run or done[one.run] -- of one run one attempt is enough
    if not is_done then
      done[one.run] = true
      local run_id = operations.replay(engine, one.id, about(arguments), arguments.latest)
      context.err:line(("%s is tried again as %s"):format(one.id, run_id))
      highest = math.max(highest, forking.go_on(context, arguments, engine, run_id))
    end
  end
  if next(done) == nil then failure.raise("conflict", "there is nothing to try again") end
  return highest
end

function actions.replay(context, store, arguments)
  return replay(context, store, arguments, find_all(store, arguments.id))
end

function actions.close(context, store, arguments)
  local engine, list = session.engine(session.project(), store), find_all(store, arguments.id)
  local found = arguments.replay and replay(context, store, arguments, list) or status.finished
  for _, one in ipairs(operations.close_all(engine, list, about(arguments))) do tell(context, arguments, one, "closed") end
  return found
end

function actions.revert(context, store, arguments)
  local engine = session.engine(session.project(), store)
  tell(context, arguments, operations.revert(engine, find(store, arguments.id).id, about(arguments)), "taken back")
end

function actions.rehearse(context, store, arguments)
  local engine = session.engine(session.project(), store)
  local options = arguments.options and require("weir.cli.input").read(arguments.options, "--options") or nil
  local supervisor = supervision.named(engine, arguments.id or "", options)
  local list = require("weir.healing.rehearse").run(incident_of.since(store, since_ms(arguments, "7d")), { supervisor })
  local rows, others = { { "INCIDENT", "WHERE", "CODE", "WAS", "WOULD", "WHY" } }, 0
  for _, one in ipairs(list) do
    if arguments.json then context.out:line(shape.line(view.rehearsed(one))) end
    local would = one.decision.remedy and one.decision.remedy.name or one.decision.state
    others = others + (one.is_other and 1 or 0)
    rows[#rows + 1] = { one.incident.id, text.safe(where(one.incident)), one.incident.code,
      one.incident.remedy and one.incident.remedy.name or one.incident.state, would, text.first_line(one.decision.reason or "") }
  end
  if arguments.json then return end
  if #list == 0 then return context.err:line "no incidents in that time" end
  local lines = text.columns(rows)
  context.out:line(context.out:paint("dim", lines[1]))
  for index = 2, #lines do context.out:line(lines[index]) end
  context.err:line(("%s, %d would have been otherwise; nothing was done"):format(text.count(#list, "incident"), others))
end

function M.run(arguments, context)
  local here = session.project()
  arguments.action = arguments.action or "list"
  return session.with_store(session.open_present_store(here, arguments.store), function(store)
    return actions[arguments.action](context, store, arguments) or status.finished
  end)
end

return M
