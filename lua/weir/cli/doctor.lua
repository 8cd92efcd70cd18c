--- weir doctor: looks at the installation, the store and the project; each finding with its fix.

local checks = require "weir.cli.checks"
local failure = require "weir.failure"
local json = require "weir.native.json"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local text = require "weir.cli.text"

local M = {
  name = "doctor",
  summary = "Checks the installation, the store and the project; says what to do about what is wrong.",
  examples = { "doctor", "doctor --json", "doctor --rebuild" },
  notes = "Changes nothing, unless --rebuild makes anew what the journals prove: rows, indexes, timers, the search index of\n"
    .. "documents. Exit status: 0 all is well or only warned of, 1 something is wrong, 75 the store is.",
}

function M.declare(parser)
  session.declare_store(parser)
  parser:flag("--rebuild", "first make the store's indexes anew from its journals")
  parser:flag("--concat-canary"):hidden(true)
end

-- The project may be what is wrong.
local function open_project(found)
  local ok, here = pcall(session.project)
  if ok then return here end
  found[#found + 1] = { check = "settings", status = "fail", detail = failure.of(here).message, fix = "correct weir.lua" }
end

local function examine(arguments, context)
  local found = { checks.lua(), checks.library(), checks.packages(), checks.sandbox() }
  local here = open_project(found)
  if here then
    local path = here:store_path(arguments.store)
    for _, check in ipairs { checks.settings, checks.modules, checks.pipelines } do found[#found + 1] = check(here) end
    if arguments.rebuild then found[#found + 1] = checks.rebuild(path) end
    local of_store = checks.store(path, function(what) context.err:line(what) end)
    table.move(of_store, 1, #of_store, #found + 1, found)
    found[#found + 1] = checks.space(path)
  end
  found[#found + 1] = checks.zones()
  found[#found + 1] = checks.terminal(context.console)
  return found
end

local SIGNS = { ok = "finished", warn = "waiting", fail = "failed" }
local COLOURS = { ok = "green", warn = "yellow", fail = "red" }

local function say(context, result)
  local out = context.out
  local sign = out:paint(COLOURS[result.status], context.console.signs[SIGNS[result.status]])
  local first = true
  for line in result.detail:gmatch "[^\n]+" do
    out:line(first and ("%s %-10s  %s"):format(sign, result.check, text.safe(line)) or ("              %s"):format(text.safe(line)))
    first = false
  end
  if result.fix then out:line(("              %s"):format(out:paint("bold", result.fix))) end
end

local function status_of(found)
  local highest = status.finished
  for _, result in ipairs(found) do
    if result.status == "fail" then highest = math.max(highest, result.is_store and status.store or status.failed) end
  end
  return highest
end

function M.run(arguments, context)
  if arguments.concat_canary then
    checks.concat_canary(context.out)
    return status.finished
  end
  local found = examine(arguments, context)
  for _, result in ipairs(found) do
    if arguments.json then
      context.out:line(shape.line { check = result.check, status = result.status, detail = result.detail, fix = result.fix or json.null })
    else
      say(context, result)
    end
  end
  return status_of(found)
end

return M
