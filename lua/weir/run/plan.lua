--- From a checked normal form to what the engine runs: every value, condition and duration compiled once.
--- A plan is shared by all runs of a version. Pure; never yields.

local duration = require "weir.duration"
local failure = require "weir.failure"
local native = require "weir.native.scheduler"
local path = require "weir.path"
local retry = require "weir.run.retry"
local schema = require "weir.schema"
local value_of = require "weir.value"

local M = {}

local CRITIC_ATTEMPTS, MAX_VISITS, CONCURRENCY, ADAPTIVE, TREE_ARITY = 3, 100, 8, 64, 16

local function must(value, message)
  if value == nil then failure.raise("invalid", "%s", message or "a value is needed where an optional path finds nothing") end
  return value
end

local function seconds(value)
  return value ~= nil and must(duration.parse(value)) or nil
end

local function test(text)
  return text and must(require("weir.condition").compile(text)).test or nil
end

local function constant(value)
  if type(value) ~= "table" then return function() return value end end
  return function() return value_of.copy(value) end
end

-- A step may change its input, so it gets tables of its own, not those of StepData.
local function evaluator(value)
  if value == nil then return function() return {} end end
  return must(path.compile_value(value, value_of.copy))
end

-- In a flow values are what they are.
local function values_of(self)
  return self.flow and constant or evaluator
end

-- A kind is loaded with the first step of it: few pipelines have steps of all kinds.
local function kind(name)
  return require("weir.run.kinds." .. name)
end

local compile_body, compile_step

local function use(self, module_kind, folder, entry)
  local module = folder .. "/" .. entry.use
  self.modules[module] = true
  return { name = entry.use, label = entry.use, kind = module_kind, module = module, options = entry.options }
end

local COMPILE = {}

local function remind_of(given)
  if given == nil then return nil end
  if type(given) ~= "table" then return { every = seconds(given) } end
  local at = {}
  for index, one in ipairs(given) do at[index] = seconds(one) end
  table.sort(at)
  return { at = at }
end

-- Without a moment of its own a rung is taken when those before it have let their time pass.
local function rungs_of(given, timeout, name)
  if not given then return nil end
  local rungs = {}
  for index, one in ipairs(given) do
    if one.after == nil and not timeout then
      failure.raise("invalid", "step '%s': escalate: when? give 'after', or a timeout and on_timeout = 'escalate'", name)
    end
    rungs[index] = { after = seconds(one.after) or timeout * index, to = one.to, instead = one.instead or nil }
  end
  return rungs
end

local function precondition_of(self, given)
  if not given then return nil end
  self.modules["agents/" .. given.agent] = true
  return { agent = given.agent, options = given.options, input = given.input ~= nil and values_of(self)(given.input) or nil }
end

-- An approval whose time limit leads to the next rung has as much time on each.
local function approval_of(self, data, fields)
  local values, quorum = values_of(self), type(fields.quorum) == "table" and fields.quorum or { weight = fields.quorum }
  local timeout = seconds(data.timeout)
  local climbs = fields.on_timeout == "escalate"
  if climbs and not (timeout and fields.escalate) then
    failure.raise("invalid", "step '%s': on_timeout is 'escalate': that needs a timeout, and 'escalate' says who is asked then", data.name)
  end
  return { title = fields.title ~= nil and values(fields.title) or nil, show = fields.show ~= nil and values(fields.show) or nil,
    form = fields.form, who = fields.who, not_initiator = fields.not_initiator, quorum = quorum.weight, weights = quorum.weights,
    on_reject = fields.on_reject, on_timeout = not climbs and fields.on_timeout or nil, remind = remind_of(fields.remind),
    escalate = rungs_of(fields.escalate, timeout, data.name), working = fields.working,
    precondition = precondition_of(self, fields.precondition), limit = timeout and timeout * (climbs and #fields.escalate + 1 or 1) }
end

function COMPILE.approval(self, step, data)
  step.kind, step.approval = kind "approval", approval_of(self, data, data.approval)
end

-- Whoever signs a plan off sees the plan; the question is weir's, and so is what an answer may be.
local SIGN_OFF = { "show", "form", "on_reject" }

local function sign_off_of(self, data, fields)
  if not fields then return nil end
  if fields == true then return {} end
  for _, field in ipairs(SIGN_OFF) do
    if fields[field] ~= nil then
      failure.raise("invalid", "step '%s': sign_off has '%s': what is shown is the plan, and a plan that is rejected fails",
        data.name, field)
    end
  end
  return approval_of(self, data, fields)
end

function COMPILE.plan(self, step, data)
  local fields = data.plan
  step.kind, step.goal = kind "plan", values_of(self)(fields.goal)
  step.planner = use(self, "planner", "planners", fields.planner or { use = "rules" })
  step.agents, step.limits, step.replan = fields.agents, fields.limits or {}, fields.replan or 0
  step.sign_off, step.reuse = sign_off_of(self, data, fields.sign_off), fields.reuse or "similar"
  for _, name in ipairs(fields.agents or {}) do self.modules["agents/" .. name] = true end
end

local function pattern_of(type)
  if require("weir.event.waits").is_pattern(type) then return type end
  failure.raise("invalid", "event: a type, or the beginning of one up to a dot and '*' expected, such as order.*, got '%s'", type)
end

-- What is waited for, with the names of its signals and the types of its events looked up.
local function waits_of(self, fields)
  local signal, event = fields.signal and values_of(self)(fields.signal), fields.event and values_of(self)(fields.event)
  local many = fields.any or fields.all or fields.of
  local inner = {}
  for index, entry in ipairs(many or {}) do inner[index] = waits_of(self, entry) end
  local list = fields.any and "any" or fields.all and "all" or "of"
  return function(data)
    if signal then return { signal = tostring(must(signal(data))) } end
    if event then return { event = pattern_of(tostring(must(event(data)))), match = fields.match } end
    local resolved = { at_least = fields.at_least, [list] = {} }
    for index, resolve in ipairs(inner) do resolved[list][index] = resolve(data) end
    return resolved
  end
end

local function names_waited_for(fields, names)
  names = names or {}
  if fields.signal or fields.event then names[#names + 1] = tostring(fields.signal or fields.event) end
  for _, inner in ipairs(fields.any or fields.all or fields.of or {}) do names_waited_for(inner, names) end
  return names
end

function COMPILE.wait(self, step, data)
  step.kind = kind "wait"
  step.wait_of = waits_of(self, data.wait)
  step.waits_for = table.concat(names_waited_for(data.wait), ", ")
end

function COMPILE.agent(self, step, data)
  step.kind, step.agent, step.module = kind "agent", data.agent, "agents/" .. data.agent
  self.modules[step.module] = true
end

function COMPILE.groups(self, step, data)
  step.kind = kind "body"
  step.body = compile_body(self, data.groups, data.output)
end

function COMPILE.pipeline(self, step, data)
  step.kind, step.pipeline = kind "child", data.pipeline
  self.pipelines[data.pipeline] = true
end

function COMPILE.sleep(_, step, data)
  local sleep = kind "sleep"
  step.kind = sleep
  local time = type(data.sleep) == "table" and data.sleep["until"] or nil
  if time == nil and type(data.sleep) == "string" and data.sleep:find "^%$" then
    local evaluate = must(path.compile_value(data.sleep))
    step.seconds_of = evaluate
  elseif time == nil then
    step.seconds = seconds(data.sleep)
    return
  end
  local evaluate = time and must(path.compile_value(time))
  step.until_ms = function(values, from_ms)
    if step.seconds_of then return sleep.after(must(duration.parse(must(step.seconds_of(values)))), from_ms) end
    return must(sleep.parse_time(must(evaluate(values))))
  end
end

local function tolerate_of(value)
  if value == nil then return nil end
  if type(value) == "number" then return { count = value } end
  return { percent = tonumber(value:match "^(.-)%%$") }
end

local function reduce_of(self, data)
  if not data then return nil end
  local each = compile_step(self, { name = "reduce", agent = data.agent, options = data.options,
    input = { items = "$.items", acc = "$.acc?", level = "$.level" } }, true)
  return { each = each, mode = data.mode or "all", arity = data.arity or TREE_ARITY }
end

local function concurrency_of(value)
  if type(value) ~= "table" then return value or CONCURRENCY end
  local least = value.min or 1
  return { min = least, max = math.max(least, value.max or ADAPTIVE) }
end

-- What a table of items can hold: one agent's work, of which nothing but its output is to be kept.
local function is_light(each)
  return each.agent ~= nil and not (each.critic or each.once or each.undo or each.post or each.from or each.approve_if or each.stream
    or each.label)
end

-- An item that takes long is begun once more, and whoever is first counts.
local function hedged(each, hedge)
  local again = setmetatable({ name = each.name .. "_again" }, { __index = each })
  return { name = each.name, kind = kind "speculate", branches = { each, again }, join = "first", hedge = hedge,
    input = function() return {} end, when = each.when, retry = retry.policy(), is_simple = true }
end

local function remember(step, seconds_kept)
  for _, one in ipairs { step.each, step.reduce and step.reduce.each } do
    if one.agent then one.kind = require("weir.run.map.memo").kind(seconds_kept) end
  end
end

function COMPILE.map(self, step, data)
  local fields = data.map
  if fields.chunk then
    step.chunk = compile_step(self, { name = "chunk", agent = fields.chunk.agent, options = fields.chunk.options, input = fields.over })
    step.chunk_streams = fields.chunk.stream
  end
  step.kind = kind "map"
  step.over = fields.over ~= nil and values_of(self)(fields.over) or nil
  step.batch, step.concurrency = fields.batch, concurrency_of(fields.concurrency)
  step.tolerate, step.enough, step.ordered = tolerate_of(fields.tolerate), test(fields["until"]), fields.ordered
  step.each = compile_step(self, fields.each)
  step.reduce = reduce_of(self, fields.reduce)
  step.is_light = is_light(step.each) and not fields.hedge
  if fields.memo then remember(step, seconds(fields.memo)) end
  if fields.hedge then step.each = hedged(step.each, fields.hedge == "p95" and "p95" or seconds(fields.hedge)) end
end

-- Hedged branches are there for one another, those with a judge are there to be compared.
local function join_of_branches(fields)
  local join = fields.join or (fields.judge and not fields.hedge and "best" or "first")
  if type(join) ~= "table" then return join end
  return { at_least = join.at_least, deadline = seconds(join.deadline) }
end

function COMPILE.speculate(self, step, data)
  local fields = data.speculate
  step.kind = kind "speculate"
  step.branches, step.join = {}, join_of_branches(fields)
  step.hedge = fields.hedge == "p95" and "p95" or seconds(fields.hedge)
  step.judge, step.halve = fields.judge and use(self, "judge", "judges", fields.judge), fields.halve
  for index, branch in ipairs(fields.branches) do step.branches[index] = compile_step(self, branch) end
end

-- What follows a run of a pipeline that reflects; the library alone writes it, see `weir.reflection.start`.
function COMPILE.reflection(self, step, data)
  local fields = data.reflection
  step.kind, step.reflection = kind "reflect", fields
  step.proposer = use(self, "reflection", "reflections", fields.reflect)
  local metric = fields.reflect.metric
  if type(metric) == "table" then
    step.judge = use(self, "critic", "critics", metric)
  else
    step.metric = must(path.compile(metric))
  end
end

function COMPILE.run(_, step, data)
  step.kind = data.run_kind
end

-- A critic that is used twice has a number, so that its questions and memories are told apart.
local function critics_of(self, data)
  local uses, counts = {}, {}
  for index, entry in ipairs(data.use) do
    local one = use(self, "critic", "critics", entry)
    local count = (counts[one.name] or 0) + 1
    counts[one.name], one.label = count, count == 1 and one.name or ("%s#%d"):format(one.name, count)
    one.weight, one.veto, one.model = entry.weight, entry.veto, entry.model
    uses[index] = one
  end
  return uses
end

local function live_of(live)
  if not live then return nil end
  return type(live) == "table" and live or {}
end

local function critic_of(self, data)
  if not data then return nil end
  local ask = data.ask and { who = data.ask.who, not_initiator = data.ask.not_initiator, quorum = data.ask.quorum,
    timeout = seconds(data.ask.timeout), on_timeout = data.ask.on_timeout }
  return { uses = critics_of(self, data), quorum = data.quorum, attempts = data.attempts or CRITIC_ATTEMPTS,
    otherwise = data.otherwise or "escalate", budget = data.budget, disagreement = data.disagreement, ask = ask,
    live = live_of(data.live) }
end

-- A step that may be started only once has one attempt and one draft, whatever else is said of it.
local function start_once(step)
  step.retry.attempts = 1
  if step.critic then step.critic.attempts = 1 end
end

local function from_of(value)
  if value == nil then return nil end
  if value.steps then return { steps = value.steps, merge = value.merge } end
  return { steps = value }
end

local function kind_of(data)
  for name in pairs(COMPILE) do
    if data[name] ~= nil then return COMPILE[name] end
  end
end

local function post_of(self, data)
  if not data then return nil end
  if type(data) ~= "table" then data = { name = data } end
  if data.arbiter then self.modules["agents/" .. data.arbiter] = true end
  return { name = values_of(self)(data.name), type = data.type, tags = data.tags, scope = data.scope, merge = data.merge,
    arbiter = data.arbiter }
end

local function undo_of(self, data)
  if not data then return nil end
  self.modules["agents/" .. data.agent] = true
  return { agent = data.agent, options = data.options, input = data.input ~= nil and values_of(self)(data.input) or nil }
end

-- Among steps side by side, which computes first.
local LANES = { high = 0, normal = 1, low = 2 }

-- The question before a step that has consequences: whoever may decide sees its input.
local ASKED_BEFORE = { approval = {} }

local function label_of(data)
  return data.branch_label and evaluator(data.branch_label) or nil
end

function compile_step(self, data, with_paths)
  local step = { name = data.name, options = data.options, optional = data.optional, once = data.once, is_defined = true }
  kind_of(data)(self, step, data)
  step.input = with_paths and evaluator(data.input) or values_of(self)(data.input)
  if data.input == nil then step.input = function() return {} end end
  step.when = test(data.when)
  step.retry = retry.policy(data.retry and { attempts = data.retry.attempts, backoff = seconds(data.retry.backoff),
    factor = data.retry.factor, max = seconds(data.retry.max), jitter = data.retry.jitter, on = data.retry.on, not_on = data.retry.not_on })
  step.timeout, step.idle_timeout, step.deadline = seconds(data.timeout), seconds(data.idle_timeout), seconds(data.deadline)
  step.model, step.tools, step.cache = data.model, data.tools, seconds(data.cache)
  step.critic, step.stream, step.from = critic_of(self, data.critic), data.stream, from_of(data.from)
  if step.once then start_once(step) end
  step.label, step.undo, step.post = label_of(data), undo_of(self, data.undo), post_of(self, data.post)
  step.approve_if, step.asked_before = test(data.approve_if), data.approve_if and ASKED_BEFORE
  step.budget, step.lane = data.budget, LANES[data.priority]
  step.is_simple = not (data.retry or step.timeout or step.idle_timeout or step.deadline or step.critic or step.budget)
  return step
end

local function join_of(value)
  if type(value) ~= "table" then return value or "all" end
  if value.at_least then return "at_least", value.at_least end
  return "deadline", nil, seconds(value.deadline)
end

local function read_steps(group)
  local read, any = {}, false
  for _, step in ipairs(group.steps) do
    if step.stream then any = true end
    for _, name in ipairs(step.from and step.from.steps or {}) do
      read[name], any = true, true
    end
  end
  return read, any
end

-- A gate is an approval that is asked when the group has joined.
local function gate_of(self, data)
  if not data then return nil end
  local fields = {}
  for name, value in pairs(data) do
    if name ~= "timeout" then fields[name] = value end
  end
  return compile_step(self, { name = "gate", approval = fields, timeout = data.timeout })
end

local function compile_group(self, data)
  local group = { name = data.name, fail_fast = data.fail_fast, branch = data.branch, steps = {} }
  group.join, group.count, group.deadline = join_of(data.join)
  for index, step in ipairs(data.steps) do group.steps[index] = compile_step(self, step) end
  group.is_bare = #group.steps == 1 and group.steps[1].name == data.name
  group.is_single = #group.steps == 1 and group.join ~= "deadline"
  for _, step in ipairs(group.steps) do
    step.key = group.is_bare and step.name or (data.name .. "/" .. step.name)
  end
  group.max_visits = data.branch and data.branch.max_visits or MAX_VISITS
  group.read, group.has_streams = read_steps(group)
  group.gate = gate_of(self, data.gate)
  group.is_plain = group.is_single and not group.branch and not group.has_streams and not group.gate
  return group
end

function compile_body(self, groups, output)
  local body = { groups = {}, index = {}, output = output ~= nil and values_of(self)(output) or nil }
  for position, data in ipairs(groups) do
    body.groups[position] = compile_group(self, data)
    body.index[data.name] = position
    body.branches = body.branches or data.branch ~= nil
  end
  return body
end

local function input_checker(input)
  if input == nil then return function(value) return true, value end end
  local validate = must(schema.compile(input))
  return function(value)
    value = native.interruptible(schema.defaults, input, value)
    local ok, errors = native.interruptible(validate, value, "input")
    if ok then return true, value end
    local messages = {}
    for index, err in ipairs(errors) do messages[index] = err.message end
    return false, table.concat(messages, "; "), errors
  end
end

-- Time that ends the run where it stands; a run that is paused or asks instead looks at it before each step.
local function time_limit(budget)
  if budget and (budget.otherwise or "fail") == "fail" then return budget.seconds end
end

-- Who reflects and who judges are pinned with the run, so that what follows its end needs nothing that may have changed.
local function reflect_of(self, data)
  if not data.reflect then return nil end
  use(self, "reflection", "reflections", data.reflect)
  if type(data.reflect.metric) == "table" then use(self, "critic", "critics", data.reflect.metric) end
  return data.reflect
end

-- Whether a text is anywhere in a value.
local function mentions(value, text)
  if type(value) == "string" then return value:find(text, 1, true) ~= nil end
  if type(value) ~= "table" then return false end
  for _, inner in pairs(value) do
    if mentions(inner, text) then return true end
  end
  return false
end

local function supervisors_of(self, data)
  if not data.supervise or #data.supervise == 0 then return nil end
  local uses = {}
  for index, entry in ipairs(data.supervise) do uses[index] = use(self, "supervisor", "supervisors", entry) end
  return uses
end

--- Compiles a definition.
---@param definition weir.Definition {normal, version, kind, body}
---@return table plan {name, version, durability, body | flow, modules, pipelines, check_input, budget}
function M.compile(definition)
  local data = definition.normal
  local self = { modules = {}, pipelines = {} }
  local plan = { name = data.name, version = definition.version, durability = data.durability or "step", upgrade = data.upgrade,
    check_input = input_checker(data.input), input_schema = data.input, budget = data.budget,
    limits = { timeout = time_limit(data.budget) }, reads_workspace = mentions(data.groups, "workspace") }
  if definition.kind == "flow" then
    plan.flow = definition.body
  else
    plan.body = compile_body(self, data.groups, data.output)
  end
  plan.reflect = reflect_of(self, data)
  plan.supervise = supervisors_of(self, data)
  plan.modules, plan.pipelines = value_of.names(self.modules), value_of.names(self.pipelines)
  return plan
end

--- Compiles one step or group that a flow asks for: its values are what they are.
---@param what "step"|"group"
---@param data table normal form
---@return table compiled
---@return string[] modules
---@return string[] pipelines
function M.of_flow(what, data)
  local self = { modules = {}, pipelines = {}, flow = true }
  local compiled = (what == "step" and compile_step or compile_group)(self, data)
  return compiled, value_of.names(self.modules), value_of.names(self.pipelines)
end

return M
