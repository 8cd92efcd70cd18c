--- weir run --dry-run: what a pipeline would run, with the modules and their versions, the plans that it would make, and how
--- long that will take by what is recorded. Nothing is executed.

local client = require "weir.serve.client"
local estimates = require "weir.planning.estimate"
local json = require "weir.native.json"
local place = require "weir.view.place"
local sayable = require "weir.view.sayable"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"

local M = {}

local SHORT = 12

local visit_groups

-- The plan that would be made, where that can be said without a run.
local function visit_plan(self, step, depth)
  self:use("planners/" .. (step.plan.planner and step.plan.planner.use or "rules"))
  local plan, message, code = require("weir.planning.preview").of(self.here, step, { input = self.input }, self.about.known, self.store)
  if plan then
    self.plans[step] = plan
    self.steps[#self.steps].plan = plan.version
    return visit_groups(self, plan.normal.groups, depth + 1)
  end
  self.steps[#self.steps].unplanned = { message = message, code = code }
end

local function visit_step(self, step, depth)
  local full = step.agent and "agents/" .. step.agent
  local entry = full and self.here.registry:get(full)
  local version = entry and entry.version
  if entry then self.modules[full] = { version = version, file = entry.file } end
  self.steps[#self.steps + 1] = { depth = depth, name = step.name, by = place.done_by(step), version = version, when = step.when }
  for _, use in ipairs(step.critic and step.critic.use or {}) do self:use("critics/" .. use.use, "judges/" .. use.use) end
  if step.groups then visit_groups(self, step.groups, depth + 1) end
  if step.speculate then
    for _, branch in ipairs(step.speculate.branches) do visit_step(self, branch, depth + 1) end
    if step.speculate.judge then self:use("judges/" .. step.speculate.judge.use, "critics/" .. step.speculate.judge.use) end
  end
  if step.plan then visit_plan(self, step, depth) end
  if step.map then
    visit_step(self, step.map.each, depth + 1)
    if step.map.reduce then self:use("agents/" .. step.map.reduce.agent) end
    if step.map.chunk then self:use("agents/" .. step.map.chunk.agent) end
  end
end

function visit_groups(self, groups, depth)
  for _, group in ipairs(groups) do
    local is_bare = #group.steps == 1 and group.steps[1].name == group.name
    if not is_bare then self.steps[#self.steps + 1] = { depth = depth, group = group.name, join = group.join, count = #group.steps } end
    for _, step in ipairs(group.steps) do visit_step(self, step, is_bare and depth or depth + 1) end
  end
end

local Visit = {}
Visit.__index = Visit

function Visit:use(full, otherwise)
  local entry = self.here.registry:get(full)
  if not entry and otherwise then return self:use(otherwise) end
  if entry then self.modules[full] = { version = entry.version, file = entry.file } end
end

local function visit(here, definition, input, store)
  local about = estimates.about(session.engine(here, store))
  local self = setmetatable({ here = here, steps = {}, modules = {}, plans = {}, input = input, about = about, store = store }, Visit)
  if not definition.normal.groups then return self end
  visit_groups(self, definition.normal.groups, 0)
  about.of_plan = function(step) return self.plans[step] and self.plans[step].normal end
  self.estimate = estimates.of(definition.normal.groups, about)
  return self
end

-- What is recorded is in the store, if there is one and nobody else has it.
local function store_of(here, arguments)
  local path = here:store_path(arguments.store)
  if not client.host() and (path == ":memory:" or not require("luv").fs_stat(path)) then return nil end
  local ok, store = pcall(session.open_present_store, here, arguments.store)
  return ok and store or nil
end

local function look(here, definition, input, arguments)
  local store = store_of(here, arguments)
  if not store then return visit(here, definition, input, nil) end
  return session.with_store(store, function() return visit(here, definition, input, store) end)
end

local function line_of(out, step)
  local indent = ("  "):rep(step.depth + 1)
  if step.group then
    return indent .. out:paint("bold", step.group) .. out:paint("dim", step.count > 1 and "  side by side:" or ":")
  end
  local by = step.by and step.by ~= step.name and "  " .. step.by or ""
  local when = step.when and ("  when " .. step.when) or ""
  local plan = step.plan and "  " .. step.plan:sub(1, SHORT) or step.unplanned and "  " .. step.unplanned.message or ""
  return indent .. step.name .. out:paint("dim", by .. when .. plan)
end

local function say(context, definition, input, found)
  local out = context.out
  out:line(("%s  version %s"):format(out:paint("bold", definition.name), definition.version:sub(1, SHORT)))
  out:line("input " .. sayable.encode(input))
  if definition.kind == "flow" then
    out:line "a flow: what it runs is known when it runs"
  else
    out:line "would run, group after group:"
    for _, step in ipairs(found.steps) do out:line(line_of(out, step)) end
  end
  if found.estimate then out:line("estimate: " .. estimates.show(found.estimate)) end
  local names = require("weir.value").names(found.modules)
  if #names > 0 then out:line "with these modules:" end
  for _, full in ipairs(names) do
    out:line(("  %s  %s"):format(full, out:paint("dim", found.modules[full].version:sub(1, SHORT))))
  end
  context.err:line "nothing was run"
end

local function as_json(definition, input, found)
  local steps, modules = json.list {}, json.list {}
  for _, step in ipairs(found.steps) do
    if step.name then
      steps[#steps + 1] = { step = step.name, depth = step.depth, agent = step.by or json.null,
        version = step.version or json.null, when = step.when or json.null, plan = step.plan or json.null,
        problem = step.unplanned and { code = step.unplanned.code, message = step.unplanned.message } or json.null }
    end
  end
  for _, full in ipairs(require("weir.value").names(found.modules)) do
    modules[#modules + 1] = { name = full, version = found.modules[full].version, file = found.modules[full].file }
  end
  return { pipeline = definition.name, version = definition.version, input = input, steps = steps, modules = modules,
    estimate = found.estimate or json.null }
end

--- Says what would run.
---@param context weir.cli.Context
---@param here weir.Project
---@param definition weir.Definition
---@param input any checked, with its defaults
---@param arguments { json: boolean? }
---@return integer status
function M.run(context, here, definition, input, arguments)
  local found = look(here, definition, input, arguments)
  if arguments.json then
    context.out:line(shape.line(as_json(definition, input, found)))
  else
    say(context, definition, input, found)
  end
  return status.finished
end

return M
