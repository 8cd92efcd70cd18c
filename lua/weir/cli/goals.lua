--- weir goals: what was planned for, by which plans, and what came of them.

local estimates = require "weir.planning.estimate"
local failure = require "weir.failure"
local goal_of = require "weir.planning.goal"
local memory = require "weir.planning.memory"
local planned = require "weir.planning.show"
local progress = require "weir.cli.progress"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local text = require "weir.cli.text"
local value_of = require "weir.value"
local view = require "weir.view.goals"

local M = {
  name = "goals",
  summary = "Lists the goals that steps have planned for, the newest first; shows one with its plans; forgets one, so that a plan\n"
    .. "that failed may be tried again at once.",
  examples = { "goals", "goals last", "goals g_0mwt2j --json", "goals forget g_0mwt2j" },
  notes = "A plan that reached a goal is used again for one that says nearly the same. One that failed for what it was is not tried\n"
    .. "again for an hour, as long as goal, input and agents are the same. Exit status: 0 done, 6 there is no such goal.",
}

local LIMIT, TEXT_WIDTH = 20, 60

local function positive(value)
  local number = math.tointeger(tonumber(value))
  if number and number > 0 then return number end
  return nil, ("--limit: a number from 1 expected, got '%s'"):format(value)
end

function M.declare(parser)
  parser:argument("what", "an id, the beginning of one, `last`, or `forget`; without it the list"):argname("ID"):args "?"
  parser:argument("id", "of the goal to forget"):argname("ID"):args "?"
  parser:option("--limit", ("how many at most; %d"):format(LIMIT)):argname("N"):convert(positive):default(tostring(LIMIT))
  session.declare_store(parser)
end

-- The list -------------------------------------------------------------------------------------------------

local function row_of(context, store, id, record)
  local now = view.status(store, record)
  local sign = progress.sign({ err = context.out, signs = context.console.signs }, now == "rejected" and "failed" or now)
  local latest = record.plans[#record.plans]
  return { id, sign .. " " .. now, record.pipeline or "", tostring(#record.plans), latest and latest.seconds and
    text.duration(latest.seconds) or "", text.shorten(text.first_line(goal_of.show(record)), TEXT_WIDTH) }
end

local function list(arguments, context, store)
  local rows = { { "GOAL", "STATUS", "PIPELINE", "PLANS", "TOOK", "WHAT" } }
  for found in memory.newest(store, arguments.limit) do
    local record = found.value
    if arguments.json then
      context.out:line(shape.line(view.shape(store, found.key, record)))
    elseif record.status ~= "damaged" then
      rows[#rows + 1] = row_of(context, store, found.key, record)
    end
  end
  if arguments.json then return end
  if #rows == 1 then return context.err:line "no goal was planned for" end
  local lines = text.columns(rows, { [4] = "right", [5] = "right" })
  context.out:line(context.out:paint("dim", lines[1]))
  for index = 2, #lines do context.out:line(lines[index]) end
end

-- One goal -------------------------------------------------------------------------------------------------

local function say_plan(context, number, plan)
  local out = context.out
  local took = plan.seconds and ", took " .. text.duration(plan.seconds) or ""
  local money = plan.usd and plan.usd > 0 and (", %.4f USD"):format(plan.usd) or ""
  local sign = progress.sign({ err = out, signs = context.console.signs }, plan.status)
  out:line(("  %s plan %d  %s  %s%s%s"):format(sign, number, plan.version:sub(1, 12), plan.status, took, money))
  if plan.reused then out:line(out:paint("dim", "    made for " .. text.safe(plan.reused))) end
  if plan.estimate then out:line(out:paint("dim", "    estimate: " .. estimates.show(plan.estimate))) end
  for _, line in ipairs(planned.steps(plan.normal)) do out:line("    " .. text.safe(line)) end
  if plan.error then out:line("    " .. out:paint("red", text.safe(("%s (%s)"):format(plan.error.message, plan.error.code)))) end
end

local function say(context, store, id, record)
  local out = context.out
  out:line(("%s  %s"):format(out:paint("bold", id), view.status(store, record)))
  out:line("  " .. text.safe(goal_of.show(record)))
  local want = value_of.names(record.want)
  if #want > 0 then out:line("  wanted  " .. text.safe(table.concat(want, ", "))) end
  out:line(out:paint("dim", ("  %s / %s, planner %s, run %s"):format(record.pipeline, record.step, record.planner, record.run)))
  if record.score then out:line(("  score   %.2f"):format(record.score)) end
  for number, plan in ipairs(record.plans) do say_plan(context, number, plan) end
  if record.error and #record.plans == 0 then
    out:line("  " .. out:paint("red", text.safe(("%s (%s)"):format(record.error.message, record.error.code))))
  end
end

local function forget(arguments, context, store)
  if not arguments.id then failure.raise("invalid", "goals forget takes the id of a goal; `weir goals` lists them") end
  local id = memory.find(store, arguments.id)
  local done, message, code = store:delete(memory.space, id)
  if done == nil then failure.raise(code or "failed", "%s", message) end
  if arguments.json then context.out:line(shape.line { goal = id, forgotten = true }) else context.err:line(id .. ": forgotten") end
end

local function show(arguments, context, store)
  if arguments.id then failure.raise("invalid", "goals takes one id, or `forget` and an id") end
  local id, record = memory.find(store, arguments.what)
  if arguments.json then return context.out:line(shape.line(view.shape(store, id, record))) end
  say(context, store, id, record)
end

function M.run(arguments, context)
  local here = session.project()
  return session.with_store(session.open_present_store(here, arguments.store), function(store)
    local act = arguments.what == "forget" and forget or arguments.what and show or list
    act(arguments, context, store)
    return status.finished
  end)
end

return M
