--- weir candidates: what reflections have proposed, how it did beside what served, and what became of it.

local candidates = require "weir.candidate"
local clock = require "weir.port.clock"
local json = require "weir.native.json"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local text = require "weir.cli.text"
local view = require "weir.view.candidates"

local M = {
  name = "candidates",
  summary = "Lists what reflections have proposed, the newest first, with scores and what became of it; shows one.",
  examples = { "candidates", "candidates tuned", "candidates show c_0mwt2j" },
  notes = "KNOWN and HELD OUT are the scores before and after, on the inputs that the reflection knows and on those that it does\n"
    .. "not. A candidate that was kept serves until `weir rollback` or another file. Exit status: 0, or 6 there is no such candidate.",
}

local SHORT, SHOWN = 12, 50

function M.declare(parser)
  parser:argument("what", "a pipeline; or show, and then a candidate"):argname("PIPELINE"):args "?"
  parser:argument("id", "after show: an id, or the beginning of one"):argname("ID"):args "?"
  parser:option("--limit", "how many of the newest; 50"):argname("N"):convert(math.tointeger)
  session.declare_store(parser)
end

local function number(value)
  return type(value) == "number" and ("%.4g"):format(value) or "?"
end

local function both(scores)
  if type(scores) ~= "table" or scores.after == nil then return "-" end
  return number(scores.before) .. " " .. number(scores.after)
end

local function list(context, store, arguments)
  local rows = candidates.list(store, { pipeline = arguments.what, limit = arguments.limit or SHOWN })
  if context.json then
    for index = #rows, 1, -1 do context.out:line(shape.line(view.shape(rows[index]))) end
    return
  end
  if #rows == 0 then return context.err:line "nothing was proposed yet; a pipeline with `reflect` is reflected on after each run" end
  local lines = { { "CANDIDATE", "PIPELINE", "STATE", "KNOWN", "HELD OUT", "WHAT" } }
  for index = #rows, 1, -1 do
    local row = rows[index]
    lines[#lines + 1] = { row.id, row.pipeline, row.state, both(row.tuning), both(row.holdout),
      text.safe(text.first_line(row.reason ~= "" and row.reason or row.why or "")) }
  end
  local columns = text.columns(lines)
  context.out:line(context.out:paint("dim", columns[1]))
  for index = 2, #columns do context.out:line((columns[index]:gsub("%s+$", ""))) end
end

local function say_scores(out, label, scores)
  if type(scores) ~= "table" or #(scores.inputs or {}) == 0 then return end
  local count = text.count(#scores.inputs, "input")
  out:line(("  %-9s %s before, %s after, %s"):format(label, number(scores.before), number(scores.after), count))
  for _, one in ipairs(scores.inputs) do
    local err = one.error ~= json.null and one.error
    out:line(("    %s  %s  %s%s"):format(one.input, number(one.before), number(one.after), err and "  " .. text.safe(err) or ""))
  end
end

local function say_cost(out, cost)
  if type(cost) ~= "table" then return end
  local parts = { ("%s, %d of them done before"):format(text.count(cost.steps, "step"), cost.reused) }
  if cost.tokens > 0 then parts[#parts + 1] = text.count(cost.tokens, "token") end
  if cost.usd > 0 then parts[#parts + 1] = ("%.4f USD"):format(cost.usd) end
  out:line("  trials    " .. table.concat(parts, ", "))
end

local function show(context, store, arguments)
  local row = candidates.get(store, arguments.id)
  local whole = view.whole(store, row)
  if context.json then return context.out:line(shape.line(whole)) end
  local out = context.out
  local function say(label, value)
    if value and value ~= json.null and value ~= "" then out:line(("  %-9s %s"):format(label, text.safe(value))) end
  end
  out:line(("%s  %s  %s"):format(out:paint("bold", row.id), row.pipeline, row.state))
  say("because", row.reason)
  say("of", ("%s, round %d of %s, after %s"):format(row.parent:sub(1, SHORT), row.round, row.cycle, row.run))
  say("is", row.module or row.version and row.version:sub(1, SHORT))
  for _, line in ipairs(whole.changes) do out:line("    " .. text.safe(line)) end
  say("by", row.by and ("%s, at %s"):format(row.by, clock.rfc3339(row.at_ms)))
  say_scores(out, "known", row.tuning)
  say_scores(out, "held out", row.holdout)
  say_cost(out, row.cost)
  say("why", row.why and (row.code and row.code ~= json.null and row.code .. ": " or "") .. row.why)
end

function M.run(arguments, context)
  local here = session.project()
  return session.with_store(session.open_present_store(here, arguments.store), function(store)
    if arguments.what == "show" and arguments.id then show(context, store, arguments) else list(context, store, arguments) end
    return status.finished
  end)
end

return M
