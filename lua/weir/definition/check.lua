--- What the schema cannot say of a definition: names that exist, paths that can find something,
--- branches that lead somewhere, conditions, text and durations that parse, options that fit what the
--- module declares. All errors at once. Pure; never yields.

local checker = require "weir.definition.checker"
local path = require "weir.path"
local schema = require "weir.schema"
local scope = require "weir.definition.scope"
local suggest = require "weir.suggest"
local value_of = require "weir.value"

local M = {}

local below = checker.below

-- Steps ------------------------------------------------------------------------------------------

local check_body, check_step

local function check_wait(self, wait, keys, place)
  if not wait then return end
  self:check_value(wait.signal, below(keys, "signal"), place)
  self:check_value(wait.event, below(keys, "event"), place)
  self:check_condition(wait.match, below(keys, "match"), place)
  for _, name in ipairs { "any", "all", "of" } do
    for index, inner in ipairs(wait[name] or {}) do check_wait(self, inner, below(keys, name, index - 1), place) end
  end
  if wait.of and wait.at_least > #wait.of then
    self:refuse(below(keys, "at_least"), ("is %d, but 'of' has only %d"):format(wait.at_least, #wait.of))
  end
end

local function check_sleep(self, sleep, keys, place)
  if sleep == nil then return end
  if type(sleep) == "table" then
    self:check_value(sleep["until"], below(keys, "until"), place)
  elseif type(sleep) == "string" and sleep:sub(1, 1) == "$" then
    self:check_value(sleep, keys, place)
  else
    self:check_duration(sleep, keys)
  end
end

-- `around`: the names that a body's steps may not bear, as they are those of what surrounds it.
local function check_map(self, map, keys, place, around, from)
  if not map then return end
  if map.over == nil and not from then
    self:refuse(below(keys, "over"), "is missing: a map goes over a list, or over what it reads `from` another step")
  end
  if map.hedge ~= "p95" then self:check_duration(map.hedge, below(keys, "hedge")) end
  self:check_duration(map.memo, below(keys, "memo"))
  if map.memo and not map.each.agent then
    self:refuse_plainly(below(keys, "memo"), "memo: outputs are remembered where each item is an agent's step")
  end
  self:check_value(map.over, below(keys, "over"), place)
  self:check_agent(map.chunk, below(keys, "chunk"))
  self:check_agent(map.reduce, below(keys, "reduce"))
  local limits = map.concurrency
  if type(limits) == "table" and limits.min and limits.max and limits.min > limits.max then
    self:refuse(below(keys, "concurrency"), ("has min %d above max %d"):format(limits.min, limits.max))
  end
  local seen = scope.union(place.seen, { item = true, index = true })
  local body = map.each.groups and scope.steps(map.each.groups) or {}
  body[map.each.name] = true
  self:check_condition(map["until"], below(keys, "until"), checker.place(scope.union(seen, body)))
  local inner = checker.place(seen, {}, map.each.name)
  -- A body of several steps is called `each` by whoever names none: nothing in it or around it is hidden by that name.
  if map.each.groups and map.each.name == "each" then return check_step(self, map.each, below(keys, "each"), inner, {}, around) end
  check_step(self, map.each, below(keys, "each"), inner, around, scope.union(around, { [map.each.name] = true }))
end

local function check_speculate(self, speculate, keys, place, around)
  if not speculate then return end
  self:check_use({ "judge", "critic" }, speculate.judge, below(keys, "judge"))
  local join = speculate.join
  if not speculate.judge and (join == "best" or speculate.halve) then
    self:refuse_plainly(below(keys, "judge"), "judge is missing: without one nothing tells which branch is better")
  end
  if type(join) == "table" and join.at_least and join.at_least > #speculate.branches then
    local what = ("is %d, but there are %d branches"):format(join.at_least, #speculate.branches)
    self:refuse(below(keys, "join", "at_least"), what)
  end
  if type(join) == "table" then self:check_duration(join.deadline, below(keys, "join", "deadline")) end
  if speculate.hedge ~= "p95" then self:check_duration(speculate.hedge, below(keys, "hedge")) end
  local beside, names = {}, {}
  for _, branch in ipairs(speculate.branches) do beside[branch.name] = true end
  for index, branch in ipairs(speculate.branches) do
    local branch_keys = below(keys, "branches", index - 1)
    if names[branch.name] then
      self:refuse(below(branch_keys, "name"), ("'%s' is taken by another branch"):format(branch.name))
    end
    names[branch.name] = true
    local branch_place = checker.place(place.seen, beside, branch.name)
    check_step(self, branch, branch_keys, branch_place, around, scope.union(around, beside))
  end
end

local function check_approval(self, approval, ...)
  if approval then require("weir.definition.approval_check").check(self, approval, ...) end
end

local function check_plan(self, plan, keys, place)
  if not plan then return end
  self:check_value(plan.goal, below(keys, "goal"), place)
  self:check_use({ "planner" }, plan.planner, below(keys, "planner"))
  self:find_each("agent", plan.agents, below(keys, "agents"))
  if type(plan.sign_off) == "table" then check_approval(self, plan.sign_off, below(keys, "sign_off"), place) end
end

local function check_model(self, model, keys)
  if model == nil then return end
  if type(model) == "string" then return self:find({ "model" }, model, keys) end
  for index, name in ipairs(model.candidates or {}) do -- one with a question mark need not be there
    if not name:find "%?$" then self:find({ "model" }, name, below(keys, "candidates", index - 1)) end
  end
  self:check_use({ "policy" }, model.policy and { use = model.policy, options = model.options }, keys)
end

local function check_panel(self, critic, keys)
  local weight = 0
  for _, use in ipairs(critic.use) do weight = weight + (use.weight or 1) end
  if critic.quorum and critic.quorum > weight then
    self:refuse(below(keys, "quorum"), weight == #critic.use and ("is %g, but there are %d critics"):format(critic.quorum, #critic.use)
      or ("is %g, but all critics weigh %g together"):format(critic.quorum, weight))
  end
  if critic.quorum then return end
  if critic.disagreement then
    self:refuse_plainly(below(keys, "disagreement"), "critic.disagreement is of a panel; say its quorum too")
  end
  for index, use in ipairs(critic.use) do
    for _, name in ipairs { "weight", "veto" } do
      if use[name] ~= nil then
        self:refuse_plainly(below(keys, "use", index - 1, name), ("critic.use: %s is for a panel; say its quorum too"):format(name))
      end
    end
  end
end

local function check_critic(self, critic, keys)
  if not critic then return end
  for index, use in ipairs(critic.use) do
    self:check_use({ "critic", "judge" }, use, below(keys, "use", index - 1))
    check_model(self, use.model, below(keys, "use", index - 1, "model"))
  end
  check_panel(self, critic, keys)
  if critic.ask then
    self:check_duration(critic.ask.timeout, below(keys, "ask", "timeout"))
    require("weir.definition.approval_check").check_quorum(self, critic.ask, below(keys, "ask"))
  end
end

local function check_live(self, step, keys)
  if not step.critic or not step.critic.live or step.agent then return end
  self:refuse_plainly(below(keys, "critic", "live"), "critic.live: a live critic watches the stream of an agent, and this step has none")
end

local function check_times(self, step, keys)
  for _, name in ipairs { "timeout", "idle_timeout", "deadline", "cache" } do
    self:check_duration(step[name], below(keys, name))
  end
  for _, name in ipairs { "backoff", "max" } do
    self:check_duration(step.retry and step.retry[name], below(keys, "retry", name))
  end
end

-- Who settles the conflicts of a merge of texts.
local function check_arbiter(self, post, keys)
  self:find({ "agent" }, post.arbiter, below(keys, "arbiter"))
  if post.merge ~= "text" then
    self:refuse_plainly(below(keys, "arbiter"), "arbiter settles conflicts of texts; it needs merge: text", "invalid")
  end
end

-- What is read once the step has finished: its own output is there.
local function check_after(self, step, keys, place)
  if not (step.branch_label or step.undo or step.post) then return end
  local after = checker.place(scope.union(place.seen, { [step.name] = true }), place.beside)
  self:check_value(step.branch_label, below(keys, "branch_label"), after)
  if step.undo then
    self:check_agent(step.undo, below(keys, "undo"))
    self:check_value(step.undo.input, below(keys, "undo", "input"), after)
  end
  local post = step.post
  if type(post) == "table" and post.arbiter then check_arbiter(self, post, below(keys, "post")) end
  self:check_value(type(post) == "table" and post.name or post, below(keys, "post"), after)
end

local function check_common(self, step, keys, place)
  self:check_value(step.input, below(keys, "input"), place)
  self:check_condition(step.when, below(keys, "when"), place)
  self:check_condition(step.approve_if, below(keys, "approve_if"), place)
  check_times(self, step, keys)
  check_critic(self, step.critic, below(keys, "critic"))
  check_live(self, step, keys)
  check_model(self, step.model, below(keys, "model"))
  for index, tool in ipairs(step.tools or {}) do
    self:find({ "tool" }, tool.use, below(keys, "tools", index - 1, "use"))
    self:check_text_of_condition(tool.approve_if, below(keys, "tools", index - 1, "approve_if"))
  end
  check_after(self, step, keys, place)
end

local function check_kind(self, step, keys, place, around)
  if step.agent then
    self:check_agent(step, keys)
  elseif step.options ~= nil then
    self:refuse_plainly(below(keys, "options"), "options belong to an agent, and this step has none")
  end
  if step.pipeline then self:find({ "pipeline" }, step.pipeline, below(keys, "pipeline")) end
  check_approval(self, step.approval, below(keys, "approval"), place, step.timeout)
  check_wait(self, step.wait, below(keys, "wait"), place)
  check_sleep(self, step.sleep, below(keys, "sleep"), place)
  check_map(self, step.map, below(keys, "map"), place, around, step.from)
  check_speculate(self, step.speculate, below(keys, "speculate"), place, around)
  check_plan(self, step.plan, below(keys, "plan"), place)
  if step.groups then
    local seen = check_body(self, step.groups, below(keys, "groups"), place.seen, around)
    self:check_value(step.output, below(keys, "output"), checker.place(seen))
  end
end

local function check_name(self, step, keys, around)
  if scope.reserved[step.name] then
    local what = ("'%s' is a name that weir itself uses in paths; choose another"):format(step.name)
    self:refuse_plainly(below(keys, "name"), what)
  elseif around[step.name] then
    local what = ("the name '%s' is taken by a step around it; choose another"):format(step.name)
    self:refuse_plainly(below(keys, "name"), what)
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
        self:refuse_plainly(below(keys, "steps", index - 1, "from"), what, "not_found", meant)
      end
    end
  end
  local circle = scope.circle(group.steps)
  if circle then
    self:refuse_plainly(keys, ("the steps read from one another in a circle: %s"):format(table.concat(circle, " <- ")))
  end
end

local function check_target(self, name, group_names, keys)
  if name == nil or name == "end" or group_names[name] then return end
  local names = value_of.names(group_names)
  names[#names + 1] = "end"
  local what = ("branch leads to '%s', which is no group here"):format(name)
  self:refuse_plainly(keys, what, "not_found", suggest.nearest(name, names))
end

local function check_branch(self, group, keys, group_names)
  local branch = group.branch
  if not branch then return end
  local known = scope.steps { group }
  if branch.on and not known[branch.on] then
    local what = ("branch.on: '%s' is no step of this group"):format(branch.on)
    local meant = suggest.nearest(branch.on, value_of.names(known))
    self:refuse_plainly(below(keys, "branch", "on"), what, "not_found", meant)
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
    self:refuse(below(keys, "join", "at_least"), what)
  end
  self:check_duration(join.deadline, below(keys, "join", "deadline"))
end

local function check_names(self, groups, keys)
  local group_names, step_names = {}, {}
  for index, group in ipairs(groups) do
    local group_keys = below(keys, index - 1)
    if group.name == "end" then
      self:refuse_plainly(below(group_keys, "name"), "'end' is where a branch ends the run; choose another name")
    elseif group_names[group.name] then
      self:refuse_plainly(below(group_keys, "name"), ("the name '%s' is taken by another group"):format(group.name))
    end
    group_names[group.name] = true
    for position, step in ipairs(group.steps) do
      local taken = step_names[step.name]
      -- Of two bare steps of one name the groups have been told.
      local is_told = taken and taken == "alone" and #group.steps == 1 and step.name == group.name
      if taken and not is_told then
        local what = ("the name '%s' is taken by another step"):format(step.name)
        self:refuse_plainly(below(group_keys, "steps", position - 1, "name"), what)
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
      local place = checker.place(seen, beside, step.name)
      check_step(self, step, below(group_keys, "steps", position - 1), place, around, inside)
    end
    check_from(self, group, group_keys)
    check_branch(self, group, group_keys, group_names)
    check_join(self, group, group_keys)
    if group.gate then
      check_approval(self, group.gate, below(group_keys, "gate"), checker.place(scope.union(seen, beside)))
    end
  end
  return scope.union(outer, step_names)
end

-- The top ----------------------------------------------------------------------------------------

local METRIC_ROOTS = { output = true, input = true, usage = true }

local function check_metric(self, metric)
  local keys = { "reflect", "metric" }
  if metric == nil then
    local what = "metric is missing: a path such as $.output.score, or a critic that scores; without it nothing tells what is better"
    return self:refuse_plainly(keys, what)
  end
  if type(metric) == "table" then return self:check_use({ "critic", "judge" }, metric, keys) end
  local compiled, message = path.compile(metric)
  if not compiled then return self:refuse_plainly(keys, "metric: " .. message) end
  if not METRIC_ROOTS[compiled.root] then
    self:refuse_plainly(keys, ("metric: path '%s' has to begin with $.output, $.input or $.usage"):format(metric))
  end
end

-- What a reflection may not change are steps and groups that there are.
local function check_protect(self, names)
  for index, name in ipairs(names or {}) do
    if not self.all_steps[name] and not self.all_groups[name] then
      local known = scope.union(self.all_steps, self.all_groups)
      self:refuse_plainly({ "reflect", "protect", index - 1 }, ("protect: '%s' is no step or group here"):format(name), "not_found",
        suggest.nearest(name, value_of.names(known)))
    end
  end
end

local function check_examples(self, examples, input)
  local validate = examples and input and schema.compile(input)
  for index, example in ipairs(validate and examples or {}) do
    local fits, errors = validate(schema.defaults(input, example), "input")
    if not fits then
      self:refuse_plainly({ "reflect", "examples", index - 1 }, ("examples: the pipeline does not take it: %s"):format(errors[1].message))
    end
  end
end

local function check_reflect(self, reflect)
  if not reflect then return end
  self:check_use({ "reflection" }, reflect, { "reflect" })
  if not self.root.groups then
    self:refuse_plainly({ "reflect" }, "a flow is a program, which no patch can change: reflect is for declared pipelines")
  end
  check_metric(self, reflect.metric)
  check_protect(self, reflect.protect)
  check_examples(self, reflect.examples, self.root.input)
end

local function check_top(self, data)
  self:check_schema(data.input, { "input" })
  for index, trigger in ipairs(data.on or {}) do require("weir.definition.trigger_check").check(self, trigger, { "on", index - 1 }) end
  for index, use in ipairs(data.supervise or {}) do
    self:check_use({ "supervisor" }, use, { "supervise", index - 1 })
  end
  check_reflect(self, data.reflect)
  self:check_duration(data.retention, { "retention" })
  if data.queue then
    self:check_use({ "policy" }, data.queue.policy, { "queue", "policy" })
    local place = checker.place { input = true, event = true, run = true }
    self:check_value(data.queue.key, { "queue", "key" }, place)
    if type(data.queue.priority) == "string" then self:check_value(data.queue.priority, { "queue", "priority" }, place) end
  end
end

local function by_place(a, b)
  if (a.line or 0) ~= (b.line or 0) then return (a.line or 0) < (b.line or 0) end
  return (a.column or 0) < (b.column or 0)
end

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
  local self = checker.new(data, sources, options and options.modules)
  check_top(self, data)
  if data.groups then
    local outer = {}
    for _, name in ipairs(scope.roots) do outer[name] = true end
    local seen = check_body(self, data.groups, { "groups" }, outer, {})
    self:check_value(data.output, { "output" }, checker.place(seen))
  elseif not (options and options.flow) then
    self:refuse_plainly({}, "a pipeline needs groups of steps")
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
