--- A group of a run: its steps side by side, how they join, where the run goes next.

local clock = require "weir.port.clock"
local documents = require "weir.run.documents"
local failure = require "weir.failure"
local json = require "weir.native.json"
local native = require "weir.native.scheduler"
local parking = require "weir.run.parking"
local step_runner = require "weir.run.step"
local task = require "weir.task"
local or_null = require("weir.value").or_null

local M = {}

local TURN = 0.001 -- seconds that a deadline which has passed leaves for outcomes that are recorded already

local function key_of(frame, group, step, visit)
  if visit == 1 then return frame.prefix .. step.key end
  if group.is_bare then return ("%s%s#%d"):format(frame.prefix, group.name, visit) end
  return ("%s%s#%d/%s"):format(frame.prefix, group.name, visit, step.name)
end

-- Joins ------------------------------------------------------------------------------------------

local function successes(results)
  local count = 0
  for _, result in pairs(results) do
    if result.status == "finished" or result.status == "skipped" then count = count + 1 end
  end
  return count
end

-- Whether the group need not wait any longer. `all` waits for every step to end.
local DONE = {
  all = function(group, _, last)
    return group.fail_fast and last.status == "failed" and not last.step.optional
  end,
  any = function(_, _, last) return last.status == "finished" end,
  first = function() return true end,
  at_least = function(group, results) return successes(results) >= group.count end,
  deadline = function() return false end,
}

local function first_failure(order)
  for _, result in ipairs(order) do
    if result.status == "failed" and not result.step.optional then return result.value end
  end
end

local function cancelled_error(order)
  for _, result in ipairs(order) do
    if result.status == "cancelled" then return result.value end
  end
end

local VERDICT = {
  all = function(_, order) return first_failure(order) end,
  any = function(_, order, results)
    return successes(results) == 0 and first_failure(order) or nil
  end,
  first = function(_, order)
    local first = order[1]
    return first and first.status == "failed" and first.value or nil
  end,
  at_least = function(group, order, results)
    local count = successes(results)
    if count >= group.count then return nil end
    return first_failure(order)
      or failure.new("failed", "group '%s': %d of its steps finished, %d were asked for", group.name, count, group.count)
  end,
  deadline = function() return nil end,
}

-- Streams ----------------------------------------------------------------------------------------

local function connect(frame, group, visit)
  if not group.has_streams then return end
  frame.streams, frame.sources = {}, {}
  for _, step in ipairs(group.steps) do
    if step.stream or group.read[step.name] then
      frame.streams[step.name] = require("weir.run.stream").new(step.stream, frame.run, step.name, key_of(frame, group, step, visit))
    end
  end
  for _, step in ipairs(group.steps) do
    if step.from then frame.sources[step.name] = require("weir.run.sources").new(frame, step) end
  end
end

-- After its step: readers see the end, or the error; its own sources need not wait for it any more.
local function disconnect(frame, step, status, value)
  local own = frame.streams and frame.streams[step.name]
  if own then
    if status == "finished" and own.count == 0 and value ~= nil then own:emit(value) end
    if status == "failed" or status == "cancelled" then
      own:close(("the stream of step '%s' broke: %s"):format(step.name, value.message), value.code)
    else
      own:close()
    end
  end
  local sources = frame.sources and frame.sources[step.name]
  if sources then sources:close(status == "finished") end
end

-- Running ----------------------------------------------------------------------------------------

local function run_one(frame, step, key)
  local status, value, label = step_runner.run(frame, step, key)
  if frame.streams then disconnect(frame, step, status, value) end
  return { step = step, status = status, value = value, label = label }
end

local function joined_key(frame, group, visit)
  return ("%s%s#%d/joined"):format(frame.prefix, group.name, visit)
end

-- The steps a former life of the run chose as those that counted; nil when it had not chosen.
local function recorded_choice(frame, key)
  local journal = frame.run.journal
  local entry = journal and journal.choices[key]
  return entry and entry[3]
end

local COMMITS = 20 -- tries, when documents of the steps that count meet what others have written meanwhile

-- Which steps counted, in one transaction with what they wrote to the workspace.
local function keep_choice(frame, group, visit, order)
  local journal = frame.run.journal
  if not journal then return end
  local names, counted, others, is_counted = {}, {}, {}, {}
  for position, result in ipairs(order) do
    local finished = result.status == "finished"
    names[position], is_counted[result.step] = result.step.name, finished
    if finished then counted[#counted + 1] = key_of(frame, group, result.step, visit) end
  end
  for _, step in ipairs(group.steps) do
    if not is_counted[step] then others[#others + 1] = key_of(frame, group, step, visit) end
  end
  local entry = { "choice", joined_key(frame, group, visit), table.concat(names, ",") }
  for try = 1, COMMITS do
    if journal:append_with(documents.decide(frame.run, counted, others), entry, try == COMMITS) then break end
  end
  documents.decided(frame.run, counted)
end

-- What steps that do not count had done inside is taken back; done so before it is found again.
local function undo_others(frame, group, visit, order)
  if not frame.run.undos then return end
  local is_counted, others = {}, {}
  for _, result in ipairs(order) do is_counted[result.step] = result.status == "finished" end
  for _, step in ipairs(group.steps) do
    if not is_counted[step] then others[#others + 1] = key_of(frame, group, step, visit) end
  end
  require("weir.run.undo").of(frame.run, others)
end

-- The group's steps, or those of them that were chosen.
local function chosen_steps(group, chosen)
  if not chosen then return group.steps end
  local wanted, steps = {}, {}
  for name in chosen:gmatch "[^,]+" do wanted[name] = true end
  for _, step in ipairs(group.steps) do
    if wanted[step.name] then steps[#steps + 1] = step end
  end
  return steps
end

local function in_chosen_order(results, chosen)
  local order = {}
  for name in chosen:gmatch "[^,]+" do order[#order + 1] = results[name] end
  return order
end

local function run_side(of_frame, step, key, finished, branch)
  local own = setmetatable({ branch = branch, branch_of = branch and of_frame.__index.branch }, of_frame) -- each knows what it is doing
  native.set_context(own)
  local ok, result = pcall(run_one, own, step, key)
  if ok then return finished(result) end
  parking.left(own.run)
  error(result, 0)
end

local function cancel_others(tasks)
  for _, loser in ipairs(tasks) do loser:cancel "the group does not need it any more" end
end

local function due_key(frame, group, visit)
  return ("%s%s#%d/due"):format(frame.prefix, group.name, visit)
end

-- When the group has to be decided, in whichever life of the run.
local function deadline_of(frame, group, visit)
  if group.join ~= "deadline" then return nil end
  local function due() return clock.wall_ms() + math.ceil(group.deadline * 1000) end
  local journal = frame.run.journal
  if not journal then return due() end
  return journal:choice(due_key(frame, group, visit), due)
end

-- A loser that was never begun in this life cannot take its question back itself.
local function withdraw_losers(frame, group, visit, results)
  for _, step in ipairs(group.steps) do
    if not results[step.name] then require("weir.run.question").withdraw_parked(frame.run, key_of(frame, group, step, visit)) end
  end
end

-- Steps that a supervisor did not have begun again are what they were in the visit before.
local function without_kept(steps, kept, order, results)
  local left = {}
  for _, step in ipairs(steps) do
    local result = kept[step.name]
    if result then
      order[#order + 1], results[step.name] = result, result
    else
      left[#left + 1] = step
    end
  end
  return left
end

-- Side by side: a task for each step, in a scope that ends with the group. Those that are not needed any
-- more are cancelled the moment that is known, so that none of them commits anything after it. Once it is known
-- which steps counted, it is they that count again, whichever of the others had ended as well.
local function run_all(frame, group, visit, chosen, kept)
  local run, order, results, tasks = frame.run, {}, {}, {}
  local waiter = native.waiter()
  local steps = chosen_steps(group, chosen)
  if kept then steps = without_kept(steps, kept, order, results) end
  local left = #steps
  local is_done = DONE[chosen and "deadline" or group.join]
  local decided = false
  local function finished(result)
    left = left - 1
    if decided then return parking.left(run) end
    order[#order + 1] = result
    results[result.step.name] = result
    if left > 0 and not is_done(group, results, result) then return parking.left(run) end
    decided = true
    if left > 0 then cancel_others(tasks) end
    waiter:wake()
  end
  if left == 0 then return order, results end
  local of_frame = { __index = frame }
  if run.journal then frame.sync = { lsn = run.engine.store:lsn(), prefix = frame.prefix, group = group.name, visit = visit } end
  local due_ms = deadline_of(frame, group, visit)
  local limit_key = due_ms and due_key(frame, group, visit)
  if due_ms then parking.limit(run, limit_key, due_ms) end
  local ok, err = task.within({}, function()
    for index, step in ipairs(steps) do
      local key = key_of(frame, group, step, visit)
      local branch = group.join ~= "all" and key or nil
      if step.lane then
        tasks[index] = native.start({ lane = step.lane }, run_side, of_frame, step, key, finished, branch)
      else
        tasks[index] = native.spawn(run_side, of_frame, step, key, finished, branch)
      end
    end
    parking.aside(run, left)
    waiter:wait("the steps of a group", due_ms and math.max(TURN, (due_ms - clock.wall_ms()) / 1000))
    if decided then return end
    decided = true
    parking.back(run)
    cancel_others(tasks)
  end)
  if due_ms and not run.interrupted then parking.limit(run, limit_key, nil) end -- else it is to wake the run
  frame.sync = nil
  if ok then
    if run.parked_on and #order < #group.steps then withdraw_losers(frame, group, visit, results) end
    return order, results
  end
  if not decided then parking.back(run) end
  error(err, 0)
end

local function run_single(frame, group, visit)
  local step = group.steps[1]
  local result = run_one(frame, step, key_of(frame, group, step, visit))
  return { result }, { [step.name] = result }
end

local function publish(frame, order)
  local data = frame.data
  for _, result in ipairs(order) do
    if result.status == "finished" then
      data[result.step.name] = result.value
    else
      data[result.step.name] = nil
    end
  end
end

-- A cancellation from outside goes on; whatever else happened is the group's outcome.
local function stop_if_cancelled(order)
  local code, reason = native.cancelled()
  if not code then return end
  error(cancelled_error(order) or failure.new(code, reason), 0)
end

--- Runs one visit of a group. Waits. Raises when the run is cancelled or stopped.
---@param frame table
---@param group table of the plan
---@param visit integer from 1
---@param kept table<string, table>|nil outcomes of the visit before that stand, by the name of their step
---@return table|nil err       why the group failed
---@return table[] order       outcomes in the order in which they came: {step, status, value, label}
function M.run(frame, group, visit, kept)
  frame.visit = visit
  connect(frame, group, visit)
  local order, results
  if group.is_single then
    order, results = run_single(frame, group, visit)
    if native.cancelled() then stop_if_cancelled(order) end
  else
    local chosen = group.join ~= "all" and recorded_choice(frame, joined_key(frame, group, visit)) or nil
    order, results = run_all(frame, group, visit, chosen, kept)
    stop_if_cancelled(order)
    if chosen then
      order = in_chosen_order(results, chosen)
    elseif group.join ~= "all" then
      keep_choice(frame, group, visit, order)
    end
    if group.join ~= "all" then undo_others(frame, group, visit, order) end
  end
  publish(frame, order)
  return VERDICT[group.join](group, order, results), order
end

-- Where next -------------------------------------------------------------------------------------

local function label_of(group, order)
  local label
  for _, result in ipairs(order) do
    local emits = result.label ~= nil and (group.branch.on == nil or group.branch.on == result.step.name)
    if emits then
      if label ~= nil and group.branch.on == nil then
        failure.raise("invalid", "group '%s': more than one step emitted a branch label; name the one with branch.on", group.name)
      end
      label = result.label
    end
  end
  return label
end

local function target_of(group, label, index)
  local branch = group.branch
  if label == nil then return branch.default, false end
  label = tostring(label)
  local case = branch.cases and branch.cases[label]
  if case then return case end
  if not branch.cases and (label == "end" or index[label]) then return label end
  if branch.default then return branch.default end
  failure.raise("invalid", "group '%s': the branch label '%s' leads to no group%s", group.name, label,
    branch.cases and " of its cases and there is no default" or "")
end

--- The name of the group that follows, `end`, or nil for the next in order.
---@param group table
---@param order table[]
---@param index table<string, integer> groups of the body by name
function M.next(group, order, index)
  if not group.branch then return nil end
  return (target_of(group, label_of(group, order), index))
end

local function fail_in(frame, group, err)
  if frame.run.listener then frame.run:notify { kind = "group", group = frame.prefix .. group.name, status = "failed" } end
  error(err, 0)
end

local function enter(group, visits)
  local visit = (visits[group.name] or 0) + 1
  visits[group.name] = visit
  if visit > group.max_visits then
    failure.raise("limit", "group '%s' was entered more than %d times; raise branch.max_visits if that is meant",
      group.name, group.max_visits)
  end
  return visit
end

local function has_past(frame)
  local journal = frame.run.journal
  return journal and journal.has_past
end

-- A visit of which all is known already goes by without being done again: its outcomes, in the order in which
-- they came, are all that the body needs.
local function recorded_visit(frame, group, visit)
  local chosen = group.join ~= "all" and recorded_choice(frame, joined_key(frame, group, visit))
  if group.join ~= "all" and not group.is_single and not chosen then return nil end
  local order, results = {}, {}
  for _, step in ipairs(chosen_steps(group, chosen)) do
    local status, value, label, n = step_runner.recorded(frame, key_of(frame, group, step, visit), step)
    if not status then return nil end
    order[#order + 1] = { step = step, status = status, value = value, label = label, n = n }
    results[step.name] = order[#order]
  end
  if chosen then return in_chosen_order(results, chosen) end
  table.sort(order, function(a, b) return a.n < b.n end)
  return order
end

local function join_recorded(frame, group, visit)
  local order = has_past(frame) and recorded_visit(frame, group, visit)
  if not order then return nil end
  local results = {}
  for _, result in ipairs(order) do results[result.step.name] = result end
  publish(frame, order)
  if group.join ~= "all" and not group.is_single then undo_others(frame, group, visit, order) end
  return VERDICT[group.join](group, order, results), order
end

-- The common case, with nothing made that is not needed: one step, no branch, no stream.
local function run_plain(frame, group)
  local step = group.steps[1]
  local key = step.key
  if frame.prefix ~= "" then key = frame.prefix .. key end
  local status, value
  if has_past(frame) then status, value = step_runner.recorded(frame, key, step) end
  if not status then status, value = step_runner.run(frame, step, key) end
  if status == "finished" then
    frame.data[step.name] = value
    return value
  end
  frame.data[step.name] = nil
  if status == "skipped" then return nil end
  local code, reason = native.cancelled()
  if code then error(value or failure.new(code, reason), 0) end
  if status == "failed" and not step.optional then fail_in(frame, group, value) end
  return nil
end

-- The group has joined; a person lets the next one begin. Returns the error of a gate that stays shut.
local function pass_gate(frame, group, visit)
  local key = ("%s%s%s/(gate)"):format(frame.prefix, group.name, visit == 1 and "" or "#" .. visit)
  local status, value = step_runner.run(frame, group.gate, key)
  if status == "cancelled" then error(value, 0) end
  return status == "failed" and value or nil
end

local function stands(result, names)
  return not names[result.step.name] and (result.status == "finished" or result.status == "skipped")
end

-- Which outcomes of a group stand when a supervisor has some of its steps begin again: those of streams are one another's.
local function kept_of(strategy, group, order, failed)
  if strategy ~= "rest_for_one" or group.join ~= "all" or group.has_streams or group.is_single then return nil end
  local children, names, kept = {}, {}, {}
  for index, step in ipairs(group.steps) do children[index] = step.name end
  for _, name in ipairs(require("weir.healing.tree").restarted(strategy, children, failed)) do names[name] = true end
  for _, result in ipairs(order) do
    if stands(result, names) then kept[result.step.name] = result end
  end
  return kept
end

-- Where the run goes on from, as a supervisor has decided over the step that failed: the decision is part of its outcome.
local function restarted(frame, body, group, err, order)
  local restart = err.healing and err.healing.restart
  if not restart then return nil end
  local target = restart.from or group.name
  if not body.index[target] then return nil end -- of a body around this one
  frame.data.error = nil
  for _, result in ipairs(order) do
    local is_it = result.status == "failed" and result.value.healing and result.value.healing.incident == err.healing.incident
    if is_it and not restart.from then return target, kept_of(restart.strategy, group, order, result.step.name) end
  end
  return target
end

local function run_visit(frame, body, group, visits, kept)
  local visit = enter(group, visits)
  local err, order = join_recorded(frame, group, visit)
  if not order then err, order = M.run(frame, group, visit, kept) end
  if not err and group.gate then err = pass_gate(frame, group, visit) end
  if err then
    local again, kept_now = restarted(frame, body, group, err, order)
    if again then return again, order, kept_now end
    local target = group.branch and group.branch.failed
    if not target then fail_in(frame, group, err) end
    frame.data.error = { code = err.code, message = err.message, step = err.step }
    return target, order
  end
  return M.next(group, order, body.index), order
end

-- One body: its groups in order, or as their branches say. Returns the last group and its outcomes.
local function run_body(frame, body)
  local groups, index = body.groups, body.index
  local visits = (body.branches or frame.run.is_supervised) and {} or nil
  local position, order, group, kept = 1, nil, nil, nil
  while position <= #groups do
    group = groups[position]
    if group.is_plain and not visits then
      run_plain(frame, group)
      position = position + 1
    else
      local target
      target, order, kept = run_visit(frame, body, group, visits or {}, kept)
      if target == "end" then break end
      position = target and index[target] or position + 1
    end
  end
  return group, order
end

-- A last step without an output, skipped or of a failure that is allowed, leaves null: an output is a value.
local function default_output(frame, group, order)
  if not group then return {} end
  local single = #group.steps == 1 and group.steps[1]
  if single then
    local value = frame.data[single.name]
    if value == nil then return json.null end
    return value
  end
  local outputs = {}
  for _, result in ipairs(order) do
    if result.status == "finished" then outputs[result.step.name] = result.value end
  end
  return outputs
end

--- Runs a body and gives its output. Waits. Raises the error of the group that failed.
---@param frame table
---@param body table of the plan: {groups, index, output}
---@return any
function M.output_of(frame, body)
  local group, order = run_body(frame, body)
  if not body.output then return default_output(frame, group, order) end
  local value, message, code = body.output(frame.data)
  if value == nil and message then failure.raise(code or "invalid", "output: %s", message) end
  return or_null(value) -- a path that need not find anything has found nothing
end

return M
