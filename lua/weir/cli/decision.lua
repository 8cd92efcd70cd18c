--- What `weir approve` and `weir reject` share: a person's decision, and the run that goes on with it.

local approval = require "weir.approval"
local failure = require "weir.failure"
local json = require "weir.native.json"
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
  parser:argument("approval", "an id of `weir approvals`, or the beginning of one"):argname "ID":args "?"
  parser:flag("--all", "all that wait, or that fit --matching, as of --as-of")
  parser:option("--matching", "with --all: 'pipeline=NAME step=KEY run=RUN', any of these"):argname "WHAT"
  parser:option("--as-of", "with --all: the moment that `weir approvals` printed; what came later is left out"):argname "N"
  parser:option("--comment", "why; kept with the decision"):argname "TEXT"
  parser:option("--as", "who decides; the user of this system"):argname "WHO"
  parser:option("--hash", "of what you were shown; another one is refused"):argname "H"
  parser:flag("--detach", "decide only; `weir resume` goes on with the run")
  parser:flag("-q --quiet", "say nothing on the way")
  session.declare_store(parser)
end

M.many_notes = "With --all each is decided by itself, and its run goes on by `weir resume` or the host; the status is the worst of theirs."

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

-- Several ------------------------------------------------------------------------------------------

local function check_arguments(arguments)
  if arguments.all and arguments.approval then failure.raise("invalid", "either an ID or --all") end
  if not arguments.all and not arguments.approval then failure.raise("invalid", "an ID of `weir approvals` is needed, or --all") end
  if not arguments.all and (arguments.matching or arguments.as_of) then failure.raise("invalid", "--matching and --as-of go with --all") end
  if arguments.all and not arguments.as_of then
    failure.raise("invalid", "--all needs --as-of N, the moment that `weir approvals` printed, so that nothing is decided that nobody saw")
  end
  if arguments.all and arguments.hash then failure.raise("invalid", "--hash is that of one question; --all goes with --as-of") end
end

local function say_outcome(context, arguments, asked, record, state, code)
  if arguments.json then
    local line = { id = asked.id, run = asked.run, decision = record and record.decision or json.null,
      error = record and json.null or { code = code, message = state } }
    return context.out:line(shape.line(line))
  end
  if not record then return context.err:line(text.safe(("%s: not decided: %s"):format(asked.id, state))) end
  if not arguments.quiet then say_decision(context, record, arguments, state == "open" and code or nil) end
end

-- Each is decided by itself, with the hash of what it asks: who was faster with one keeps no other from being decided.
local function decide_all(context, arguments, engine, given)
  local chosen, store = require "weir.approval.chosen", engine.store
  local where, as_of = chosen.read(arguments.matching), chosen.moment(store, arguments.as_of)
  where.run = where.run and session.find_run(store, where.run)
  local records = chosen.all(store, where, as_of)
  if #records == 0 then context.err:line "nothing of that moment waits any more" end
  local worst, unfinished = status.finished, 0
  for _, asked in ipairs(records) do
    local own = { hash = asked.hash }
    for name, value in pairs(given) do own[name] = value end
    local record, state, code = waking.decide(engine, asked.id, own)
    say_outcome(context, arguments, asked, record, state, code)
    if not record then worst = math.max(worst, status.of_error { code = code }) end
    if record and state == "decided" and is_unfinished(store, asked.run) then unfinished = unfinished + 1 end
  end
  if unfinished > 0 and not arguments.json and not engine.service then
    local tail = arguments.store and " --store " .. arguments.store or ""
    context.err:line(("`weir resume%s` goes on with %d of their runs"):format(tail, unfinished))
  end
  return worst
end

--- Decides as the arguments say, and goes on with the run. Waits.
---@param arguments table
---@param context weir.cli.Context
---@param decision "approve"|"reject"|"edit"
---@param answer any
---@return integer status
function M.run(arguments, context, decision, answer)
  check_arguments(arguments)
  local here = session.project()
  local given = { decision = decision, by = arguments.as or system.user_name(), answer = answer, comment = arguments.comment,
    hash = arguments.hash, via = "cli" }
  return session.with_store(session.open_present_store(here, arguments.store), function(store)
    local engine = session.engine(here, store)
    if arguments.all then return decide_all(context, arguments, engine, given) end
    local record, missing = decide(engine, arguments, given)
    if not missing then return go_on(context, arguments, engine, record) end
    say_decision(context, record, arguments, missing)
    return status.finished
  end)
end

return M
