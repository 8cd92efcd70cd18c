--- Speculation: several ways to do one step run side by side, a judge picks one, the others are cancelled.
---
--- Each branch has StepData and workspace documents of its own. Which one won is one entry of the journal, committed
--- together with the winner's documents; it is found again by a later life of the run, which then runs the winner
--- only. What the others had finished and can be undone is undone, what they used stays counted.

local branches_of = require "weir.run.branches"
local clock = require "weir.port.clock"
local documents = require "weir.run.documents"
local failure = require "weir.failure"
local json = require "weir.native.json"
local native = require "weir.native.scheduler"
local question = require "weir.run.question"
local step_runner = require "weir.run.step"
local undo = require "weir.run.undo"
local value_of = require "weir.value"
local verdict_of = require "weir.flow.verdict"

local M = { name = "speculate", has_steps = true }

local COMMITS = 20 -- tries, when the winner's documents meet what others have written meanwhile

-- Judging ----------------------------------------------------------------------------------------

local function shown(entry)
  return { name = entry.step.name, output = entry.value, usage = entry.meter.usage, seconds = entry.seconds or 0 }
end

local function judge(race, entries)
  local list = {}
  for index, entry in ipairs(entries) do list[index] = shown(entry) end
  local key = ("%s/(judge)%s"):format(race.key, race.tag)
  local verdicts = verdict_of.of_branches(race.frame, race.step.judge, key, race.input, list)
  race.frame.run:move_usage(key, race.key)
  for index, entry in ipairs(entries) do entry.verdict = verdicts[index] end
end

-- The best score among those that may be used; the earlier one on a tie.
local function best_of(entries)
  local best
  for _, entry in ipairs(entries) do
    local is_better = not best or verdict_of.score(entry.verdict) > verdict_of.score(best.verdict)
    if verdict_of.accepts(entry.verdict) and is_better then best = entry end
  end
  return best
end

local function one_that_says(entries, verdict)
  for _, entry in ipairs(entries) do
    if entry.verdict and entry.verdict.verdict == verdict then return entry end
  end
end

-- A person picks, where the judge cannot.
local function ask(race, entries)
  local names, show = json.list {}, {}
  for index, entry in ipairs(entries) do
    names[index] = entry.step.name
    local verdict = entry.verdict
    show[entry.step.name] = { output = entry.value, verdict = verdict.verdict, score = verdict.score, advice = verdict.advice }
  end
  local record = question.ask(race.frame, race.key, { kind = "approval", show = show,
    title = ("%s: which branch of '%s' is to count?%s"):format(race.frame.run.plan.name, race.step.name,
      race.number > 1 and (" (attempt %d)"):format(race.number) or ""),
    form = { type = "object", properties = { winner = { enum = names } }, required = json.list { "winner" } } })
  if record.decision == "reject" then
    failure.raise("rejected", "speculation '%s': %s rejected every branch%s", race.step.name, record.by,
      record.comment and (", saying '%s'"):format(record.comment) or "")
  end
  race.chosen_by = record.by
  for _, entry in ipairs(entries) do
    if entry.step.name == record.answer.winner then return entry end
  end
end

local function refused(race, entries)
  local lines = {}
  for index, entry in ipairs(entries) do
    local verdict = entry.verdict
    lines[index] = ("%s: %s%s"):format(entry.step.name, verdict.verdict, verdict.advice and ", " .. verdict.advice or "")
  end
  failure.raise("rejected", "speculation '%s': judge '%s' accepts no branch; %s", race.step.name, race.step.judge.name,
    table.concat(lines, "; "))
end

local function winner_of(race, candidates)
  if not race.step.judge then return race:first() end
  if race.step.join == "first" then
    local accepted = race:first(function(entry) return verdict_of.accepts(entry.verdict) end)
    return accepted or one_that_says(candidates, "escalate") and ask(race, candidates) or refused(race, candidates)
  end
  judge(race, candidates)
  if one_that_says(candidates, "abort") then refused(race, candidates) end
  return best_of(candidates) or one_that_says(candidates, "escalate") and ask(race, candidates) or refused(race, candidates)
end

-- Why nobody can win.
local function without_candidates(race)
  local name, join, failed = race.step.name, race.step.join, race:failures()
  if #failed > 0 then
    local err = failed[1].value
    local found = failure.new(err.code, "speculation '%s': no branch finished; the first to fail was '%s': %s", name,
      failed[1].step.name, err.message)
    found.step = err.step
    error(found, 0)
  end
  if race.is_late then failure.raise("timeout", "speculation '%s': no branch finished within %g s", name, join.deadline) end
  failure.raise("invalid", "speculation '%s': none of its branches was due", name)
end

local function check_count(race, candidates)
  local least = type(race.step.join) == "table" and race.step.join.at_least
  if not least or #candidates >= least then return end
  failure.raise("failed", "speculation '%s': %d of its branches finished, %d were asked for", race.step.name, #candidates, least)
end

-- The decision ------------------------------------------------------------------------------------

local function decide(race)
  local candidates = race:finished()
  if #candidates == 0 then without_candidates(race) end
  check_count(race, candidates)
  local winner = winner_of(race, candidates)
  if winner.verdict and winner.verdict.verdict == "edit" then race.edited = winner.verdict.value end
  return winner
end

local function decision_of(race, winner, err)
  local branches = {}
  for _, entry in ipairs(race.entries) do
    branches[entry.step.name] = { status = entry.status or "unstarted", seconds = entry.seconds, first_s = entry.first_s,
      usage = next(entry.meter.usage) and value_of.copy(entry.meter.usage) or nil,
      verdict = entry.verdict and verdict_of.summary(entry.verdict) or nil, items = entry.stream.count }
  end
  return { winner = winner and winner.step.name, branches = branches, edited = race.edited, by = race.chosen_by,
    stopped_s = race.stopped_s, error = err and { code = err.code, message = err.message, step = err.step } }
end

local function sides(race, winner)
  local counted, others = {}, {}
  for _, entry in ipairs(race.entries) do
    local side = entry == winner and counted or others
    side[#side + 1] = entry.key
  end
  return counted, others
end

-- In one transaction: who won, and the winner's documents.
local function keep(race, winner, decision)
  local journal = race.frame.run.journal
  if not journal then return end
  local counted, others = sides(race, winner)
  local entry = { "choice", race.decided_key, decision }
  for try = 1, COMMITS do
    local operations = documents.decide(race.frame.run, counted, others)
    race:add_measures(operations)
    if journal:append_with(operations, entry, try == COMMITS) then break end
  end
  documents.decided(race.frame.run, counted)
end

local function notify(race, decision)
  local run = race.frame.run
  if not run.listener then return end
  run:notify { kind = "decision", step = race.key, name = race.step.name, winner = decision.winner, branches = decision.branches,
    stopped_s = decision.stopped_s, error = decision.error }
end

-- The run ends with the winner, or as it did before: what the others did is taken back.
local function settle(race, winner, decision)
  local _, others = sides(race, winner)
  undo.of(race.frame.run, others)
  if decision.error then error(failure.of(decision.error), 0) end
  if decision.edited ~= nil then return decision.edited, decision.winner end
  return winner.value, decision.winner
end

local function decided_now(race)
  local ok, winner = pcall(decide, race)
  if native.cancelled() or race.frame.run.interrupted then error(winner, 0) end
  local err = not ok and failure.of(winner) or nil
  if err and err.mismatch then error(err, 0) end
  local decision = decision_of(race, ok and winner or nil, err)
  keep(race, ok and winner or nil, decision)
  notify(race, decision)
  return settle(race, ok and winner or nil, decision)
end

-- An earlier life decided: the winner alone is found again.
local function decided_before(race, decision)
  local winner
  for _, entry in ipairs(race.entries) do
    if entry.step.name == decision.winner then
      winner = entry
    else
      question.withdraw_parked(race.frame.run, entry.key)
    end
  end
  if winner then
    local status, value = step_runner.run(winner.frame, winner.step, winner.key)
    if status ~= "finished" then error(value, 0) end
    winner.value = value
  end
  return settle(race, winner, decision)
end

--- Runs the branches and gives the winner's output. Waits.
---@return any output
---@return string label the winner's name
function M.execute(frame, step, key, input, attempt)
  local race <close> = branches_of.new(frame, step, key, input, attempt)
  if step.join == "first" and step.judge then
    race.on_finished = function(entry) judge(race, { entry }) return verdict_of.accepts(entry.verdict) end
  end
  if step.halve then
    race.on_rung = function(entries)
      judge(race, entries)
      return function(entry) return verdict_of.score(entry.verdict) end
    end
  end
  local journal = frame.run.journal
  local recorded = journal and journal.choices[race.decided_key]
  if recorded then return decided_before(race, recorded[3]) end
  race:run()
  race.stopped_s = race.decided_s and clock.now() - race.decided_s or nil
  return decided_now(race)
end

return M
