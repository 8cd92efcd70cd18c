--- What the schema cannot say of a definition: names that exist, paths that can find something,
--- branches that lead somewhere, conditions, text and durations that parse, options that fit what the
--- module declares. All errors at once. Pure; never yields.

local condition = require "weir.condition"
local duration = require "weir.duration"
local json = require "weir.native.json"
local normal = require "weir.definition.normal"
local path = require "weir.path"
local schema = require "weir.schema"
local scope = require "weir.definition.scope"
local suggest = require "weir.suggest"
local value_of = require "weir.value"

local M = {}

local Checker = {}
Checker.__index = Checker

local WATCHERS = { "command", "event", "feed", "files", "schedule", "webhook" }

local function below(keys, ...)
  local result = table.move(keys, 1, #keys, 1, {})
  for _, key in ipairs { ... } do result[#result + 1] = key end
  return result
end

local function refuse(self, keys, what, extra)
  self.errors[#self.errors + 1] = normal.error_at(self.root, keys, what, self.sources, extra)
end

local function refuse_plainly(self, keys, what, code, meant)
  refuse(self, keys, what, { plain = true, code = code, did_you_mean = meant })
end

-- Names of modules and pipelines -----------------------------------------------------------------

-- The caller's lookup gives the declaration; or nil and the names it knows; or nil alone where it
-- cannot tell, and then nothing is said.
local function find(self, kinds, name, keys)
  if not self.lookup or type(name) ~= "string" then return nil end
  local known = {}
  for _, kind in ipairs(kinds) do
    local declared, names = self.lookup(kind, name)
    if declared then return declared end
    if not names then return nil end
    table.move(names, 1, #names, #known + 1, known)
  end
  local what = ("%s '%s' is unknown"):format(kinds[1], name)
  if #known == 0 then what = what .. (", and no %s is registered"):format(kinds[1]) end
  refuse_plainly(self, keys, what, "not_found", suggest.nearest(name, known))
  return nil
end

local function validator(self, declared)
  local ready = self.validators[declared]
  if ready then return ready end
  local whole = schema.object(declared.options or {})
  ready = whole and schema.compile(whole)
  self.validators[declared] = ready
  return ready
end

-- A module's own mistake in its options is told when the module is loaded, not here.
local function check_options(self, declared, options, keys)
  local validate = declared and validator(self, declared)
  if not validate then return end
  local fits, errors = validate(scope.union(declared.defaults or {}, options or {}))
  for _, entry in ipairs(fits and {} or errors) do
    refuse(self, below(keys, table.unpack(entry.keys)), entry.what, { did_you_mean = entry.did_you_mean })
  end
end

local function check_use(self, kinds, use, keys)
  if not use then return end
  local declared = find(self, kinds, use.use, below(keys, "use"))
  check_options(self, declared, use.options, below(keys, "options"))
end

local function check_agent(self, holder, keys)
  if not holder then return end
  local declared = find(self, { "agent" }, holder.agent, below(keys, "agent"))
  check_options(self, declared, holder.options, below(keys, "options"))
end

local function find_each(self, kind, names, keys)
  for index, name in ipairs(names or {}) do find(self, { kind }, name, below(keys, index - 1)) end
end

-- Paths, conditions, text, durations -------------------------------------------------------------

local function why_unseen(self, name, place)
  if name == place.itself then return "is this step's own output and not there yet" end
  if place.beside[name] then return "runs beside it; a path sees only what ran in the groups before" end
  if self.all_steps[name] then return "does not run before it, or is inside another step" end
  return "is no step here"
end

local function check_references(self, references, keys, place)
  for _, reference in ipairs(references) do
    local name = reference.root
    if name and not place.seen[name] then
      local reason = why_unseen(self, name, place)
      local meant = suggest.nearest(name, value_of.names(place.seen))
      if self.all_steps[name] then meant = nil end
      local at = reference.at ~= "" and reference.at .. ": " or ""
      local what = ("%spath '%s' needs '%s', which %s"):format(at, reference.path, name, reason)
      refuse_plainly(self, keys, ("%s: %s"):format(keys[#keys], what), "not_found", meant)
    end
  end
end

local function check_value(self, value, keys, place)
  if value == nil then return end
  local evaluate, references = path.compile_value(value)
  if not evaluate then return refuse_plainly(self, keys, ("%s: %s"):format(keys[#keys], references)) end
  check_references(self, references, keys, place)
end

-- A condition on what is not StepData: only that it can be read is looked at.
local function check_text_of_condition(self, text, keys)
  if text == nil then return end
  local compiled, message = condition.compile(text)
  if compiled then return compiled end
  refuse_plainly(self, keys, ("%s: %s"):format(keys[#keys], message))
end

local function check_condition(self, text, keys, place)
  local compiled = check_text_of_condition(self, text, keys)
  if compiled then check_references(self, compiled.references, keys, place) end
end

local function check_duration(self, value, keys)
  if value == nil then return end
  local seconds, message = duration.parse(value)
  if not seconds then refuse_plainly(self, keys, ("%s: %s"):format(keys[#keys], message)) end
end

local function check_schema(self, value, keys)
  if value == nil then return end
  local compiled, message = schema.compile(value)
  if not compiled then refuse_plainly(self, keys, ("%s: %s"):format(keys[#keys], message)) end
end

-- Where a path stands: what it sees, and what runs beside it, for the message.
local function place_with(seen, beside, itself)
  return { seen = seen, beside = beside or {}, itself = itself }
end

-- Steps ------------------------------------------------------------------------------------------

local check_body, check_step

-- How much all whom `names` lets decide weigh together; without weights how many they are. A name that is no group is a
-- person; a person weighs what is said of them, or the most of what is said of their groups, or 1.
local function weight_of(self, names, weights)
  local seen, sum = {}, 0
  for _, name in ipairs(names) do
    for _, person in ipairs(self.lookup("group", name) or { name }) do
      local weight = weights[person]
      for group, of_group in pairs(weight and {} or weights) do
        for _, member in ipairs(self.lookup("group", group) or {}) do
          if member == person then weight = math.max(weight or 0, of_group) end
        end
      end
      sum, seen[person] = sum + (seen[person] and 0 or weight or 1), true
    end
  end
  return sum
end

local function everybody(approval)
  local names = table.move(approval.who, 1, #approval.who, 1, {})
  for _, rung in ipairs(approval.escalate or {}) do table.move(rung.to, 1, #rung.to, #names + 1, names) end
  return names
end

local function check_quorum(self, approval, keys)
  if not self.lookup or not approval.quorum or not approval.who then return end
  local weights = type(approval.quorum) == "table" and approval.quorum.weights or {}
  local needed = type(approval.quorum) == "table" and approval.quorum.weight or approval.quorum
  local there = weight_of(self, everybody(approval), weights)
  if there < needed then
    local what = type(approval.quorum) == "table" and "is %d, but all whom 'who' names weigh only %d" or "is %d, but 'who' names only %d"
    refuse(self, below(keys, "quorum"), what:format(needed, there))
  end
end

-- Its zone, its hours and its calendar are read as they will be.
local function check_working(self, given, keys)
  if not given then return end
  local working = require "weir.schedule.working"
  local ok, err = pcall(working.read, given, self.lookup and self.lookup "calendars" or nil)
  if not ok then refuse_plainly(self, keys, err.message, "invalid") end
end

local function check_ladder(self, approval, timeout, keys)
  for index, text in ipairs(type(approval.remind) == "table" and approval.remind or { approval.remind }) do
    check_duration(self, text, type(approval.remind) == "table" and below(keys, "remind", index - 1) or below(keys, "remind"))
    local seconds = duration.parse(text)
    if seconds and seconds < 1 then refuse(self, below(keys, "remind"), "is less than a second") end
  end
  local last = 0
  for index, rung in ipairs(approval.escalate or {}) do
    local rung_keys = below(keys, "escalate", index - 1)
    check_duration(self, rung.after, below(rung_keys, "after"))
    local seconds = rung.after ~= nil and duration.parse(rung.after)
    if seconds and seconds < last then refuse(self, below(rung_keys, "after"), "comes before the rung above it") end
    if rung.after == nil and approval.on_timeout ~= "escalate" then
      refuse(self, below(rung_keys, "after"), "is missing: when are they asked, or on_timeout: escalate")
    end
    last = seconds or last
  end
  if approval.on_timeout == "escalate" and not (approval.escalate and timeout ~= nil) then
    refuse(self, below(keys, "on_timeout"), "is escalate: that needs 'escalate', who is asked then, and a timeout")
  end
end

local function check_approval(self, approval, keys, place, timeout)
  if not approval then return end
  check_value(self, approval.title, below(keys, "title"), place)
  check_value(self, approval.show, below(keys, "show"), place)
  check_schema(self, approval.form, below(keys, "form"))
  check_duration(self, approval.timeout, below(keys, "timeout"))
  check_quorum(self, approval, keys)
  check_ladder(self, approval, timeout or approval.timeout, keys)
  check_working(self, approval.working, below(keys, "working"))
  if approval.precondition then
    check_agent(self, approval.precondition, below(keys, "precondition"))
    check_value(self, approval.precondition.input, below(keys, "precondition", "input"), place)
  end
end

local function check_wait(self, wait, keys, place)
  if not wait then return end
  check_value(self, wait.signal, below(keys, "signal"), place)
  check_value(self, wait.event, below(keys, "event"), place)
  check_condition(self, wait.match, below(keys, "match"), place)
  for _, name in ipairs { "any", "all", "of" } do
    for index, inner in ipairs(wait[name] or {}) do check_wait(self, inner, below(keys, name, index - 1), place) end
  end
  if wait.of and wait.at_least > #wait.of then
    refuse(self, below(keys, "at_least"), ("is %d, but 'of' has only %d"):format(wait.at_least, #wait.of))
  end
end

local function check_sleep(self, sleep, keys, place)
  if sleep == nil then return end
  if type(sleep) == "table" then
    check_value(self, sleep["until"], below(keys, "until"), place)
  elseif type(sleep) == "string" and sleep:sub(1, 1) == "$" then
    check_value(self, sleep, keys, place)
  else
    check_duration(self, sleep, keys)
  end
end

-- `around`: the names that a body's steps may not bear, as they are those of what surrounds it.
local function check_map(self, map, keys, place, around, from)
  if not map then return end
  if map.over == nil and not from then
    refuse(self, below(keys, "over"), "is missing: a map goes over a list, or over what it reads `from` another step")
  end
  if map.hedge ~= "p95" then check_duration(self, map.hedge, below(keys, "hedge")) end
  check_duration(self, map.memo, below(keys, "memo"))
  if map.memo and not map.each.agent then
    refuse_plainly(self, below(keys, "memo"), "memo: outputs are remembered where each item is an agent's step")
  end
  check_value(self, map.over, below(keys, "over"), place)
  check_agent(self, map.chunk, below(keys, "chunk"))
  check_agent(self, map.reduce, below(keys, "reduce"))
  local limits = map.concurrency
  if type(limits) == "table" and limits.min and limits.max and limits.min > limits.max then
    refuse(self, below(keys, "concurrency"), ("has min %d above max %d"):format(limits.min, limits.max))
  end
  local seen = scope.union(place.seen, { item = true, index = true })
  local body = map.each.groups and scope.steps(map.each.groups) or {}
  body[map.each.name] = true
  check_condition(self, map["until"], below(keys, "until"), place_with(scope.union(seen, body)))
  local inner = place_with(seen, {}, map.each.name)
  -- A body of several steps is called `each` by whoever names none: nothing in it or around it is hidden by that name.
  if map.each.groups and map.each.name == "each" then return check_step(self, map.each, below(keys, "each"), inner, {}, around) end
  check_step(self, map.each, below(keys, "each"), inner, around, scope.union(around, { [map.each.name] = true }))
end

local function check_speculate(self, speculate, keys, place, around)
  if not speculate then return end
  check_use(self, { "judge", "critic" }, speculate.judge, below(keys, "judge"))
  local join = speculate.join
  if not speculate.judge and (join == "best" or speculate.halve) then
    refuse_plainly(self, below(keys, "judge"), "judge is missing: without one nothing tells which branch is better")
  end
  if type(join) == "table" and join.at_least and join.at_least > #speculate.branches then
    local what = ("is %d, but there are %d branches"):format(join.at_least, #speculate.branches)
    refuse(self, below(keys, "join", "at_least"), what)
  end
  if type(join) == "table" then check_duration(self, join.deadline, below(keys, "join", "deadline")) end
  if speculate.hedge ~= "p95" then check_duration(self, speculate.hedge, below(keys, "hedge")) end
  local beside, names = {}, {}
  for _, branch in ipairs(speculate.branches) do beside[branch.name] = true end
  for index, branch in ipairs(speculate.branches) do
    local branch_keys = below(keys, "branches", index - 1)
    if names[branch.name] then
      refuse(self, below(branch_keys, "name"), ("'%s' is taken by another branch"):format(branch.name))
    end
    names[branch.name] = true
    local branch_place = place_with(place.seen, beside, branch.name)
    check_step(self, branch, branch_keys, branch_place, around, scope.union(around, beside))
  end
end

local function check_plan(self, plan, keys, place)
  if not plan then return end
  check_value(self, plan.goal, below(keys, "goal"), place)
  check_use(self, { "planner" }, plan.planner, below(keys, "planner"))
  find_each(self, "agent", plan.agents, below(keys, "agents"))
  if type(plan.sign_off) == "table" then check_approval(self, plan.sign_off, below(keys, "sign_off"), place) end
end

local function check_model(self, model, keys)
  if model == nil then return end
  if type(model) == "string" then return find(self, { "model" }, model, keys) end
  for index, name in ipairs(model.candidates or {}) do -- one with a question mark need not be there
    if not name:find "%?$" then find(self, { "model" }, name, below(keys, "candidates", index - 1)) end
  end
  check_use(self, { "policy" }, model.policy and { use = model.policy, options = model.options }, keys)
end

local function check_panel(self, critic, keys)
  local weight = 0
  for _, use in ipairs(critic.use) do weight = weight + (use.weight or 1) end
  if critic.quorum and critic.quorum > weight then
    refuse(self, below(keys, "quorum"), weight == #critic.use and ("is %g, but there are %d critics"):format(critic.quorum, #critic.use)
      or ("is %g, but all critics weigh %g together"):format(critic.quorum, weight))
  end
  if critic.quorum then return end
  if critic.disagreement then
    refuse_plainly(self, below(keys, "disagreement"), "critic.disagreement is of a panel; say its quorum too")
  end
  for index, use in ipairs(critic.use) do
    for _, name in ipairs { "weight", "veto" } do
      if use[name] ~= nil then
        refuse_plainly(self, below(keys, "use", index - 1, name), ("critic.use: %s is for a panel; say its quorum too"):format(name))
      end
    end
  end
end

local function check_critic(self, critic, keys)
  if not critic then return end
  for index, use in ipairs(critic.use) do
    check_use(self, { "critic", "judge" }, use, below(keys, "use", index - 1))
    check_model(self, use.model, below(keys, "use", index - 1, "model"))
  end
  check_panel(self, critic, keys)
  if critic.ask then
    check_duration(self, critic.ask.timeout, below(keys, "ask", "timeout"))
    check_quorum(self, critic.ask, below(keys, "ask"))
  end
end

local function check_live(self, step, keys)
  if not step.critic or not step.critic.live or step.agent then return end
  refuse_plainly(self, below(keys, "critic", "live"), "critic.live: a live critic watches the stream of an agent, and this step has none")
end

local function check_times(self, step, keys)
  for _, name in ipairs { "timeout", "idle_timeout", "deadline", "cache" } do
    check_duration(self, step[name], below(keys, name))
  end
  for _, name in ipairs { "backoff", "max" } do
    check_duration(self, step.retry and step.retry[name], below(keys, "retry", name))
  end
end

-- Who settles the conflicts of a merge of texts.
local function check_arbiter(self, post, keys)
  find(self, { "agent" }, post.arbiter, below(keys, "arbiter"))
  if post.merge ~= "text" then
    refuse_plainly(self, below(keys, "arbiter"), "arbiter settles conflicts of texts; it needs merge: text", "invalid")
  end
end

-- What is read once the step has finished: its own output is there.
local function check_after(self, step, keys, place)
  if not (step.branch_label or step.undo or step.post) then return end
  local after = place_with(scope.union(place.seen, { [step.name] = true }), place.beside)
  check_value(self, step.branch_label, below(keys, "branch_label"), after)
  if step.undo then
    check_agent(self, step.undo, below(keys, "undo"))
    check_value(self, step.undo.input, below(keys, "undo", "input"), after)
  end
  local post = step.post
  if type(post) == "table" and post.arbiter then check_arbiter(self, post, below(keys, "post")) end
  check_value(self, type(post) == "table" and post.name or post, below(keys, "post"), after)
end

local function check_common(self, step, keys, place)
  check_value(self, step.input, below(keys, "input"), place)
  check_condition(self, step.when, below(keys, "when"), place)
  check_condition(self, step.approve_if, below(keys, "approve_if"), place)
  check_times(self, step, keys)
  check_critic(self, step.critic, below(keys, "critic"))
  check_live(self, step, keys)
  check_model(self, step.model, below(keys, "model"))
  for index, tool in ipairs(step.tools or {}) do
    find(self, { "tool" }, tool.use, below(keys, "tools", index - 1, "use"))
    check_text_of_condition(self, tool.approve_if, below(keys, "tools", index - 1, "approve_if"))
  end
  check_after(self, step, keys, place)
end

local function check_kind(self, step, keys, place, around)
  if step.agent then
    check_agent(self, step, keys)
  elseif step.options ~= nil then
    refuse_plainly(self, below(keys, "options"), "options belong to an agent, and this step has none")
  end
  if step.pipeline then find(self, { "pipeline" }, step.pipeline, below(keys, "pipeline")) end
  check_approval(self, step.approval, below(keys, "approval"), place, step.timeout)
  check_wait(self, step.wait, below(keys, "wait"), place)
  check_sleep(self, step.sleep, below(keys, "sleep"), place)
  check_map(self, step.map, below(keys, "map"), place, around, step.from)
  check_speculate(self, step.speculate, below(keys, "speculate"), place, around)
  check_plan(self, step.plan, below(keys, "plan"), place)
  if step.groups then
    local seen = check_body(self, step.groups, below(keys, "groups"), place.seen, around)
    check_value(self, step.output, below(keys, "output"), place_with(seen))
  end
end

local function check_name(self, step, keys, around)
  if scope.reserved[step.name] then
    local what = ("'%s' is a name that weir itself uses in paths; choose another"):format(step.name)
    refuse_plainly(self, below(keys, "name"), what)
  elseif around[step.name] then
    local what = ("the name '%s' is taken by a step around it; choose another"):format(step.name)
    refuse_plainly(self, below(keys, "name"), what)
  end
end

-- `around`: names that the step itself may not bear; `inside`: names that its body may not.
function check_step(self, step, keys, place, around, inside)
  check_name(self, step, keys, around)
  check_common(self, step, keys, place)
  check_kind(self, step, keys, place, inside)
end

-- Groups -----------------------------------------------------------------------------------------

local function check_from(self, group, keys)
  local known = {}
  for _, step in ipairs(group.steps) do known[step.name] = true end
  for index, step in ipairs(group.steps) do
    for _, name in ipairs(step.from and (step.from.steps or step.from) or {}) do
      if not known[name] then
        local what = ("from: '%s' is no step of this group"):format(name)
        local meant = suggest.nearest(name, value_of.names(known))
        refuse_plainly(self, below(keys, "steps", index - 1, "from"), what, "not_found", meant)
      end
    end
  end
  local circle = scope.circle(group.steps)
  if circle then
    refuse_plainly(self, keys, ("the steps read from one another in a circle: %s"):format(table.concat(circle, " <- ")))
  end
end

local function check_target(self, name, group_names, keys)
  if name == nil or name == "end" or group_names[name] then return end
  local names = value_of.names(group_names)
  names[#names + 1] = "end"
  local what = ("branch leads to '%s', which is no group here"):format(name)
  refuse_plainly(self, keys, what, "not_found", suggest.nearest(name, names))
end

local function check_branch(self, group, keys, group_names)
  local branch = group.branch
  if not branch then return end
  local known = scope.steps { group }
  if branch.on and not known[branch.on] then
    local what = ("branch.on: '%s' is no step of this group"):format(branch.on)
    local meant = suggest.nearest(branch.on, value_of.names(known))
    refuse_plainly(self, below(keys, "branch", "on"), what, "not_found", meant)
  end
  for _, label in ipairs(value_of.names(branch.cases or {})) do
    check_target(self, branch.cases[label], group_names, below(keys, "branch", "cases", label))
  end
  check_target(self, branch.default, group_names, below(keys, "branch", "default"))
  check_target(self, branch.failed, group_names, below(keys, "branch", "failed"))
end

local function check_join(self, group, keys)
  local join = group.join
  if type(join) ~= "table" then return end
  if join.at_least and join.at_least > #group.steps then
    local what = ("is %d, but the group has %d steps"):format(join.at_least, #group.steps)
    refuse(self, below(keys, "join", "at_least"), what)
  end
  check_duration(self, join.deadline, below(keys, "join", "deadline"))
end

local function check_names(self, groups, keys)
  local group_names, step_names = {}, {}
  for index, group in ipairs(groups) do
    local group_keys = below(keys, index - 1)
    if group.name == "end" then
      refuse_plainly(self, below(group_keys, "name"), "'end' is where a branch ends the run; choose another name")
    elseif group_names[group.name] then
      refuse_plainly(self, below(group_keys, "name"), ("the name '%s' is taken by another group"):format(group.name))
    end
    group_names[group.name] = true
    for position, step in ipairs(group.steps) do
      local taken = step_names[step.name]
      -- Of two bare steps of one name the groups have been told.
      local is_told = taken and taken == "alone" and #group.steps == 1 and step.name == group.name
      if taken and not is_told then
        local what = ("the name '%s' is taken by another step"):format(step.name)
        refuse_plainly(self, below(group_keys, "steps", position - 1, "name"), what)
      end
      step_names[step.name] = #group.steps == 1 and step.name == group.name and "alone" or "several"
    end
  end
  return group_names, step_names
end

-- Checks a sequence of groups; gives what a path sees after them.
function check_body(self, groups, keys, outer, around)
  local group_names, step_names = check_names(self, groups, keys)
  local inside, seen_by = scope.union(around, step_names), scope.seen(groups, outer)
  for index, group in ipairs(groups) do
    local group_keys = below(keys, index - 1)
    local seen, beside = seen_by(index), scope.steps { group }
    for position, step in ipairs(group.steps) do
      local place = place_with(seen, beside, step.name)
      check_step(self, step, below(group_keys, "steps", position - 1), place, around, inside)
    end
    check_from(self, group, group_keys)
    check_branch(self, group, group_keys, group_names)
    check_join(self, group, group_keys)
    if group.gate then
      check_approval(self, group.gate, below(group_keys, "gate"), place_with(scope.union(seen, beside)))
    end
  end
  return scope.union(outer, step_names)
end

-- The top ----------------------------------------------------------------------------------------

local function watcher_of(trigger)
  local names = {}
  for _, name in ipairs(value_of.names(trigger)) do
    if not M.trigger_fields[name] then names[#names + 1] = name end
  end
  return names
end

local function is_built_in(name)
  for _, known in ipairs(WATCHERS) do
    if known == name then return true end
  end
  return false
end

-- The pipeline that is to have finished.
local function check_absent(self, absent, keys)
  local name = type(absent) == "table" and absent.pipeline or absent
  if type(name) ~= "string" or not self.lookup then return end
  local found, known = self.lookup("pipeline", name)
  if found or not known then return end
  refuse_plainly(self, keys, ("pipeline '%s' is unknown"):format(name), "not_found", suggest.nearest(name, known))
end

-- Its time zone and its pattern are read as they will be; a calendar by name is one of the settings.
local function check_schedule(self, trigger, keys)
  local rule = require "weir.schedule.rule"
  local calendars = self.lookup and self.lookup "calendars" or nil
  local ok, message, field = rule.check(trigger.schedule, calendars)
  if not ok then refuse_plainly(self, field and below(keys, "schedule", field) or below(keys, "schedule"), message) end
  check_absent(self, trigger.schedule.absent, below(keys, "schedule", "absent"))
  local misplaced = rule.misplaced(trigger)
  if misplaced then
    refuse_plainly(self, below(keys, misplaced), ("'%s' is for events; a schedule says 'overlap' and 'missed' instead"):format(misplaced))
  end
end

local function check_watcher(self, name, options, keys)
  local declared, known = nil, nil
  if self.lookup then declared, known = self.lookup("watcher", name) end
  if declared then
    if declared.options then check_options(self, declared, options, keys) end
  elseif known and not is_built_in(name) then
    local all = table.move(known, 1, #known, #WATCHERS + 1, { table.unpack(WATCHERS) })
    local meant = suggest.nearest(name, all)
    refuse_plainly(self, keys, ("watcher '%s' is unknown"):format(name), "not_found", meant)
  end
end

local PER_KEY = { "dedupe", "debounce", "throttle", "batch" }

local function check_per_key(self, value, keys, place)
  if type(value) == "string" then return check_duration(self, value, keys) end
  if type(value) ~= "table" then return end
  for _, name in ipairs { "for", "per", "max" } do check_duration(self, value[name], below(keys, name)) end
  check_value(self, value.key, below(keys, "key"), place)
end

local function check_trigger(self, trigger, keys)
  local names = watcher_of(trigger)
  if names[1] == "schedule" and #names == 1 then
    check_schedule(self, trigger, keys)
  elseif #names == 1 then
    check_watcher(self, names[1], trigger[names[1]], below(keys, names[1]))
  else
    local got = #names == 0 and "has none" or "has " .. table.concat(names, " and ")
    local what = "a trigger names one watcher, such as files, schedule or webhook; this one %s"
    refuse_plainly(self, keys, what:format(got))
  end
  local place = place_with { event = true, run = true }
  check_value(self, trigger.input, below(keys, "input"), place)
  check_condition(self, trigger.filter, below(keys, "filter"), place)
  check_value(self, trigger.key, below(keys, "key"), place)
  if type(trigger.singleton) == "string" then check_value(self, trigger.singleton, below(keys, "singleton"), place) end
  for _, name in ipairs(PER_KEY) do check_per_key(self, trigger[name], below(keys, name), place) end
  if trigger.debounce and trigger.batch then
    refuse_plainly(self, below(keys, "batch"), "a trigger has 'debounce' or 'batch', not both: each holds events back in its own way")
  end
end

local METRIC_ROOTS = { output = true, input = true, usage = true }

local function check_metric(self, metric)
  local keys = { "reflect", "metric" }
  if metric == nil then
    local what = "metric is missing: a path such as $.output.score, or a critic that scores; without it nothing tells what is better"
    return refuse_plainly(self, keys, what)
  end
  if type(metric) == "table" then return check_use(self, { "critic", "judge" }, metric, keys) end
  local compiled, message = path.compile(metric)
  if not compiled then return refuse_plainly(self, keys, "metric: " .. message) end
  if not METRIC_ROOTS[compiled.root] then
    refuse_plainly(self, keys, ("metric: path '%s' has to begin with $.output, $.input or $.usage"):format(metric))
  end
end

-- What a reflection may not change are steps and groups that there are.
local function check_protect(self, names)
  for index, name in ipairs(names or {}) do
    if not self.all_steps[name] and not self.all_groups[name] then
      local known = scope.union(self.all_steps, self.all_groups)
      refuse_plainly(self, { "reflect", "protect", index - 1 }, ("protect: '%s' is no step or group here"):format(name), "not_found",
        suggest.nearest(name, value_of.names(known)))
    end
  end
end

local function check_examples(self, examples, input)
  local validate = examples and input and schema.compile(input)
  for index, example in ipairs(validate and examples or {}) do
    local fits, errors = validate(schema.defaults(input, example), "input")
    if not fits then
      refuse_plainly(self, { "reflect", "examples", index - 1 }, ("examples: the pipeline does not take it: %s"):format(errors[1].message))
    end
  end
end

local function check_reflect(self, reflect)
  if not reflect then return end
  check_use(self, { "reflection" }, reflect, { "reflect" })
  if not self.root.groups then
    refuse_plainly(self, { "reflect" }, "a flow is a program, which no patch can change: reflect is for declared pipelines")
  end
  check_metric(self, reflect.metric)
  check_protect(self, reflect.protect)
  check_examples(self, reflect.examples, self.root.input)
end

local function check_top(self, data)
  check_schema(self, data.input, { "input" })
  for index, trigger in ipairs(data.on or {}) do check_trigger(self, trigger, { "on", index - 1 }) end
  for index, use in ipairs(data.supervise or {}) do
    check_use(self, { "supervisor" }, use, { "supervise", index - 1 })
  end
  check_reflect(self, data.reflect)
  check_duration(self, data.retention, { "retention" })
  if data.queue then
    check_use(self, { "policy" }, data.queue.policy, { "queue", "policy" })
    local place = place_with { input = true, event = true, run = true }
    check_value(self, data.queue.key, { "queue", "key" }, place)
    if type(data.queue.priority) == "string" then check_value(self, data.queue.priority, { "queue", "priority" }, place) end
  end
end

local function note_steps(value, names)
  if type(value) ~= "table" then return end
  for key, inner in pairs(value) do
    if (key == "steps" or key == "branches") and json.is_list(inner) then
      for _, step in ipairs(inner) do
        if type(step) == "table" and type(step.name) == "string" then names[step.name] = true end
      end
    elseif key == "each" and type(inner) == "table" and type(inner.name) == "string" then
      names[inner.name] = true
    end
    if key == "groups" or type(key) == "number" or key == "steps" or key == "map" or key == "speculate" or key == "each"
      or key == "branches" then
      note_steps(inner, names)
    end
  end
end

local function note_groups(groups, names)
  for _, group in ipairs(type(groups) == "table" and groups or {}) do
    if type(group) == "table" and type(group.name) == "string" then names[group.name] = true end
  end
end

local function by_place(a, b)
  if (a.line or 0) ~= (b.line or 0) then return (a.line or 0) < (b.line or 0) end
  return (a.column or 0) < (b.column or 0)
end

M.trigger_fields = require("weir.definition.form").is_trigger_field

---@alias weir.Lookup fun(kind: string, name: string): table|nil, string[]|nil

--- Checks a normal form that fits its schema.
---@param data table  the normal form
---@param sources weir.Sources
---@param options? { modules: weir.Lookup?, flow: boolean? }  modules(kind, name) gives the module's
---   declaration ({options, defaults}: defaults are options that the host sets); or nil and all names of
---   that kind; or nil alone where it cannot tell. Kinds: agent, critic, judge, planner, policy,
---   supervisor, reflection, watcher, model, tool, pipeline; and group, which gives the people in it.
---   Without `modules` names are not checked.
---@return weir.DefinitionError[]  in order of lines; empty if all is well
function M.check(data, sources, options)
  local self = setmetatable({ root = data, sources = sources, errors = {}, all_steps = {}, all_groups = {}, validators = {} }, Checker)
  self.lookup = options and options.modules
  note_steps(data, self.all_steps)
  note_groups(data.groups, self.all_groups)
  check_top(self, data)
  if data.groups then
    local outer = {}
    for _, name in ipairs(scope.roots) do outer[name] = true end
    local seen = check_body(self, data.groups, { "groups" }, outer, {})
    check_value(self, data.output, { "output" }, place_with(seen))
  elseif not (options and options.flow) then
    refuse_plainly(self, {}, "a pipeline needs groups of steps")
  end
  M.sort(self.errors)
  return self.errors
end

--- Sorts errors by their place, those of one place in the order they were found.
---@param errors weir.DefinitionError[]
function M.sort(errors)
  local position = {}
  for index, entry in ipairs(errors) do position[entry] = index end
  table.sort(errors, function(a, b)
    if by_place(a, b) then return true end
    if by_place(b, a) then return false end
    return position[a] < position[b]
  end)
end

--- One line for a person: `pipelines/x.lua:12: step 'write': agent 'sumarize' is unknown; did you mean
--- 'summarize'?`
---@param entry weir.DefinitionError
---@return string
function M.format(entry)
  local place = (entry.file or "") .. (entry.line and ":" .. entry.line or "")
  local hint = entry.did_you_mean and ("; did you mean '%s'?"):format(entry.did_you_mean) or ""
  return (place ~= "" and place .. ": " or "") .. entry.message .. hint
end

return M
