--- weir show: one run; its steps as a tree, with durations, attempts, verdicts and errors.

local history = require "weir.run.history"
local progress = require "weir.cli.progress"
local record_of = require "weir.view.record"
local run_view = require "weir.view.run"
local sayable = require "weir.view.sayable"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local text = require "weir.cli.text"
local waiting = require "weir.cli.waiting"
local tree = require "weir.cli.tree"
local value_of = require "weir.value"

local M = {
  name = "show",
  summary = "Shows a run: its steps with durations, attempts, verdicts and errors, its input and output.",
  examples = { "show last", "show r_0mwt2j --json", "show last --at draft", "show last --all" },
  notes = "Of a map with many items only those that failed are shown; --all shows every one. --at shows StepData as it was right\n"
    .. "after a step had its outcome, as the steps beside it saw it, and which steps came later. STEP is a name, a group, a\n"
    .. "key such as all[3]/text, or the number of a journal entry.",
}

local ITEMS_SHOWN, LINES_SHOWN, VALUE_WIDTH = 12, 20, 400

function M.declare(parser)
  parser:argument("run", "an id, the beginning of one, or `last`"):argname "RUN"
  session.declare_store(parser)
  parser:option("--at", "StepData right after this step"):argname "STEP"
  parser:flag("--all", "every item of maps, the whole output")
end

-- The tree ---------------------------------------------------------------------------------------

local View = {}
View.__index = View

function View:say(line)
  self.out:line(line)
end

local function facts(self, node)
  local parts, step = {}, node.step
  local from, to = tree.span(node)
  if from and to then parts[#parts + 1] = text.duration((to - from) / 1000) end
  local items = tree.items(node)
  if items > 0 then parts[#parts + 1] = text.count(items, "item") end
  if step and step.by and step.by ~= step.name and step.by ~= "map" then parts[#parts + 1] = step.by end
  if step and step.attempt > 1 then parts[#parts + 1] = text.count(step.attempt, "attempt") end
  if step and step.status ~= "finished" then parts[#parts + 1] = step.status end
  if step and step.kept then parts[#parts + 1] = step.is_edited and "kept, changed" or "kept" end
  if step and step.reused then parts[#parts + 1] = "done before by " .. text.safe(step.reused) end
  if step and step.label then parts[#parts + 1] = ("branch: %s"):format(step.label) end
  return self.out:paint("dim", table.concat(parts, "  "))
end

local function say_verdict(self, verdict, indent)
  local by = type(verdict.critic) == "string" and " " .. verdict.critic or ""
  local score = type(verdict.score) == "number" and (", score %.2f"):format(verdict.score) or ""
  if type(verdict.by) == "string" then by = ("%s, decided by %s"):format(by, text.safe(verdict.by)) end
  local advice = type(verdict.advice) == "string" and ": " .. text.first_line(verdict.advice) or ""
  self:say(indent .. self.out:paint("dim", ("critic%s: %s%s%s"):format(by, verdict.verdict, score, advice)))
end

local function say_error(self, err, indent)
  for line in tostring(err.message):gmatch "[^\n]+" do self:say(indent .. self.out:paint("red", text.safe(line))) end
  self:say(indent .. self.out:paint("dim", "code: " .. tostring(err.code)))
  if type(err.traceback) ~= "string" then return end
  for _, line in ipairs(text.trace_lines(err.traceback)) do self:say(indent .. self.out:paint("dim", line)) end
end

local NOUN = { process = { "process", "processes" }, approval = { "question" }, in_doubt = { "question" },
  signal = { "wait for a signal", "waits for signals" }, event = { "wait for an event", "waits for events" },
  retry = { "wait for another attempt", "waits for another attempt" },
  run = { "wait for a run", "waits for runs" } }

-- `stopped 2 processes, 1 request`
local function stopped_text(list)
  local counts, parts = {}, {}
  for _, entry in ipairs(list) do
    local noun = NOUN[entry.what] or { text.safe(tostring(entry.what)) }
    if not counts[noun[1]] then parts[#parts + 1] = noun end
    counts[noun[1]] = (counts[noun[1]] or 0) + entry.count
  end
  for index, noun in ipairs(parts) do parts[index] = text.count(counts[noun[1]], table.unpack(noun)) end
  return "stopped " .. table.concat(parts, ", ")
end

local function say_stopped(self, list, indent)
  if type(list) == "table" and list[1] then self:say(indent .. self.out:paint("dim", stopped_text(list))) end
end

-- Tokens and money of a call, as far as its provider says.
local function usage_text(usage)
  local parts = {}
  if usage.input_tokens then parts[1] = ("%d tokens in"):format(usage.input_tokens) end
  if usage.output_tokens then parts[#parts + 1] = ("%d out"):format(usage.output_tokens) end
  if usage.usd and usage.usd > 0 then parts[#parts + 1] = ("%.6g usd"):format(usage.usd) end
  return table.concat(parts, ", ")
end

-- Why which model was asked, where there was a choice, and what failed before it.
local function say_model(self, step, indent)
  local why = type(step.model.why) == "table" and step.model.why or {}
  local attempts = type(why.attempts) == "table" and why.attempts or {}
  for index = 1, #attempts - 1 do
    local one = attempts[index]
    self:say(indent .. self.out:paint("yellow", ("%s failed after %s: %s"):format(text.safe(one.model), text.duration(one.seconds),
      text.safe(tostring(one.class)))))
  end
  local has_choice = type(why.candidates) == "table" and #why.candidates > 1 or #attempts > 1
  if has_choice and why.reason then
    self:say(indent .. self.out:paint("dim", ("%s: %s"):format(text.safe(tostring(why.policy)), text.first_line(why.reason))))
  end
  local used = usage_text(step.usage or {})
  if used ~= "" then self:say(indent .. self.out:paint("dim", used)) end
end

-- `b won, score 0.90 · a finished, score 0.20 · c cancelled`
local function say_decision(self, decision, indent)
  local parts = {}
  for _, name in ipairs(value_of.names(type(decision.branches) == "table" and decision.branches or {})) do
    local branch, is_winner = decision.branches[name], name == decision.winner
    local verdict = type(branch.verdict) == "table" and branch.verdict or {}
    local score = type(verdict.score) == "number" and (", score %.2f"):format(verdict.score) or ""
    table.insert(parts, is_winner and 1 or #parts + 1, ("%s %s%s"):format(text.safe(name), is_winner and "won" or branch.status, score))
  end
  local by = type(decision.by) == "string" and " by " .. text.safe(decision.by) or ""
  self:say(indent .. self.out:paint("dim", ("decided%s: %s"):format(by, table.concat(parts, "; "))))
end

-- `draft 1: critic rubric: retry, score 0.20: write more; 37 tokens saved`
local function say_drafts(self, drafts, indent)
  for number, draft in ipairs(drafts) do
    local saved = type(draft.saved) == "table" and draft.saved.tokens
    local advice = type(draft.advice) == "string" and ": " .. text.first_line(draft.advice) or ""
    local score = type(draft.score) == "number" and (", score %.2f"):format(draft.score) or ""
    self:say(indent .. self.out:paint("yellow", ("draft %d, critic %s: %s%s%s%s"):format(number, text.safe(tostring(draft.critic)),
      draft.verdict, score, advice, saved and ("; %s saved"):format(text.count(saved, "token")) or "")))
  end
end

-- What failed among the items of a large map.
local function say_items(self, items, indent)
  local failed = items.failed > 0 and (", %d failed"):format(items.failed) or ""
  self:say(indent .. self.out:paint("dim", text.count(items.total, "item") .. failed))
  for _, one in ipairs(type(items.failures) == "table" and items.failures or {}) do
    local why = text.first_line(tostring(one.error.message))
    self:say(indent .. self.out:paint("red", ("item %d: %s (%s)"):format(one.index, why, one.error.code)))
  end
end

-- `remedy parameter {"options":{...}} by thresholds, incident i_...`
local function say_remedy(self, err, indent)
  local remedy = type(err) == "table" and err.remedy
  if type(remedy) ~= "table" then return end
  local args = type(remedy.args) == "table" and next(remedy.args) ~= nil and " " .. sayable.encode(remedy.args) or ""
  local by = type(remedy.by) == "string" and " by " .. remedy.by or ""
  self:say(indent .. self.out:paint("yellow", text.shorten(text.safe(("remedy %s%s%s, incident %s"):format(remedy.name, args, by,
    remedy.incident)), VALUE_WIDTH)))
end

local function say_details(self, step, indent)
  for _, failed in ipairs(step.attempts) do
    self:say(indent .. self.out:paint("yellow", ("attempt %d failed after %s: %s (%s); waited %s"):format(failed.attempt,
      text.duration((failed.to_ms - failed.from_ms) / 1000), text.first_line(failed.error and failed.error.message or "?"),
      failed.error and failed.error.code or "?", text.duration(failed.delay))))
    say_stopped(self, failed.error and failed.error.stopped, indent .. "  ")
    say_remedy(self, failed.error, indent .. "  ")
  end
  if step.model then say_model(self, step, indent) end
  if step.drafts then say_drafts(self, step.drafts, indent) end
  if step.verdict then say_verdict(self, step.verdict, indent) end
  if step.items then say_items(self, step.items, indent) end
  if step.decision then say_decision(self, step.decision, indent) end
  if step.error and step.status == "failed" then say_error(self, step.error, indent) end
  say_stopped(self, step.stopped, indent)
end

-- Which children are shown: of many items those that did not finish.
local function shown(self, node)
  local items = tree.items(node)
  if self.all or items <= ITEMS_SHOWN then return node.children, 0 end
  local kept, hidden = {}, 0
  for _, child in ipairs(node.children) do
    local is_quiet = child.is_item and tree.status(child) ~= "failed" and tree.status(child) ~= "running"
    if is_quiet or child.is_item and #kept >= ITEMS_SHOWN then
      hidden = hidden + 1
    else
      kept[#kept + 1] = child
    end
  end
  return kept, hidden
end

local function say_node(self, node, indent, is_last)
  local signs = self.console.signs
  local label = node.step and node.label or self.out:paint("bold", node.label)
  self:say(("%s%s%s %s  %s"):format(indent, is_last and signs.last or signs.branch, self:sign(tree.status(node)), label, facts(self, node)))
  local inner = indent .. (is_last and "   " or signs.down)
  local children, hidden = shown(self, node)
  if node.step then say_details(self, node.step, inner .. (#children > 0 and signs.down or "   ")) end
  for index, child in ipairs(children) do say_node(self, child, inner, index == #children and hidden == 0) end
  if hidden > 0 then
    self:say(inner .. signs.last .. self.out:paint("dim", ("%s not shown; --all shows them"):format(text.count(hidden, "more item"))))
  end
end

function View:sign(name)
  return progress.sign({ err = self.out, signs = self.console.signs }, name)
end

-- The whole --------------------------------------------------------------------------------------

local function one_line(value)
  local encoded = type(value) == "string" and value or sayable.encode(value) or tostring(value)
  return text.shorten(text.first_line(encoded), VALUE_WIDTH)
end

local function say_head(self, record)
  local seconds = record.ended_ms and (record.ended_ms - record.started_ms) / 1000
  local when = os.date("%Y-%m-%d %H:%M:%S", record.started_ms // 1000)
  self:say(("%s %s  %s  %s%s"):format(self:sign(record.status), self.out:paint("bold", record.id), record.pipeline, record.status,
    seconds and " in " .. text.duration(seconds) or ""))
  local schedule = record.by and record.by:match "^schedule .+"
  self:say(self.out:paint("dim", ("  started %s%s, version %s"):format(when, schedule and " by " .. text.safe(schedule) or "",
    tostring(record.version):sub(1, 12))))
  if record.of then
    local from = record.of.from and (record.of.kind == "fork" and " behind " or " from ") .. text.safe(record.of.from) or ""
    self:say(self.out:paint("dim", ("  %s of %s%s"):format(record.of.kind or "retry", record.of.run, from)))
  end
  if type(record.input) == "table" and next(record.input) ~= nil then self:say("  input  " .. one_line(record.input)) end
end

local function say_value(self, title, value)
  local lines, count = {}, 0
  local encoded = type(value) == "string" and value or sayable.encode(value, { indent = 2 }) or tostring(value)
  for line in (encoded .. "\n"):gmatch "([^\n]*)\n" do
    count = count + 1
    if self.all or count <= LINES_SHOWN then lines[count] = "  " .. text.shorten(text.safe(line), VALUE_WIDTH) end
  end
  self:say("  " .. title)
  for _, line in ipairs(lines) do self:say("  " .. line) end
  if count > #lines then self:say(self.out:paint("dim", ("    %s; --all shows them"):format(text.count(count - #lines, "more line")))) end
end

-- Which plans were made, and what the one that follows changes.
local function say_plans(self, record)
  for _, plan in ipairs(record.plans) do
    local how = plan.reused and ", made for " .. text.safe(plan.reused)
      or plan.edited_by and ", edited by " .. text.safe(plan.edited_by) or ""
    self:say(("  plan of %s  %s  %s"):format(text.safe(plan.prefix:sub(1, -2)), plan.version:sub(1, 12),
      self.out:paint("dim", ("planner %s%s"):format(text.safe(plan.planner), how))))
    if plan.estimate then
      self:say(self.out:paint("dim", "    estimate: " .. require("weir.planning.estimate").show(plan.estimate)))
    end
    for _, line in ipairs(plan.patch and require("weir.planning.show").changes(nil, plan.patch) or {}) do
      self:say(self.out:paint("dim", "    " .. text.shorten(text.safe(line), VALUE_WIDTH)))
    end
    local err = plan.error
    if err then self:say("    " .. self.out:paint("red", text.safe(("failed: %s (%s)"):format(err.message, err.code)))) end
  end
end

local CANDIDATE = { kept = "finished", reverted = "skipped", refused = "failed", proposed = "waiting", approved = "running",
  canary = "running" }

-- What was proposed after the run, and what became of it.
local function say_candidates(self, list)
  for _, one in ipairs(list) do
    local why = one.why and text.first_line(one.why) or ""
    self:say(("  %s %s  %s  %s"):format(self:sign(CANDIDATE[one.state]), one.id, one.state, text.safe(text.first_line(one.reason))))
    if why ~= "" then self:say(self.out:paint("dim", "    " .. text.shorten(text.safe(why), VALUE_WIDTH))) end
  end
end

local function say_end(self, record)
  if record.status == "waiting" or record.status == "in_doubt" then
    for _, wait in ipairs(record.waiting) do
      local line, command = waiting.line(wait, record.id)
      self:say(("  %s  %s"):format(self.out:paint("yellow", line), self.out:paint("dim", command)))
    end
    return
  end
  if record.status == "running" then
    return self:say(self.out:paint("yellow", "  it has not ended: `weir resume` goes on with it, `weir cancel` cancels it"))
  end
  if record.error then
    self:say("  " .. self.out:paint("red", text.safe(("%s (%s)"):format(record.error.message, record.error.code))))
  elseif record.output ~= nil then
    say_value(self, "output", record.output)
  end
end

local function say(context, record, all)
  local self = setmetatable({ out = context.out, console = context.console, all = all }, View)
  say_head(self, record)
  local root = tree.of(record.steps)
  for index, child in ipairs(root.children) do say_node(self, child, "  ", index == #root.children) end
  say_plans(self, record)
  say_candidates(self, record.candidates)
  say_end(self, record)
end

-- One moment ---------------------------------------------------------------------------------------

local function say_moment(context, view, all)
  local self = setmetatable({ out = context.out, console = context.console, all = all }, View)
  local what = ("entry %d"):format(view.n)
  if view.key then
    local at = view.at_ms and os.date(", %Y-%m-%d %H:%M:%S", view.at_ms // 1000) or ""
    what = ("%s (%s%s)"):format(text.safe(view.key), what, at)
  end
  self:say(("%s  %s  right after %s"):format(self.out:paint("bold", view.run), view.pipeline, what))
  say_value(self, "data", view.data)
  if #view.later == 0 then return self:say "  nothing came later" end
  self:say "  later"
  for index, step in ipairs(view.later) do
    if index > LINES_SHOWN and not all then
      return self:say(self.out:paint("dim", ("    %s; --all shows them"):format(text.count(#view.later - LINES_SHOWN, "more step"))))
    end
    self:say(("    %s %s"):format(self:sign(step.status), text.safe(step.key)))
  end
end

local function show_moment(context, arguments, here, store)
  local view = history.at(session.engine(here, store), (session.find_run(store, arguments.run)), arguments.at)
  if arguments.json then
    context.out:line(shape.line(run_view.moment(view)))
  else
    say_moment(context, view, arguments.all)
  end
  return status.finished
end

function M.run(arguments, context)
  local here = session.project()
  return session.with_store(session.open_present_store(here, arguments.store), function(store)
    if arguments.at then return show_moment(context, arguments, here, store) end
    local record = record_of.load(store, (session.find_run(store, arguments.run)), session.live())
    record.candidates = require("weir.view.candidates").of_run(store, record)
    if arguments.json then
      context.out:line(shape.line(run_view.whole(record)))
    else
      say(context, record, arguments.all)
    end
    return status.finished
  end)
end

return M
