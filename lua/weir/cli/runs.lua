--- weir runs: the runs of the store, the newest first.

local progress = require "weir.cli.progress"
local selection = require "weir.view.selection"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local text = require "weir.cli.text"
local waiting = require "weir.cli.waiting"

local M = {
  name = "runs",
  summary = "Lists runs, the newest first.",
  examples = { "runs", "runs --status failed --since 2d", "runs --pipeline digest --limit 5 --json" },
  notes = "The last column says why a run failed or was set aside, or what it waits for. A run that is `running` while no host\n"
    .. "is: it was interrupted; `weir resume` goes on with it. One that is quarantined has ended the process again and again.",
}

local STATUSES = { "queued", "running", "waiting", "in_doubt", "finished", "failed", "cancelled", "quarantined" }
local LIMIT, NOTE_WIDTH = 20, 72

local function positive(value)
  local number = math.tointeger(tonumber(value))
  if number and number > 0 then return number end
  return nil, ("--limit: a number from 1 expected, got '%s'"):format(value)
end

function M.declare(parser)
  parser:option("--status", "only runs with this status: " .. table.concat(STATUSES, " ")):argname("S"):choices(STATUSES)
  parser:option("--pipeline", "only runs of this pipeline"):argname "NAME"
  parser:option("--since", "only runs started since then: a duration such as 2h, or a day such as 2026-11-23"):argname "D"
  parser:option("--limit", ("how many at most; %d"):format(LIMIT)):argname("N"):convert(positive):default(tostring(LIMIT))
  session.declare_store(parser)
end

-- Why a run has failed or was set aside, or what it waits for.
local function note_of(entry)
  local row = entry.row
  local waits = type(row.waiting) == "table" and row.waiting or {}
  local is_open = row.status == "waiting" or row.status == "in_doubt"
  if is_open and waits[1] then
    local line = waiting.line(waits[1], entry.id):gsub("^ waits for", "waits for")
    return line .. (#waits > 1 and (" and %d more"):format(#waits - 1) or "")
  end
  return type(row.error) == "table" and tostring(row.error.message) or ""
end

local function row_cells(context, entry)
  local out, row = context.out, entry.row
  if not row then
    local sign = context.console.signs.failed
    return { entry.id, "", sign .. " damaged", "", "", out:paint("dim", "its row is damaged; weir doctor --rebuild") }
  end
  local seconds = row.ended_ms and (row.ended_ms - row.started_ms) / 1000
  local sign = progress.sign({ err = out, signs = context.console.signs }, row.status)
  local note = text.shorten(text.first_line(note_of(entry)), NOTE_WIDTH)
  return { entry.id, row.pipeline or "", sign .. " " .. row.status, os.date("%Y-%m-%d %H:%M:%S", row.started_ms // 1000),
    seconds and text.duration(seconds) or "", out:paint("dim", note) }
end

local function say(context, found)
  if #found == 0 then return context.err:line "no run fits" end
  local rows = { { "RUN", "PIPELINE", "STATUS", "STARTED", "TOOK" } }
  for _, entry in ipairs(found) do rows[#rows + 1] = row_cells(context, entry) end
  local lines = text.columns(rows, { [5] = "right" })
  context.out:line(context.out:paint("dim", lines[1]))
  for index = 2, #lines do context.out:line(lines[index]) end
end

function M.run(arguments, context)
  local here = session.project()
  return session.with_store(session.open_present_store(here, arguments.store), function(store)
    local found = selection.runs(store, { status = arguments.status, pipeline = arguments.pipeline, limit = arguments.limit,
      damaged = true, live = session.live(), since_ms = selection.since(arguments.since, "--since") })
    if arguments.json then
      for _, entry in ipairs(found) do context.out:line(shape.line(shape.row(entry.id, entry.row or { status = "damaged" }))) end
    else
      say(context, found)
    end
    return status.finished
  end)
end

return M
