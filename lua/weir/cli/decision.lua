--- What `weir approve` and `weir reject` share: a person's decision, and the run that goes on with it.

local approval = require "weir.approval"
local failure = require "weir.failure"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local system = require "weir.port.system"
local text = require "weir.cli.text"
local waking = require "weir.run.waking"

local M = {}

M.notes = "Exit status: that of the run that goes on; 0 if none does, 2 the answer does not fit, 6 there is no such approval,\n"
  .. "8 refused: it is decided already, its time is up, something else was shown, or you may not decide it."

--- Adds what both commands take.
function M.declare(parser)
  parser:argument("approval", "an id of `weir approvals`, or the beginning of one"):argname "ID"
  parser:option("--comment", "why; kept with the decision"):argname "TEXT"
  parser:option("--as", "who decides; the user of this system"):argname "WHO"
  parser:option("--hash", "of what you were shown; another one is refused"):argname "H"
  parser:flag("--detach", "decide only; `weir resume` goes on with the run")
  parser:flag("-q --quiet", "say nothing on the way")
  session.declare_store(parser)
end

-- What to type next about a run.
local function next_command(record, arguments)
  return ("weir resume %s%s"):format(record.run, arguments.store and " --store " .. arguments.store or "")
end

local function is_unfinished(store, run)
  local row = store:row(run)
  return row ~= nil and row.ended_ms == nil
end

local function refuse(store, record, arguments, message, code, winner)
  if winner and is_unfinished(store, record.run) then
    message = ("%s; `%s` goes on with the run"):format(message, next_command(record, arguments))
  end
  local err = failure.new(code or "failed", "%s", message)
  err.run, err.step = record.run, record.step
  error(err, 0)
end

local PAST = { approve = "approved", edit = "approved with a change", reject = "rejected" }

local function say_decision(context, record, arguments, missing)
  if arguments.json then return context.out:line(shape.line(require("weir.cli.approvals").shape(record))) end
  local last = record.given[#record.given]
  local more = missing and (", %d more %s to approve"):format(missing, missing == 1 and "has" or "have") or ""
  context.err:line(text.safe(("%s: %s by %s%s"):format(record.id, PAST[last.decision], last.by, more)))
end

local function go_on(context, arguments, engine, record)
  local store = engine.store
  if not arguments.detach and is_unfinished(store, record.run) then
    if not arguments.json and not arguments.quiet then say_decision(context, record, arguments) end
    return (require("weir.cli.resume").go_on(context, arguments, engine, record.run))
  end
  say_decision(context, record, arguments)
  if not arguments.json and is_unfinished(store, record.run) then
    context.err:line(("`%s` goes on with the run"):format(next_command(record, arguments)))
  end
  return status.finished
end

local function decide(engine, arguments, given)
  local store = engine.store
  local asked, message, code = approval.get(store, arguments.approval)
  if not asked then failure.raise(code, "%s", message) end
  local record, state, missing, winner = waking.decide(engine, asked.id, given)
  if not record then refuse(store, asked, arguments, state, missing, winner) end
  return record, state == "open" and missing or nil
end

--- Decides as the arguments say, and goes on with the run. Waits.
---@param arguments table
---@param context weir.cli.Context
---@param decision "approve"|"reject"|"edit"
---@param answer any
---@return integer status
function M.run(arguments, context, decision, answer)
  local here = session.project()
  local given = { decision = decision, by = arguments.as or system.user_name(), answer = answer, comment = arguments.comment,
    hash = arguments.hash, via = "cli" }
  return session.with_store(session.open_present_store(here, arguments.store), function(store)
    local engine = session.engine(here, store)
    local record, missing = decide(engine, arguments, given)
    if not missing then return go_on(context, arguments, engine, record) end
    say_decision(context, record, arguments, missing)
    return status.finished
  end)
end

return M
