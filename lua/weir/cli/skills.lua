--- weir skills: what was learned, how it does, and trying or removing it by hand.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local json = require "weir.native.json"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local shelf = require "weir.skill.shelf"
local status = require "weir.cli.status"
local suggest = require "weir.suggest"
local system = require "weir.port.system"
local text = require "weir.cli.text"
local view = require "weir.view.skills"

local M = {
  name = "skills",
  summary = "Lists the skills of a store and how their calls went; shows one, tries what is found for a need, removes one.",
  examples = { "skills", "skills show read_csv", "skills trial 'read CSV'", "skills remove read_csv --because 'we have our own'" },
  notes = "A skill is learned by the agent `skill_scout`, such as in `weir run learn --set need='read CSV'`; a person lets it do more\n"
    .. "with `weir approvals` and `weir approve`. trial looks for candidates, runs their tests in the sandbox, and registers nothing.\n"
    .. "WHAT is a name for show and remove, a need in words or a name for trial.\n"
    .. "Exit status: 0 done, 1 no candidate is good, 6 no such skill, nothing found.",
}

function M.declare(parser)
  parser:argument("action", "show, trial, remove; without it the list"):args("?"):choices { "show", "trial", "remove" }
  parser:argument("what", "see below"):argname("WHAT"):args "?"
  parser:option("--because", "remove: why, for the record"):argname "TEXT"
  parser:flag("--failed", "what failed and is remembered, instead of the list")
  session.declare_store(parser)
end

local function percent(row)
  return row.calls == 0 and "-" or ("%.0f %%"):format(row.rate * 100)
end

local function print_rows(context, rows)
  local lines = { { "SKILL", "VERSION", "STATE", "CALLS", "GOOD", "WHAT IT DOES" } }
  for _, row in ipairs(rows) do
    lines[#lines + 1] = { row.name, row.version, row.state, tostring(row.calls), percent(row), text.safe(text.first_line(row.description)) }
  end
  local columns = text.columns(lines, { [4] = "right", [5] = "right" })
  context.out:line(context.out:paint("dim", columns[1]))
  for index = 2, #columns do context.out:line((columns[index]:gsub("%s+$", ""))) end
end

local function shown(row)
  local copy = {}
  for name, value in pairs(row) do copy[name] = value end
  copy.at, copy.at_ms = clock.rfc3339(row.at_ms), nil
  return copy
end

local function list_failures(context, store)
  for _, one in ipairs(shelf.failures(store)) do
    local until_at = clock.rfc3339(one.until_ms)
    if context.json then
      context.out:line(shape.line { name = one.name, hash = one.hash, code = one.code, cause = one.cause, ["until"] = until_at })
    else
      context.out:line(("%s %s  until %s: %s"):format(one.name, one.hash:sub(1, 12), until_at, text.safe(one.cause)))
    end
  end
end

local function list(arguments, context, store)
  if arguments.failed then return list_failures(context, store) end
  local rows = view.rows(store)
  if context.json then
    for _, row in ipairs(rows) do context.out:line(shape.line(shown(row))) end
  elseif #rows == 0 then
    context.err:line "no skill was learned yet; `weir run learn --set need='...'` looks for one"
  else
    print_rows(context, rows)
  end
end

local function say_version(context, version)
  context.out:line(("%s %s  %s  %d calls, %d good  %s"):format(version.name, version.version, version.state, version.calls, version.good,
    version.hash:sub(1, 12)))
  local function say(label, value)
    if value and value ~= json.null and value ~= "" then context.out:line(("  %-10s %s"):format(label, text.safe(value))) end
  end
  say("does", version.description)
  say("by", ("%s, registered by %s at %s"):format(version.author, version.by, clock.rfc3339(version.at_ms)))
  say("from", ("%s %s"):format(version.origin.place, version.origin.at or ""))
  say("may", #version.may > 0 and table.concat(version.may, "; ") or "nothing but compute")
  say("trial", ("%s, %d of %d tests passed, proof %s"):format(version.trial.verdict, version.trial.passed, #version.trial.cases,
    version.trial.proof:sub(1, 12)))
  say("cause", version.cause)
end

local function show(arguments, context, store)
  local whole = view.whole(store, arguments.what)
  if not whole then
    failure.raise("not_found", "there is no skill '%s'%s; `weir skills` lists them", arguments.what,
      suggest.hint(arguments.what, shelf.names(store)))
  end
  if context.json then
    for index, version in ipairs(whole.versions) do whole.versions[index] = shown(version) end
    context.out:line(shape.line(whole))
    return
  end
  for _, version in ipairs(whole.versions) do say_version(context, version) end
end

local function say_tried(context, candidate, tried, message)
  if context.json then
    return context.out:line(shape.line { name = candidate.name, version = candidate.version, hash = candidate.hash,
      origin = candidate.origin, ok = tried ~= nil, error = message or json.null, trial = tried and tried.trial or json.null,
      privileges = tried and tried.privileges or json.list {}, asks = tried and tried.asks or json.null })
  end
  if not tried then return context.err:line(context.err:paint("red", "refused: ") .. text.safe(message)) end
  context.out:line(("%s %s  %s, %d of %d tests passed%s"):format(tried.name, tried.version, tried.trial.verdict, tried.trial.passed,
    #tried.trial.cases, tried.asks and "; a person has to decide: " .. text.safe(tried.asks) or ""))
  for _, privilege in ipairs(tried.privileges) do context.out:line("  may " .. text.safe(privilege)) end
end

local function trial(arguments, context, store, here)
  local scout = require("weir.skill").of(session.engine(here, store))
  local is_name = arguments.what:find "^[a-z][a-z0-9_]*$" ~= nil
  local findings = scout:find { text = arguments.what, name = is_name and arguments.what or nil }
  for _, problem in ipairs(findings.problems) do context.err:line(text.safe(problem)) end
  for _, failed in ipairs(findings.failed) do context.err:line(("%s failed before: %s"):format(failed.name, text.safe(failed.cause))) end
  if findings.known then context.err:line(("%s is there already"):format(findings.known.name)) end
  if findings.known then return status.finished end
  if #findings.candidates == 0 then failure.raise("not_found", "nothing was found for '%s'", arguments.what) end
  local good = false
  for _, candidate in ipairs(findings.candidates) do
    local tried, message = scout:try(candidate)
    good = good or tried ~= nil
    say_tried(context, candidate, tried, message)
  end
  return good and status.finished or status.failed
end

local function remove(arguments, context, store)
  local count = shelf.remove(store, arguments.what, { cause = arguments.because or "removed by hand", by = system.user_name() })
  if context.json then
    context.out:line(shape.line { name = arguments.what, versions = count })
  else
    context.out:line(("removed %s, %s"):format(arguments.what, text.count(count, "version")))
  end
end

local ACTIONS = { show = show, trial = trial, remove = remove }

function M.run(arguments, context)
  local here = session.project()
  if arguments.action and not arguments.what then
    failure.raise("invalid", "skills %s takes %s; `weir help skills` has examples", arguments.action,
      arguments.action == "trial" and "a need or a name" or "the name of a skill")
  end
  local open = arguments.action == "trial" and session.open_store or session.open_present_store
  return session.with_store(open(here, arguments.store), function(store)
    return (ACTIONS[arguments.action] or list)(arguments, context, store, here) or status.finished
  end)
end

return M
