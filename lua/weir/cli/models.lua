--- weir models: what the calls of the project's models were like, and what another policy would have chosen.

local client = require "weir.serve.client"
local clock = require "weir.port.clock"
local duration = require "weir.duration"
local failure = require "weir.failure"
local json = require "weir.native.json"
local kinds = require "weir.registry.kinds"
local models = require "weir.model"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local text = require "weir.cli.text"
local value_of = require "weir.value"
local view = require "weir.view.models"

local M = {
  name = "models",
  summary = "Lists models: how often they worked in the last 24 hours, how fast they are, what they cost, how good critics and\n"
    .. "people find them. `replay` says what another policy would have chosen.",
  examples = { "models", "models --labels --json", "models replay --policy cheapest --since 7d",
    "models replay --policy bandit --options '{\"cost\":1}'" },
  notes = "STATE is that of the running host; without one there is none. All but CALLS is weighted: what is an hour old counts half.\n"
    .. "replay asks the policy again for each logged choice (at most 400 of each day are kept, for 30 days), with what was known\n"
    .. "then. Where it agrees, what really happened counts; elsewhere the mean of what that model did in the log (the direct\n"
    .. "method of Dudik, Langford and Li, ICML 2011). So it takes the calls that a model got for typical of those that it did not\n"
    .. "get, and leaves out models that were never asked.",
}

local SINCE = "7d"

local function seconds(value)
  local found, message = duration.parse(tonumber(value) or value)
  return found, message and "--since: " .. message
end

local function object(value)
  local found = json.decode(value)
  if type(found) == "table" and not json.is_list(found) then return found end
  return nil, ("--options: a JSON object expected, got '%s'"):format(value)
end

function M.declare(parser)
  parser:argument("action", "replay; without it the list"):args("?"):choices { "replay" }
  parser:option("--policy", "replay: the policy to ask"):argname "NAME"
  parser:option("--options", "replay: its options, over those of weir.lua"):argname("JSON"):convert(object)
  parser:option("--since", "replay: how far back; " .. SINCE):argname("D"):convert(seconds)
  parser:flag("--labels", "a line for each task label, too")
  session.declare_store(parser)
end

-- The list ---------------------------------------------------------------------------------------------

local or_null = value_of.or_null

-- The calls of a host share one; without a host there is what the store has.
local function router_of(store)
  local host = client.host()
  if host and host.store == store then return models.of(host.engine).router, true end
  return require("weir.model.route").new(store), false
end

local function show(value, format)
  return value and format:format(value) or "-"
end

local function show_seconds(value)
  return value and text.duration(value) or "-"
end

local function percent(value)
  return value and ("%.0f %%"):format(value * 100) or "-"
end

local ALIGN = {}
for column = 4, 10 do ALIGN[column] = "right" end

local function print_table(context, rows, align)
  local lines = text.columns(rows, align)
  context.out:line(context.out:paint("dim", lines[1]))
  for index = 2, #lines do context.out:line(lines[index]) end
end

local function print_rows(context, list)
  local rows = { { "MODEL", "MODULE", "STATE", "CALLS", "SUCCESS", "FIRST p50", "p95", "TOKENS/S", "USD/CALL", "SCORE" } }
  for _, row in ipairs(list) do
    local metrics, candidate = row.metrics, row.candidate
    rows[#rows + 1] = { text.safe(candidate.name .. (row.label and " · " .. row.label or "")), candidate.module or "-",
      candidate.state or "-", tostring(metrics.calls), percent(metrics.success), show_seconds(metrics.first_token_p50),
      show_seconds(metrics.first_token_p95), show(metrics.tokens_per_second, "%.0f"), show(metrics.usd_per_call, "%.6f"),
      show(metrics.score, "%.2f") }
  end
  print_table(context, rows, ALIGN)
end

local function list(arguments, context, here, store)
  local router, is_live = router_of(store)
  local rows = view.rows(here, router, is_live, arguments.labels)
  if arguments.json then
    for _, row in ipairs(rows) do context.out:line(shape.line(view.shape(row))) end
  else
    print_rows(context, rows)
  end
end

-- Replay -----------------------------------------------------------------------------------------------

local function policy_of(here, name, given)
  if not name then failure.raise("invalid", "models replay takes --policy NAME; `weir modules --kind policy` lists them") end
  local entry, err = here.registry:lookup("policy", name)
  if not entry then error(err, 0) end
  if kinds.place(entry.module) ~= "models" then
    failure.raise("invalid", "policy '%s' serves %s, not models", name, kinds.place(entry.module))
  end
  local options = here.registry:options(entry, here:options_of("policies/" .. name), given)
  return { name = name, module = entry.module, state = here.registry:state(entry, options) }
end

local function side_shape(side)
  return { success = or_null(side.success), seconds = or_null(side.seconds), usd = or_null(side.usd),
    usd_per_call = or_null(side.usd_per_call), score = or_null(side.score), by_model = side.by_model }
end

local function chosen(side)
  local parts = {}
  for _, name in ipairs(value_of.names(side.by_model)) do parts[#parts + 1] = ("%s %d"):format(text.safe(name), side.by_model[name]) end
  return table.concat(parts, ", ")
end

local function side_row(title, side)
  return { title, percent(side.success), show_seconds(side.seconds), show(side.usd, "%.4f"), show(side.score, "%.2f"), chosen(side) }
end

local function print_replay(context, name, done, all)
  if done.choices == 0 then
    return context.err:line(("no choice can be compared: %d are logged, %d of them without a known outcome"):format(all, done.unknown))
  end
  context.out:line(("%s compared, of %d; %d are the same, %d are left out"):format(text.count(done.choices, "choice"), all, done.same,
    done.unknown))
  print_table(context, { { "", "SUCCESS", "SECONDS", "USD", "SCORE", "CHOSEN" }, side_row("as it was", done.was),
    side_row("by " .. name, done.would) }, { [2] = "right", [3] = "right", [4] = "right", [5] = "right" })
  context.err:line "an estimate: where the choices differ, the mean of what that model did in the log; see `weir help models`"
end

local function replay(arguments, context, here, store)
  local policy = policy_of(here, arguments.policy, arguments.options)
  local router = router_of(store)
  router.keeper:flush()
  local since_ms = clock.wall_ms() - math.floor((arguments.since or duration.parse(SINCE)) * 1000)
  local done = require("weir.model.replay").replay(router.decisions, since_ms, policy, require("weir.port.random").float)
  local all = router.decisions:count(since_ms)
  if not arguments.json then return print_replay(context, policy.name, done, all) end
  context.out:line(shape.line { policy = policy.name, logged = all, choices = done.choices, same = done.same, unknown = done.unknown,
    was = side_shape(done.was), would = side_shape(done.would), method = "direct" })
end

function M.run(arguments, context)
  if arguments.action ~= "replay" and (arguments.policy or arguments.options or arguments.since) then
    failure.raise("invalid", "--policy, --options and --since belong to `weir models replay`")
  end
  local here = session.project()
  local path = here:store_path(arguments.store)
  if not arguments.action and not client.host() and not require("luv").fs_stat(path .. "/data.mdb") then
    list(arguments, context, here, nil)
    return status.finished
  end
  return session.with_store(session.open_present_store(here, arguments.store), function(store)
    local action = arguments.action == "replay" and replay or list
    action(arguments, context, here, store)
    return status.finished
  end)
end

return M
