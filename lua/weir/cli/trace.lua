--- weir trace: when what happened in a run, as a timeline as wide as the terminal.

local failure = require "weir.failure"
local json = require "weir.native.json"
local progress = require "weir.cli.progress"
local record_of = require "weir.view.record"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local text = require "weir.cli.text"
local tree = require "weir.cli.tree"

local M = {
  name = "trace",
  summary = "Shows when what happened in a run: one row per step, failed attempts and waits included.",
  examples = { "trace last", "trace last --width 120 --all", "trace r_0mwt2j --json" },
  notes = "Rows of a map's items are left out when there are many; --all shows them.",
}

local ROWS_SHOWN = 40
local LABEL_MAX, BAR_MIN = 36, 10

local function columns(value)
  local number = math.tointeger(tonumber(value))
  if number and number >= 40 and number <= 1000 then return number end
  return nil, ("--width: columns from 40 to 1000 expected, got '%s'"):format(value)
end

function M.declare(parser)
  parser:argument("run", "an id, the beginning of one, or `last`"):argname "RUN"
  parser:option("--width", "columns; those of the terminal"):argname("N"):convert(columns)
  session.declare_store(parser)
  parser:flag("--all", "every item of maps")
end

-- Rows -------------------------------------------------------------------------------------------

---@class weir.cli.Row
---@field label string
---@field depth integer
---@field status string
---@field from_ms integer
---@field to_ms integer
---@field step weir.view.Step|nil nil of a group

local function add_rows(rows, node, depth, now_ms)
  for _, child in ipairs(node.children) do
    local from, to = tree.span(child)
    if from then
      rows[#rows + 1] = { label = child.label, depth = depth, status = tree.status(child), from_ms = from, to_ms = to or now_ms,
        step = child.step, key = child.step and child.step.key, in_item = node.is_item or child.is_item or node.in_item }
      child.in_item = rows[#rows].in_item
    end
    add_rows(rows, child, depth + 1, now_ms)
  end
end

-- What the run itself did: what it kept of another one was done at another time.
local function own_steps(record)
  local own = {}
  for _, step in ipairs(record.steps) do
    if not step.kept then own[#own + 1] = step end
  end
  return own, #record.steps - #own
end

local function rows_of(record, own, all)
  local rows, kept = {}, {}
  add_rows(rows, tree.of(own), 0, record_of.last_ms(record))
  if all or #rows <= ROWS_SHOWN then return rows, 0 end
  for _, row in ipairs(rows) do
    if not row.in_item then kept[#kept + 1] = row end
  end
  return kept, #rows - #kept
end

-- Bars -------------------------------------------------------------------------------------------

local Scale = {}
Scale.__index = Scale

-- Columns from..to (0-based, to exclusive) of a stretch of time; at least one column.
function Scale:columns(from_ms, to_ms)
  local from = math.floor((from_ms - self.from_ms) * self.width / self.length_ms)
  local to = math.ceil((to_ms - self.from_ms) * self.width / self.length_ms)
  from = math.max(0, math.min(from, self.width - 1))
  return from, math.max(from + 1, math.min(to, self.width))
end

local function fill(cells, from, to, cell)
  for column = from + 1, to do cells[column] = cell end
end

local STYLES = { finished = "green", failed = "red", cancelled = "yellow", running = "cyan", skipped = "dim" }

-- Failed attempts and the waits after them, then what came last.
local function draw_step(scale, row, cells, out, marks)
  local at = row.from_ms
  for _, failed in ipairs(row.step.attempts) do
    local from, to = scale:columns(failed.from_ms, failed.to_ms)
    fill(cells, from, to, out:paint("red", marks.tried))
    local _, until_column = scale:columns(failed.to_ms, math.min(failed.to_ms + failed.delay * 1000, row.to_ms))
    fill(cells, to, until_column, out:paint("dim", marks.wait))
    cells[to] = out:paint("red", marks.failed)
    at = math.min(failed.to_ms + failed.delay * 1000, row.to_ms)
  end
  local from, to = scale:columns(at, row.to_ms)
  fill(cells, from, to, out:paint(STYLES[row.status] or "dim", marks.full))
  if row.status == "failed" then cells[to] = out:paint("red", marks.failed) end
end

local function bar_of(scale, row, out, marks)
  local cells = {}
  for column = 1, scale.width do cells[column] = " " end
  if row.step then
    draw_step(scale, row, cells, out, marks)
  else
    local from, to = scale:columns(row.from_ms, row.to_ms)
    fill(cells, from, to, out:paint("dim", marks.group))
  end
  return table.concat(cells)
end

local UNICODE = { full = "█", tried = "▒", wait = "·", failed = "×", group = "─" }
local ASCII = { full = "#", tried = "~", wait = ".", failed = "x", group = "-" }

-- The whole --------------------------------------------------------------------------------------

local function label_of(row)
  return ("  "):rep(row.depth) .. row.label
end

local function label_width(rows)
  local width = 4
  for _, row in ipairs(rows) do width = math.max(width, text.width(label_of(row))) end
  return math.min(width, LABEL_MAX)
end

local function axis(scale, total)
  local right = text.duration(total)
  local left = "0"
  return left .. (" "):rep(math.max(1, scale.width - #left - #right)) .. right
end

local function attempts_text(row)
  local step = row.step
  return step and step.attempt > 1 and ("  " .. text.count(step.attempt, "attempt")) or ""
end

local function say_head(context, record, total)
  local out = context.out
  local sign = progress.sign({ err = out, signs = context.console.signs }, record.status)
  out:line(("%s %s  %s  %s in %s"):format(sign, out:paint("bold", record.id), record.pipeline, record.status, text.duration(total)))
end

local function say(context, record, arguments)
  local own, others = own_steps(record)
  local rows, hidden = rows_of(record, own, arguments.all)
  local out, marks = context.out, context.console.is_unicode and UNICODE or ASCII
  local length_ms = math.max(1, record_of.last_ms(record) - record.started_ms)
  local labels = label_width(rows)
  local width = arguments.width or (out:size())
  local scale = setmetatable({ from_ms = record.started_ms, length_ms = length_ms,
    width = math.max(BAR_MIN, width - labels - 26) }, Scale)
  say_head(context, record, length_ms / 1000)
  out:line(out:paint("dim", ("  %s  %s"):format((" "):rep(labels), axis(scale, length_ms / 1000))))
  for _, row in ipairs(rows) do
    local took = text.duration((row.to_ms - row.from_ms) / 1000)
    local label = text.pad(text.shorten(label_of(row), labels, context.console.signs.dots), labels)
    out:line(("  %s  %s  %s%s"):format(row.step and label or out:paint("bold", label), bar_of(scale, row, out, marks),
      out:paint("dim", took), attempts_text(row)))
  end
  if others > 0 then out:line(out:paint("dim", ("  %s of run %s kept, not shown"):format(text.count(others, "step"), record.of.run))) end
  if hidden > 0 then out:line(out:paint("dim", ("  %s inside maps not shown; --all shows them"):format(text.count(hidden, "row")))) end
end

-- JSON -------------------------------------------------------------------------------------------

local function attempt_shapes(step)
  local list = json.list {}
  for index, failed in ipairs(step.attempts) do
    list[index] = { attempt = failed.attempt, started_at = shape.time(failed.from_ms), ended_at = shape.time(failed.to_ms),
      error = shape.failure(failed.error), delay = failed.delay }
  end
  return list
end

local function as_json(record)
  local rows = json.list {}
  for index, step in ipairs(record.steps) do
    rows[index] = { key = step.key, step = step.name, status = step.status, started_at = shape.time(step.from_ms),
      ended_at = shape.time(step.to_ms), seconds = record_of.seconds(step) or json.null, attempts = attempt_shapes(step) }
  end
  return { run = record.id, pipeline = record.pipeline, status = record.status, started_at = shape.time(record.started_ms),
    ended_at = shape.time(record.ended_ms), rows = rows }
end

function M.run(arguments, context)
  local here = session.project()
  return session.with_store(session.open_present_store(here, arguments.store), function(store)
    local record = record_of.load(store, (session.find_run(store, arguments.run)))
    if arguments.json then
      context.out:line(shape.line(as_json(record)))
    elseif #record.steps == 0 then
      failure.raise("not_found", "run %s has not begun a step", record.id)
    else
      say(context, record, arguments)
    end
    return status.finished
  end)
end

return M
