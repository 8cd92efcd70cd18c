--- weir critic: what critics say now of what they judged in past runs, and how often they said what people said.

local failure = require "weir.failure"
local json = require "weir.native.json"
local selection = require "weir.view.selection"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local text = require "weir.cli.text"
local value_of = require "weir.value"

local M = {
  name = "critic",
  summary = "rejudge: asks critics, as they are now, about the outputs of past runs; no step is done again, nothing is changed.\n"
    .. "calibration: how often each version of a critic said what people said.",
  examples = { "critic rejudge --since 7d", "critic rejudge last --step draft --critic rubric --options '{\"min_words\":80}'",
    "critic rejudge --pipeline digest --json", "critic calibration" },
  notes = "rejudge takes the critics of each run's definition in the versions that serve now, or the one that is named. Only runs whose\n"
    .. "journal has a verdict count. calibration looks at drafts that critics had a person decide, and at approvals that showed the\n"
    .. "output of a step which a critic had judged.",
}

local SINCE, LIMIT = "7d", 1000

local function object(value)
  local found = json.decode(value)
  if type(found) == "table" and not json.is_list(found) then return found end
  return nil, ("--options: a JSON object expected, got '%s'"):format(value)
end

function M.declare(parser)
  parser:argument("action", "what to do"):choices { "rejudge", "calibration" }
  parser:argument("run", "rejudge: one run; without it all that fit"):argname("RUN"):args "?"
  parser:option("--pipeline", "rejudge: runs of this pipeline"):argname "NAME"
  parser:option("--since", "how far back; " .. SINCE):argname "D"
  parser:option("--step", "rejudge: this step, by its name or key"):argname "STEP"
  parser:option("--critic", "rejudge: ask this one instead"):argname "NAME"
  parser:option("--options", "rejudge: its options"):argname("JSON"):convert(object)
  session.declare_store(parser)
end

-- The runs that fit, the newest first.
local function ids_of(store, arguments)
  if arguments.run then
    local id = session.find_run(store, arguments.run)
    return function()
      local one = id
      id = nil
      return one
    end
  end
  local found = selection.runs(store, { pipeline = arguments.pipeline, since_ms = selection.since(arguments.since or SINCE, "--since"),
    limit = LIMIT })
  local position = 0
  return function()
    position = position + 1
    return found[position] and found[position].id
  end
end

local function verdict_text(verdict)
  local score = type(verdict.score) == "number" and (" %.2f"):format(verdict.score) or ""
  return verdict.verdict .. score
end

local function print_table(context, rows)
  local lines = text.columns(rows)
  context.out:line(context.out:paint("dim", lines[1]))
  for index = 2, #lines do context.out:line(lines[index]) end
end

local or_null = value_of.or_null

local function shape_of(one)
  return { run = one.run, pipeline = one.pipeline, step = one.step, before = one.before, now = or_null(one.now), changed = one.changed,
    error = shape.failure(one.error) }
end

local function rejudge(arguments, context, engine)
  local critic = arguments.critic and { name = arguments.critic, options = arguments.options }
  local rows, count, changed = { { "RUN", "STEP", "CRITIC", "BEFORE", "NOW", "" } }, 0, 0
  local verdicts = require "weir.view.verdicts"
  for one in verdicts.rejudge(engine, ids_of(engine.store, arguments), { step = arguments.step, critic = critic }) do
    count, changed = count + 1, changed + (one.changed and 1 or 0)
    if arguments.json then
      context.out:line(shape.line(shape_of(one)))
    else
      rows[#rows + 1] = { one.run, text.safe(one.step), text.safe(tostring(one.now and one.now.critic or one.before.critic)),
        verdict_text(one.before), one.now and verdict_text(one.now) or one.error.code,
        one.error and text.first_line(one.error.message) or one.changed and "changed" or "" }
    end
  end
  if arguments.json then return end
  if count > 0 then print_table(context, rows) end
  context.err:line(("%s judged again, %d changed"):format(text.count(count, "output"), changed))
end

local function number(value, format) return value and format:format(value) or "-" end

local function calibration(arguments, context, engine)
  local since_ms = arguments.since and selection.since(arguments.since, "--since")
  local list = require("weir.view.verdicts").calibration(engine, since_ms)
  local rows = { { "CRITIC", "VERSION", "DECIDED", "AGREED", "REFUSED, PERSON PASSED", "PASSED, PERSON REFUSED", "SCORE PASSED",
    "REFUSED" } }
  for _, row in ipairs(list) do
    if arguments.json then context.out:line(shape.line(row)) end
    rows[#rows + 1] = { text.safe(row.critic), row.version:sub(1, 12), tostring(row.count),
      ("%.0f %%"):format(100 * row.agreed / row.count), tostring(row.wrongly_refused), tostring(row.wrongly_passed),
      number(row.score_passed, "%.2f"), number(row.score_refused, "%.2f") }
  end
  if arguments.json then return end
  if #list == 0 then return context.err:line "no person has decided anything that a critic had judged" end
  print_table(context, rows)
end

local ACTIONS = { rejudge = rejudge, calibration = calibration }

local function check(arguments)
  if arguments.action == "calibration" and (arguments.run or arguments.pipeline or arguments.step or arguments.critic) then
    failure.raise("invalid", "RUN, --pipeline, --step and --critic belong to `weir critic rejudge`")
  end
  if arguments.options and not arguments.critic then
    failure.raise("invalid", "--options are those of --critic NAME")
  end
end

function M.run(arguments, context)
  check(arguments)
  local here = session.project()
  return session.with_store(session.open_present_store(here, arguments.store), function(store)
    ACTIONS[arguments.action](arguments, context, session.engine(here, store))
    return status.finished
  end)
end

return M
