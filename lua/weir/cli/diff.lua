--- weir diff: two runs side by side: their definitions, inputs, steps and outputs.

local compare = require "weir.run.compare"
local json = require "weir.native.json"
local progress = require "weir.cli.progress"
local record_of = require "weir.view.record"
local sayable = require "weir.view.sayable"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local text = require "weir.cli.text"

local M = {
  name = "diff",
  summary = "Compares two runs: definition and module versions, input, and step by step outcome, attempts, output and time.",
  examples = { "diff r_0mwt2j r_0mwt9k", "diff r_0mwt2j last --json", "diff r_0mwt2j last --all" },
  notes = "What is - belongs to the first run, what is + to the second. Exit status 0 whether they differ or not; 6 there is no\n"
    .. "such run.",
}

local VALUE_WIDTH, CHANGES_SHOWN = 60, 8

function M.declare(parser)
  parser:argument("first", "an id, the beginning of one, or `last`"):argname "RUN"
  parser:argument("second", "the run it is compared with"):argname "RUN"
  session.declare_store(parser)
  parser:flag("--all", "also the steps that are equal, and every change")
end

-- JSON -------------------------------------------------------------------------------------------

local or_null = require("weir.value").or_null

local function change_shapes(changes)
  local list = json.list {}
  for index, change in ipairs(changes) do
    list[index] = { path = change.path, change = change.change, first = or_null(change.first), second = or_null(change.second) }
  end
  return list
end

local function side_shape(step)
  if not step then return json.null end
  return { status = step.status, attempt = step.attempt, seconds = or_null(record_of.seconds(step)), error = shape.failure(step.error),
    version = or_null(step.version), kept = or_null(step.kept) }
end

local function as_json(found)
  local steps, pins = json.list {}, json.list {}
  for index, step in ipairs(found.steps) do
    steps[index] = { key = step.key, is_equal = step.is_equal, first = side_shape(step.first), second = side_shape(step.second),
      output = change_shapes(step.output) }
  end
  for index, pin in ipairs(found.pins) do pins[index] = { name = pin.path, first = or_null(pin.first), second = or_null(pin.second) } end
  local function head(record)
    return { run = record.id, pipeline = record.pipeline, version = record.version, status = record.status, of = shape.of(record.of),
      seconds = or_null(record.ended_ms and (record.ended_ms - record.started_ms) / 1000) }
  end
  return { first = head(found.first), second = head(found.second), is_equal = found.is_equal, modules = pins,
    input = change_shapes(found.input), steps = steps, output = change_shapes(found.output) }
end

-- For people -------------------------------------------------------------------------------------

local function short(value)
  local encoded = sayable.encode(value)
  return text.shorten(text.first_line(encoded or tostring(value)), VALUE_WIDTH)
end

local function say_changes(self, changes, indent)
  for index, change in ipairs(changes) do
    if index > CHANGES_SHOWN and not self.all then
      return self.out:line(self.out:paint("dim", ("%sand %d more; --all shows them"):format(indent, #changes - CHANGES_SHOWN)))
    end
    local at = change.path == "" and "" or text.safe(change.path) .. ": "
    if change.change ~= "added" then self.out:line(indent .. self.out:paint("red", "- " .. at .. short(change.first))) end
    if change.change ~= "removed" then self.out:line(indent .. self.out:paint("green", "+ " .. at .. short(change.second))) end
  end
end

local function side(step)
  if not step then return "did not run" end
  local parts = { step.status }
  if step.attempt > 1 then parts[#parts + 1] = text.count(step.attempt, "attempt") end
  local seconds = record_of.seconds(step)
  parts[#parts + 1] = step.kept and "kept" or seconds and text.duration(seconds) or nil
  return table.concat(parts, ", ")
end

local function say_step(self, step)
  local out = self.out
  local sign = step.is_equal and "=" or out:paint("yellow", "~")
  out:line(("%s %s  %s"):format(sign, text.safe(step.key), out:paint("dim", ("%s | %s"):format(side(step.first), side(step.second)))))
  local first, second = step.first and step.first.error, step.second and step.second.error
  if first then out:line("    " .. out:paint("red", "- " .. text.first_line(tostring(first.message)))) end
  if second then out:line("    " .. out:paint("green", "+ " .. text.first_line(tostring(second.message)))) end
  say_changes(self, step.output, "    ")
end

local function say_head(self, mark, record)
  local seconds = record.ended_ms and " in " .. text.duration((record.ended_ms - record.started_ms) / 1000) or ""
  self.out:line(("%s %s %s  %s  %s%s"):format(mark, progress.sign({ err = self.out, signs = self.console.signs }, record.status),
    self.out:paint("bold", record.id), record.pipeline, record.status, seconds))
end

local function say_part(self, title, changes)
  if #changes == 0 then return end
  self.out:line(title)
  say_changes(self, changes, "    ")
end

local function say(context, found, all)
  local self = { out = context.out, console = context.console, all = all }
  say_head(self, "-", found.first)
  say_head(self, "+", found.second)
  if found.first.version ~= found.second.version then
    say_part(self, "definition", { { path = "", change = "changed", first = found.first.version, second = found.second.version } })
  end
  say_part(self, "modules", found.pins)
  say_part(self, "input", found.input)
  local equal = 0
  for _, step in ipairs(found.steps) do
    if step.is_equal and not all then
      equal = equal + 1
    else
      say_step(self, step)
    end
  end
  if equal > 0 then self.out:line(self.out:paint("dim", ("= %s with equal outcomes"):format(text.count(equal, "step")))) end
  say_part(self, "output", found.output)
  if found.is_equal then self.out:line "the runs did the same" end
end

function M.run(arguments, context)
  local here = session.project()
  return session.with_store(session.open_present_store(here, arguments.store), function(store)
    local first = record_of.load(store, (session.find_run(store, arguments.first)))
    local second = record_of.load(store, (session.find_run(store, arguments.second)))
    local found = compare.runs(first, second)
    if arguments.json then
      context.out:line(shape.line(as_json(found)))
    else
      say(context, found, arguments.all)
    end
    return status.finished
  end)
end

return M
