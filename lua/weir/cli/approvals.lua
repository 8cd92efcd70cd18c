--- weir approvals: what waits for a person's decision, and the whole of one.

local approval = require "weir.approval"
local failure = require "weir.failure"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local text = require "weir.cli.text"

local M = {
  name = "approvals",
  summary = "Lists what waits for a person's decision, the oldest first; of a single one all that is asked.",
  examples = { "approvals", "approvals a_1c5ard", "approvals --run last --json" },
  notes = "`weir approve ID` and `weir reject ID` decide. With --json one line each, in order of their ids.",
}

local PAGE = 50
local TITLE_WIDTH, NAME_WIDTH = 60, 24

function M.declare(parser)
  parser:argument("approval", "an id, or the beginning of one; also one that is decided"):argname "ID":args "?"
  parser:option("--run", "only those of this run"):argname "RUN"
  parser:option("--pipeline", "only those of this pipeline"):argname "NAME"
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

local function row_of(record)
  local given = record.quorum > 1 and ("%d of %d"):format(#record.given, record.quorum) or ""
  return { record.id, cell(record.pipeline, NAME_WIDTH), cell(record.step, NAME_WIDTH), record.run, when(record.asked_ms),
    when(record.due_ms), given, cell(record.title or "", TITLE_WIDTH) }
end

local function say_table(context, rows)
  table.insert(rows, 1, { "ID", "PIPELINE", "STEP", "RUN", "ASKED", "DUE", "GIVEN", "TITLE" })
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

local function say_list(context, entries, only, arguments)
  if #entries == 0 then return context.err:line "nothing waits for a decision" end
  table.sort(entries, by_age)
  local rows = {}
  for index, entry in ipairs(entries) do rows[index] = entry.row end
  say_table(context, rows)
  if #entries == 1 then
    context.out:line()
    say_whole(context, only, arguments)
  else
    context.err:line "weir approvals ID shows all that is asked"
  end
end

-- The command --------------------------------------------------------------------------------------

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
  local query = { run = arguments.run and session.find_run(store, arguments.run), pipeline = arguments.pipeline, limit = PAGE }
  if arguments.json then
    return each_pending(store, query, function(record) context.out:line(shape.line(M.shape(record))) end)
  end
  local entries, latest = {}, nil
  each_pending(store, query, function(record)
    latest = record
    entries[#entries + 1] = { asked_ms = record.asked_ms, row = row_of(record) }
  end)
  say_list(context, entries, latest, arguments)
end

local function show(store, arguments, context)
  local record, message, code = approval.get(store, arguments.approval)
  if not record then failure.raise(code, "%s", message) end
  if arguments.json then return context.out:line(shape.line(M.shape(record))) end
  say_whole(context, record, arguments)
end

function M.run(arguments, context)
  local here = session.project()
  return session.with_store(session.open_present_store(here, arguments.store), function(store)
    local answer = arguments.approval and show or list
    answer(store, arguments, context)
    return status.finished
  end)
end

return M
