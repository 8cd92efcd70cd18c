--- weir approvals: what waits for a person's decision, the whole of one; and who else may decide it.

local approval = require "weir.approval"
local chosen = require "weir.approval.chosen"
local client = require "weir.serve.client"
local clock = require "weir.port.clock"
local failure = require "weir.failure"
local rules = require "weir.approval.rules"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local system = require "weir.port.system"
local text = require "weir.cli.text"

local M = {
  name = "approvals",
  summary = "Lists what waits for a person's decision, the oldest first; of a single one all that is asked.",
  examples = { "approvals", "approvals a_1c5ard", "approvals --run last --json", "approvals delegate a_1c5ard --to zoe --until 3d",
    "approvals link a_1c5ard --for ada --expires 2d" },
  notes = "`weir approve ID` and `weir reject ID` decide. With --json one line each, in order of their ids; `as_of` is the moment of\n"
    .. "the list, for `weir approve --all --as-of`. `delegate` has another person decide in one's place, `link` makes a URL with\n"
    .. "which one person may decide once; whoever has it is that person, so send it to them alone.",
}

local PAGE = 50
local TITLE_WIDTH, NAME_WIDTH = 60, 24

function M.declare(parser)
  parser:argument("what", "an id, or the beginning of one, also of one that is decided; or delegate or link, and the id")
    :argname "ID":args "?"
  parser:argument("approval", "of delegate and link: the id"):argname "ID":args "?"
  parser:option("--run", "only those of this run"):argname "RUN"
  parser:option("--pipeline", "only those of this pipeline"):argname "NAME"
  parser:option("--to", "delegate: who decides in the place of whoever says so"):argname "NAME"
  parser:option("--until", "delegate: so long, such as 3d, or until then, such as 2026-12-24T12:00:00Z"):argname "TIME"
  parser:option("--for", "link: who will have decided"):argname "NAME"
  parser:option("--expires", "link: for how long; 24h"):argname "D"
  parser:option("--url", "link: of the host, as that person reaches it; the one of the host that runs"):argname "URL"
  parser:option("--as", "delegate, link: who says so; the user of this system"):argname "WHO"
  session.declare_store(parser)
end

M.shape = require("weir.view.approval").shape

-- For people ---------------------------------------------------------------------------------------

local function cell(value, width)
  return text.shorten(text.first_line(value), width)
end

local function when(ms)
  return ms and os.date("%Y-%m-%d %H:%M", ms // 1000) or ""
end

-- How often it was reminded of and how far it went up, in few letters.
local function course(record)
  local of = record.ladder or {}
  local parts = {}
  if of.reminded then parts[#parts + 1] = ("reminded %d"):format(of.reminded) end
  if of.rung then parts[#parts + 1] = ("escalated %d"):format(of.rung) end
  return table.concat(parts, ", ")
end

local function row_of(record)
  local given = record.quorum > 1 and ("%d of %d"):format(rules.weight_given(record), record.quorum) or ""
  return { record.id, cell(record.pipeline, NAME_WIDTH), cell(record.step, NAME_WIDTH), record.run, when(record.asked_ms),
    when(record.due_ms), given, course(record), cell(record.title or "", TITLE_WIDTH) }
end

-- A column of which nobody has anything is left out.
local function say_table(context, rows)
  local has_course = false
  for _, row in ipairs(rows) do has_course = has_course or row[8] ~= "" end
  table.insert(rows, 1, { "ID", "PIPELINE", "STEP", "RUN", "ASKED", "DUE", "GIVEN", "SO FAR", "TITLE" })
  for _, row in ipairs(has_course and {} or rows) do table.remove(row, 8) end
  local lines = text.columns(rows)
  context.out:line(context.out:paint("dim", lines[1]))
  for index = 2, #lines do context.out:line(lines[index]) end
end

local function say_whole(context, record, arguments)
  for _, line in ipairs(approval.lines(record)) do context.out:line(line) end
  if record.decision then return end
  local tail = arguments.store and " --store " .. arguments.store or ""
  local answer = record.form ~= nil and " --answer JSON" or ""
  context.err:line(("weir approve %s%s%s %s weir reject %s%s"):format(record.id, answer, tail, context.console.signs.dot, record.id, tail))
end

local function by_age(a, b)
  if a.asked_ms ~= b.asked_ms then return a.asked_ms < b.asked_ms end
  return a.row[1] < b.row[1]
end

local function say_list(context, entries, only, arguments, as_of)
  if #entries == 0 then return context.err:line "nothing waits for a decision" end
  table.sort(entries, by_age)
  local rows = {}
  for index, entry in ipairs(entries) do rows[index] = entry.row end
  say_table(context, rows)
  if #entries == 1 then
    context.out:line()
    say_whole(context, only, arguments)
  else
    context.err:line(("weir approvals ID shows all that is asked %s weir approve --all --as-of %d decides these and none that comes later")
      :format(context.console.signs.dot, as_of))
  end
end

-- Listing and showing ------------------------------------------------------------------------------

-- Page by page, so that however many wait, of each only what is printed is held.
local function each_pending(store, query, visit)
  repeat
    local page, message, code = approval.pending(store, query)
    if not page then failure.raise(code or "failed", "%s", message) end
    for _, record in ipairs(page) do visit(record) end
    query.after = page[#page] and page[#page].id
  until #page < query.limit
end

local function list(store, arguments, context)
  local as_of = chosen.now(store)
  local query = { run = arguments.run and session.find_run(store, arguments.run), pipeline = arguments.pipeline, limit = PAGE,
    as_of = as_of }
  if arguments.json then
    return each_pending(store, query, function(record)
      local line = M.shape(record)
      line.as_of = as_of
      context.out:line(shape.line(line))
    end)
  end
  local entries, latest = {}, nil
  each_pending(store, query, function(record)
    latest = record
    entries[#entries + 1] = { asked_ms = record.asked_ms, row = row_of(record) }
  end)
  say_list(context, entries, latest, arguments, as_of)
end

local function find(store, given)
  local record, message, code = approval.get(store, given)
  if not record then failure.raise(code, "%s", message) end
  return record
end

local function show(store, arguments, context)
  local record = find(store, arguments.what)
  if arguments.json then return context.out:line(shape.line(M.shape(record))) end
  say_whole(context, record, arguments)
end

-- Delegating and links -----------------------------------------------------------------------------

local function needed(arguments, name)
  if arguments.approval and arguments[name] then return end
  failure.raise("invalid", "approvals %s takes an ID and --%s; `weir help approvals` has an example", arguments.what, name)
end

-- A time of its own, or so much from now.
local function until_ms(given)
  if not given then return nil end
  local seconds = require("weir.duration").parse(given)
  if seconds then return clock.wall_ms() + math.ceil(seconds * 1000) end
  local ms = require("weir.run.kinds.sleep").parse_time(given)
  if not ms then
    failure.raise("invalid", "--until: a duration such as 3d or a time such as 2026-12-24T12:00:00Z expected, got '%s'", given)
  end
  return ms
end

local function delegate(store, arguments, context, here)
  needed(arguments, "to")
  local by = arguments.as or system.user_name()
  local record, message, code = approval.delegate(store, find(store, arguments.approval).id,
    { by = by, to = arguments.to, until_ms = until_ms(arguments["until"]), via = "cli" }, { groups = here.settings.groups })
  if not record then failure.raise(code, "%s", message) end
  if arguments.json then return context.out:line(shape.line(M.shape(record))) end
  context.err:line(text.safe(("%s: %s may decide in the place of %s"):format(record.id, arguments.to, by)))
end

local function seconds_of(given)
  if not given then return nil end
  local seconds, message = require("weir.duration").parse(given)
  if not seconds then failure.raise("invalid", "--expires: %s", message) end
  return seconds
end

local function link(store, arguments, context, here)
  needed(arguments, "for")
  local host = client.host()
  local made = require("weir.approval.link").make(store, find(store, arguments.approval).id, { by = arguments["for"],
    expires = seconds_of(arguments.expires), made_by = arguments.as or system.user_name(), via = "cli" }, { groups = here.settings.groups })
  local base = arguments.url or host and host.url
  local url = (base and base:gsub("/+$", "") or "") .. "/decide/" .. made.token
  if arguments.json then
    return context.out:line(shape.line { url = url, ["for"] = made.by, expires_at = shape.time(made.expires_ms) })
  end
  context.out:line(url)
  context.err:line(text.safe(("for %s alone, once, until %s"):format(made.by, clock.rfc3339(made.expires_ms))))
  if not base then context.err:line "no host serves this store: --url says where it will" end
end

-- The command --------------------------------------------------------------------------------------

local ACTIONS = { delegate = delegate, link = link }

-- What has become due while no host lived happens when somebody looks.
local function catch_up(store, here)
  local tend = require "weir.approval.tend"
  local next_ms = tend.next_ms(store)
  if client.host() or not next_ms or next_ms > clock.wall_ms() then return end
  tend.all(require("weir.event.intake").new(store, session.engine(here, store)), clock.wall_ms())
end

function M.run(arguments, context)
  local here = session.project()
  local action = ACTIONS[arguments.what]
  if arguments.approval and not action then
    failure.raise("invalid", "approvals takes one ID, or delegate or link and an ID; got '%s'", tostring(arguments.what))
  end
  return session.with_store(session.open_present_store(here, arguments.store), function(store)
    catch_up(store, here)
    action = action or arguments.what and show or list
    action(store, arguments, context, here)
    return status.finished
  end)
end

return M
