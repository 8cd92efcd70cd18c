--- weir runs: the runs of the store, the newest first.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local progress = require "weir.cli.progress"
local session = require "weir.cli.session"
local shape = require "weir.cli.shape"
local status = require "weir.cli.status"
local text = require "weir.cli.text"

local M = {
  name = "runs",
  summary = "Lists runs, the newest first.",
  examples = { "runs", "runs --status failed --since 2d", "runs --pipeline digest --limit 5 --json" },
  notes = "A run that is `running` while no host is: it was interrupted; `weir resume` goes on with it.",
}

local STATUSES = { "queued", "running", "waiting", "in_doubt", "finished", "failed", "cancelled", "quarantined" }
local PAGE, LIMIT = 200, 20

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

local function midnight(given)
  local year, month, day = given:match "^(%d%d%d%d)%-(%d%d)%-(%d%d)$"
  if not year then return nil end
  return os.time { year = math.tointeger(year), month = math.tointeger(month), day = math.tointeger(day), hour = 0 } * 1000
end

-- Since when, in ms.
local function since_of(given)
  if not given then return nil end
  local from = midnight(given)
  if from then return from end
  local seconds, message = require("weir.duration").parse(tonumber(given) or given)
  if not seconds then failure.raise("invalid", "--since: %s, or a day such as 2026-11-23", message) end
  return clock.wall_ms() - math.floor(seconds * 1000)
end

local function page_of(store, query)
  query.damaged = true
  local page, message, code = store:runs(query)
  if not page then failure.raise(code or "failed", "%s", message) end
  return page
end

-- Goes through the runs from the newest until there are enough.
local function select_runs(store, arguments)
  local since, found, after = since_of(arguments.since), {}, nil
  while #found < arguments.limit do
    local page = page_of(store, { status = arguments.status, after = after, limit = PAGE, reverse = true })
    for _, entry in ipairs(page) do
      local row = entry.row
      if since and row and row.started_ms < since then return found end
      local fits = not row or not arguments.pipeline or row.pipeline == arguments.pipeline -- a damaged one may be
      if #found < arguments.limit and fits then found[#found + 1] = entry end
    end
    if #page < PAGE then break end
    after = page[#page].id
  end
  return found
end

local function row_cells(context, entry)
  local out, row = context.out, entry.row
  if not row then
    local sign = context.console.signs.failed
    return { entry.id, "", sign .. " damaged", "", "", out:paint("dim", "its row is damaged; weir doctor --rebuild") }
  end
  local seconds = row.ended_ms and (row.ended_ms - row.started_ms) / 1000
  local sign = progress.sign({ err = out, signs = context.console.signs }, row.status)
  local message = type(row.error) == "table" and text.shorten(text.first_line(tostring(row.error.message)), 60) or ""
  return { entry.id, row.pipeline or "", sign .. " " .. row.status, os.date("%Y-%m-%d %H:%M:%S", row.started_ms // 1000),
    seconds and text.duration(seconds) or "", out:paint("dim", message) }
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
    local found = select_runs(store, arguments)
    if arguments.json then
      for _, entry in ipairs(found) do context.out:line(shape.line(shape.row(entry.id, entry.row or { status = "damaged" }))) end
    else
      say(context, found)
    end
    return status.finished
  end)
end

return M
