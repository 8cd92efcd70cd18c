--- Plans by searching over what agents declare that they need and give: the cheapest way from what is given to what is wanted.
--- Needs no model; the same goal and agents give the same plan. Where there is none it says what is missing.

local arrange = require "weir.planning.arrange"
local search = require "weir.planning.search"
local weir = require "weir"

local M = {
  kind = "planner", name = "rules", api = 1, is_pure = true,
  doc = "Searches over what agents need and give",
  options = {
    per_second = { type = "number", minimum = 0, default = 0.1 }, -- what a second of recorded work adds to an agent's cost
    per_usd = { type = "number", minimum = 0, default = 100 },    -- and what a dollar does
    concurrency = { type = "integer", minimum = 1, default = 4 }, -- things of a list worked on at once
  },
}

local RESERVED = { input = true, event = true, run = true, error = true, workspace = true, item = true, index = true }

local function pause() end -- a call back is where a long search can be interrupted

local function member(root, name)
  if name:find "^[%a_][%w_]*$" then return ("%s.%s"):format(root, name) end
  return ("%s['%s']"):format(root, name:gsub("['\\]", "\\%0"))
end

local Writer = {}
Writer.__index = Writer

function Writer:name(wanted)
  local name, number = wanted, 1
  while self.taken[name] or RESERVED[name] do
    number = number + 1
    name = ("%s_%d"):format(wanted:sub(1, 60), number)
  end
  self.taken[name] = true
  return name
end

-- The map that goes through a list; its body grows with what is needed of each thing.
function Writer:map_of(list)
  local map = self.maps[list]
  if not map then
    map = { name = self:name("each_" .. list.item), body = {}, exports = {} }
    self.maps[list], self.order[#self.order + 1] = map, { map = map, list = list }
    map.over = self:path(list.over)
  end
  return map
end

-- What an agent may be given besides what it needs: things that are given to the plan.
function Writer:add_optional(agent, input)
  for name in pairs(agent.needs.properties or {}) do
    if input[name] == nil and self.goal.has[name] ~= nil then input[name] = member("$.input", name) end
  end
end

-- The step that uses an agent; the same use is one step.
function Writer:step_of(use)
  local step = self.steps[use]
  if step then return step end
  step = { name = self:name(use.agent.name), agent = use.agent.name, input = {} }
  self.steps[use] = step
  for name, fact in pairs(use.sources) do step.input[name] = self:path(fact) end
  self:add_optional(use.agent, step.input)
  local holder = use.list and self:map_of(use.list).body or self.outer
  holder[#holder + 1] = step
  return step
end

-- Where a thing is found.
function Writer:path(fact)
  if fact.how == "given" then return member("$.input", fact.name) end
  if fact.how == "item" then
    self:map_of(fact.list)
    return "$.item"
  end
  if fact.how == "gathered" then
    local map = self:map_of(fact.of.list)
    map.exports[fact.of.name] = self:path(fact.of)
    return member(("$.%s[*]"):format(map.name), fact.of.name)
  end
  return member("$." .. self:step_of(fact.use).name, fact.name)
end

local function body_of(map, item, name)
  if #map.body == 1 then return map.body[1] end
  return { name = name("one_" .. item), groups = assert(arrange.groups(map.body)), output = map.exports }
end

function Writer:finish_maps(concurrency)
  for _, one in ipairs(self.order) do
    local each = body_of(one.map, one.list.item, function(wanted) return self:name(wanted) end)
    table.insert(self.outer, { name = one.map.name, map = { over = one.map.over, concurrency = concurrency, each = each } })
  end
end

-- The way as a pipeline in normal form.
local function write(goal, way, concurrency)
  local writer = setmetatable({ goal = goal, taken = {}, maps = {}, order = {}, steps = {}, outer = {} }, Writer)
  local names, output = {}, {}
  for name in pairs(way.sources) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do output[name] = writer:path(way.sources[name]) end
  writer:finish_maps(concurrency)
  if #writer.outer == 0 then
    return nil, "all that is wanted is given already, so there is nothing to plan", "invalid"
  end
  table.sort(writer.outer, function(a, b) return a.name < b.name end)
  return { groups = assert(arrange.groups(writer.outer)), output = output }
end

-- A text that is the name of something that an agent gives is a wish for it.
local function wanted_of(goal, agents)
  if next(goal.want) ~= nil then return goal.want end
  for _, agent in ipairs(agents) do
    local gives = agent.gives.properties or {}
    if gives[goal.text] ~= nil then return { [goal.text] = {} } end
  end
end

local function weighed(agents, options)
  local list = {}
  for index, agent in ipairs(agents) do
    local cost = agent.cost + (agent.seconds or 0) * options.per_second + (agent.usd or 0) * options.per_usd
    list[index] = { name = agent.name, needs = agent.needs, gives = agent.gives, cost = cost }
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

-- Agents that failed in plans before are left out.
local function failed_agents(tried)
  local excluded, names = {}, {}
  for _, one in ipairs(tried) do
    if one.agent and not excluded[one.agent] then
      excluded[one.agent] = true
      names[#names + 1] = one.agent
    end
  end
  return excluded, names
end

local function lacking(one)
  local who = one.needed_by == "" and "which is wanted" or ("which agent '%s' needs"):format(one.needed_by)
  if one.is then return ("'%s' is there as %s, and does not fit what %s"):format(one.name, one.is, who:gsub("^which ", "")) end
  if one.is_in_a_circle then return ("'%s', %s, is given only by agents that need it first"):format(one.name, who) end
  return ("nothing gives '%s', %s"):format(one.name, who)
end

local function no_way(goal, missing, left_out)
  local parts = {}
  for index, one in ipairs(missing) do parts[index] = lacking(one) end
  local names = {}
  for name in pairs(goal.want) do names[#names + 1] = "'" .. name .. "'" end
  table.sort(names)
  local without = #left_out > 0 and (" without %s, which failed"):format(table.concat(left_out, ", ")) or ""
  return nil, ("no plan gives %s%s: %s; give it as the step's input, or name an agent that gives it"):format(table.concat(names, ", "),
    without, #parts > 0 and table.concat(parts, ", and ") or "the agents do not lead there"), "not_found"
end

--- Makes a plan. Does not wait.
---@param ctx weir.Context tried: plans that failed, {version, agent, error}
---@param goal weir.Goal
---@param agents weir.planning.Agent[]
---@return table|nil pipeline in normal form
---@return string|nil message
---@return string|nil code not_found (no plan exists: what is missing is named), invalid (nothing is wanted by name)
function M.plan(ctx, goal, agents)
  local want = wanted_of(goal, agents)
  if not want then
    return nil, "planner 'rules' needs to know what is wanted by name: goal = { text = \"...\", want = \"report\" }; "
      .. "a text alone is for a planner that asks a model", "invalid"
  end
  local excluded, left_out = failed_agents(ctx.tried)
  local wish = { want = want, has = goal.has }
  local way, missing = search.find(wish, weighed(agents, ctx.options), { exclude = excluded, pause = pause })
  if not way then return no_way(wish, missing, left_out) end
  local plan, message, code = write(wish, way, ctx.options.concurrency)
  if plan then plan.groups = weir.list(plan.groups) end
  return plan, message, code
end

return M
