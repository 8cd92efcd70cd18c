--- Whether a plan may be carried out. A plan is a pipeline in normal form of which less is allowed: it goes forward only, its
--- steps are done by agents that it may use, each takes what the agent says it needs, and it stays within limits of size.
--- What an agent's options are is no plan's affair: the project says that. Pure; never yields.

local goal_of = require "weir.planning.goal"
local json = require "weir.native.json"
local load = require "weir.definition.load"
local plain = require "weir.run.plain"
local suggest = require "weir.suggest"
local types = require "weir.planning.types"
local value_of = require "weir.value"

local M = {}

local TOP = { weir = true, name = true, doc = true, groups = true, output = true, input = true }
local GROUP = { name = true, steps = true, join = true, fail_fast = true }
local STEP = { name = true, agent = true, map = true, groups = true, output = true, input = true, when = true, timeout = true,
  optional = true }
local MAP = { over = true, each = true, concurrency = true, tolerate = true, reduce = true }
local REDUCE = { agent = true, mode = true, arity = true }

---@class weir.planning.Agent what a planner may use
---@field name string
---@field version string
---@field doc string|nil
---@field needs table     JSON Schema of an object
---@field gives table
---@field cost number     as the module says, 1 if it does not
---@field seconds number|nil  as recorded: the median
---@field usd number|nil      as recorded: the mean

local Checker = {}
Checker.__index = Checker

function Checker:note(message, ...)
  self.problems[#self.problems + 1] = message:format(...)
end

local function only(self, value, known, what)
  for _, name in ipairs(value_of.names(value)) do
    if not known[name] then self:note("%s has '%s', which is nothing that a plan may say", what, name) end
  end
end

local function agent_of(self, name, where)
  local agent = self.agents[name]
  if agent then return agent end
  self:note("%s: agent '%s' is none of those that this plan may use%s", where, tostring(name),
    suggest.hint(name, value_of.names(self.agents)))
end

-- Inputs -------------------------------------------------------------------------------------------------

local function written(self, value, env, where)
  local of, found = types.of_written(value, env)
  if of then return of, found end
  self:note("%s: %s", where, found)
end

local function check_member(self, step, agent, name, env)
  local declared = agent.needs.properties[name]
  if declared == nil then
    if agent.needs.additionalProperties ~= false then return end
    return self:note("step '%s': agent '%s' takes no '%s'%s", step.name, agent.name, name,
      suggest.hint(name, value_of.names(agent.needs.properties)))
  end
  local where = ("step '%s': input '%s'"):format(step.name, name)
  local of = written(self, step.input[name], env, where)
  if of and not types.fits(of, declared) then
    self:note("%s is %s, and agent '%s' takes %s", where, types.show(of), agent.name, types.show(declared))
  end
end

local function check_input(self, step, agent, env)
  local input = step.input
  if type(input) == "string" then
    local of = written(self, input, env, ("step '%s': input"):format(step.name))
    if of and not types.fits(of, agent.needs) then
      self:note("step '%s': input '%s' is %s, and agent '%s' takes other things", step.name, input, types.show(of), agent.name)
    end
    return
  end
  if input ~= nil and (type(input) ~= "table" or json.is_list(input)) then
    return self:note("step '%s': its input is %s; an object of names is expected", step.name, value_of.show(input))
  end
  for _, name in ipairs(agent.needs.required or {}) do
    if not input or input[name] == nil then self:note("step '%s': agent '%s' needs '%s'", step.name, agent.name, name) end
  end
  for _, name in ipairs(value_of.names(input or {})) do check_member(self, step, agent, name, env) end
end

-- Steps --------------------------------------------------------------------------------------------------

local visit_groups, visit_step

local function with(env, more)
  return setmetatable(more, { __index = env })
end

local function visit_agent(self, step, env)
  self.count = self.count + 1
  local agent = agent_of(self, step.agent, ("step '%s'"):format(step.name))
  if not agent then return {}, 1 end
  check_input(self, step, agent, env)
  self.used[agent.name] = true
  return agent.gives, 1
end

local function visit_reduce(self, step, reduce)
  only(self, reduce, REDUCE, ("step '%s': reduce"):format(step.name))
  self.count = self.count + 1
  local agent = agent_of(self, reduce.agent, ("step '%s': reduce"):format(step.name))
  if not agent then return {} end
  self.used[agent.name] = true
  if not (agent.needs.properties or {}).items then
    self:note("step '%s': reduce: agent '%s' takes no 'items', which is what a reduce gives it", step.name, agent.name)
  end
  return agent.gives
end

local function visit_map(self, step, env)
  local map = step.map
  only(self, map, MAP, ("step '%s': map"):format(step.name))
  local over = written(self, map.over, env, ("step '%s': over"):format(step.name))
  if over and not types.fits(over, { type = "array" }) then
    self:note("step '%s': over '%s' is %s; a list is expected", step.name, tostring(map.over), types.show(over))
  end
  local item = over and over.items or {}
  local of, depth = visit_step(self, map.each, with(env, { item = item, index = { type = "integer" } }))
  if not map.reduce then return { type = "array", items = map.tolerate == nil and of or nil }, depth end
  return visit_reduce(self, step, map.reduce), depth + 1
end

local function output_of(self, groups, output, env, where)
  if output ~= nil then return written(self, output, env, where) or {} end
  local last = groups[#groups].steps
  if #last == 1 then return env[last[1].name] or {} end
  local all = { type = "object", properties = {} }
  for _, one in ipairs(last) do all.properties[one.name] = env[one.name] end
  return all
end

function visit_step(self, step, env)
  only(self, step, STEP, ("step '%s'"):format(step.name))
  if step.agent then return visit_agent(self, step, env) end
  if step.map then return visit_map(self, step, env) end
  if not step.groups then return {}, 1 end
  local inner = with(env, {})
  local depth = visit_groups(self, step.groups, inner)
  return output_of(self, step.groups, step.output, inner, ("step '%s': output"):format(step.name)), depth
end

-- Gives how many steps follow one another at most. `env` gets what the steps give.
function visit_groups(self, groups, env)
  local total = 0
  for _, group in ipairs(groups) do
    only(self, group, GROUP, ("group '%s'"):format(group.name))
    local deepest, given = 0, {}
    for _, step in ipairs(group.steps) do
      local of, depth = visit_step(self, step, env)
      given[step.name], deepest = of, math.max(deepest, depth)
    end
    for name, of in pairs(given) do env[name] = of end
    total = total + deepest
  end
  return total
end

local function check_wanted(self, goal, of)
  local found = of.type == "object" and type(of.properties) == "table" and of.properties or nil
  for _, name in ipairs(value_of.names(goal.want)) do
    local got = found and found[name]
    if found and got == nil and of.additionalProperties == false or not types.fits(of, { type = "object" }) then
      self:note("the plan's output has no '%s', which is wanted", name)
    elseif got and not types.fits(got, goal.want[name]) then
      self:note("the plan's output '%s' is %s, and %s is wanted", name, types.show(got), types.show(goal.want[name]))
    end
  end
end

local function check_size(self, limits, depth)
  if limits.steps and self.count > limits.steps then
    self:limit("the plan has %d steps, and %d are allowed (limits.steps)", self.count, limits.steps)
  end
  if limits.depth and depth > limits.depth then
    self:limit("the plan has %d steps one after the other, and %d are allowed (limits.depth)", depth, limits.depth)
  end
end

function Checker:limit(...)
  self.code = "limit"
  self:note(...)
end

local function check_meaning(self, normal, goal, limits)
  local env = { input = goal_of.input_schema(goal) }
  local depth = visit_groups(self, normal.groups, env)
  if normal.output ~= nil or next(goal.want) ~= nil then
    check_wanted(self, goal, output_of(self, normal.groups, normal.output, env, "output"))
  end
  self.depth = depth
  check_size(self, limits, depth)
end

-- Whole plans ------------------------------------------------------------------------------------------

local ANY_OPTIONS = { options = { type = "object" } } -- a plan may give none: that is told in words of its own

local function lookup_of(self)
  return function(kind, name)
    if kind ~= "agent" then return nil end
    if self.agents[name] then return ANY_OPTIONS end
    self.has_unknown = true
    return nil, value_of.names(self.agents)
  end
end

local function texts_of(errors)
  local lines = {}
  for index, entry in ipairs(errors) do
    lines[index] = entry.message .. (entry.did_you_mean and ("; did you mean '%s'?"):format(entry.did_you_mean) or "")
  end
  return lines
end

-- What a planner says of the whole is not asked: its name is the step's, its input what is given.
local function completed(plan, goal, name)
  local own = {}
  for field, value in pairs(plan) do own[field] = value end
  own.weir, own.name, own.input = 1, name, goal_of.input_schema(goal)
  return own
end

local function refuse(problems, code)
  return nil, problems, code or "invalid"
end

local function rubbish(plan)
  if plan == nil or plan == json.null then return "the planner returned nothing" end
  if type(plan) ~= "table" then return "the planner returned " .. value_of.show(plan) end
  if json.is_list(plan) or plan.groups == nil then return "what the planner returned is no pipeline: it has no groups" end
  local refusal = plain.refusal(plan)
  return refusal and "the planner returned " .. refusal
end

---@class weir.planning.Plan
---@field normal table    the normal form
---@field version string  its hash
---@field agents string[] that it uses
---@field steps integer
---@field depth integer   steps one after the other

--- Checks what a planner, or a person, says.
---@param plan any
---@param goal weir.Goal
---@param agents table<string, weir.planning.Agent> by name: those that it may use
---@param options { name: string, limits: table? } name: of the step that plans
---@return weir.planning.Plan|nil
---@return string[]|nil problems all of them
---@return string|nil code invalid, not_found (an agent that it may not use), limit
function M.check(plan, goal, agents, options)
  local wrong = rubbish(plan)
  if wrong then return refuse { wrong } end
  local self = setmetatable({ agents = agents, problems = {}, used = {}, count = 0 }, Checker)
  only(self, plan, TOP, "the plan")
  local definition, errors = load.value(completed(plan, goal, options.name), { modules = lookup_of(self) })
  if not definition then
    local code = self.has_unknown and "not_found" or "invalid"
    return refuse(table.move(texts_of(errors), 1, #errors, #self.problems + 1, self.problems), code)
  end
  check_meaning(self, definition.normal, goal, options.limits or {})
  if #self.problems > 0 then return refuse(self.problems, self.code) end
  return { normal = definition.normal, version = definition.version, agents = value_of.names(self.used), steps = self.count,
    depth = self.depth }
end

return M
