--- The cheapest way from what is given to what is wanted, by agents that say what they need and give. Things are known by
--- their name and the kind of value. What is a list of things may be worked on thing by thing (in a map): `csv_files` holds
--- what is called `csv_file`, and what comes of each `table` is, gathered again, `tables`.
---
--- An agent is a rule: from all that it needs follows all that it gives. Source: D. Knuth, "A Generalization of Dijkstra's
--- Algorithm", Information Processing Letters 6, 1977: with a heap, what is cheapest is known for good when it is reached; the
--- search ends when everything is reached that can be, so that its failing proves that there is no way. The cost of a way counts
--- what is used twice twice; the way itself holds it once.
---
--- Pure. Runs to its end, but for calls of `pause`.

local types = require "weir.planning.types"
local value_of = require "weir.value"

local M = {}

local PER_ITEM = 2   -- what work thing by thing costs, for each work
local ASSUMED = 1e9  -- what it costs to assume a thing that nothing gives

---@class weir.planning.Fact a thing that is reached
---@field name string
---@field schema table
---@field cost number
---@field list weir.planning.List|nil  it is there for each thing of a list
---@field how "given"|"item"|"use"|"gathered"|"assumed"
---@field use weir.planning.Use|nil    of what was given by an agent
---@field of weir.planning.Fact|nil    of what was gathered

---@class weir.planning.List whose things are worked on one by one
---@field over weir.planning.Fact
---@field item string  what each of them is called

---@class weir.planning.Use of an agent, once or for each thing of a list
---@field agent weir.planning.Agent
---@field list weir.planning.List|nil
---@field sources table<string, weir.planning.Fact> by what it needs

-- A heap, the cheapest first; of equals the one that came first.

local function is_before(a, b)
  if a.cost ~= b.cost then return a.cost < b.cost end
  return a.order < b.order
end

local function push(heap, fact)
  local at = #heap + 1
  heap[at] = fact
  while at > 1 and is_before(fact, heap[at // 2]) do
    heap[at], heap[at // 2] = heap[at // 2], fact
    at = at // 2
  end
end

local function pop(heap)
  local first, last = heap[1], heap[#heap]
  heap[#heap] = nil
  if #heap == 0 then return first end
  local at = 1
  while true do
    local child = at * 2
    if child < #heap and is_before(heap[child + 1], heap[child]) then child = child + 1 end
    if child > #heap or not is_before(heap[child], last) then break end
    heap[at], at = heap[child], child
  end
  heap[at] = last
  return first
end

-- Names of lists and of what they hold.

local function singular(name)
  return name:match "^(.+)_list$" or name:match "^(.+)ies$" and name:match "^(.+)ies$" .. "y" or name:match "^(.+[^s])s$"
end

local function plural(name)
  local stem = name:match "^(.+[^aeiou])y$"
  return stem and stem .. "ies" or name .. "s"
end

M.singular, M.plural = singular, plural

-- The search -----------------------------------------------------------------------------------------------

local Search = {}
Search.__index = Search

local function add_fact(self, fact)
  self.order = self.order + 1
  fact.order = self.order
  push(self.heap, fact)
end

local function cost_of(use)
  local total = use.agent.cost * (use.list and PER_ITEM or 1)
  for _, fact in pairs(use.sources) do total = total + fact.cost end
  return total
end

local function belongs_to_list(use)
  for _, fact in pairs(use.sources) do
    if fact.list then return true end
  end
  return false
end

-- All is there that an agent needs: what it gives follows.
local function fire(self, use)
  if use.list and not belongs_to_list(use) then return end
  use.is_done = true
  if use.agent == self.goal then
    self.reached = use
    return
  end
  local cost = cost_of(use)
  for _, name in ipairs(value_of.names(use.agent.gives.properties or {})) do
    local of = use.agent.gives.properties[name]
    add_fact(self, { name = name, schema = type(of) == "table" and of or {}, cost = cost, how = "use", use = use, list = use.list })
  end
end

local function fill(self, use, fact)
  local needed = not use.is_done and use.needs[fact.name]
  if not needed then return end
  local before = use.sources[fact.name]
  if before and not (fact.list and not before.list) or not types.fits(fact.schema, needed) then return end
  use.sources[fact.name] = fact -- what belongs to the thing at hand goes before what is the same for all
  if not before then use.left = use.left - 1 end
  if use.left == 0 then fire(self, use) end
end

local function needs_of(agent)
  local needs, count = {}, 0
  for _, name in ipairs(agent.needs.required or {}) do
    local of = agent.needs.properties and agent.needs.properties[name]
    needs[name], count = type(of) == "table" and of or {}, count + 1
  end
  return needs, count
end

local function new_use(self, agent, list)
  local needs, count = self.needs[agent], self.counts[agent]
  local use = { agent = agent, list = list, needs = needs, left = count, sources = {} }
  for name in pairs(needs) do
    local waiting = self.waiting[name] or {}
    waiting[#waiting + 1] = use
    self.waiting[name] = waiting
  end
  return use
end

-- What an agent could do with each thing of a list, once one of the things that it needs belongs to it.
local function use_for_each(self, agent, fact)
  local list = fact.list
  local uses = self.uses[list]
  local use = uses[agent]
  if not use then
    use = new_use(self, agent, list)
    uses[agent] = use
    for name in pairs(use.needs) do
      for _, known in ipairs(list.known[name] or {}) do fill(self, use, known) end
      for _, known in ipairs(self.known[name] or {}) do fill(self, use, known) end
    end
  end
  fill(self, use, fact)
end

-- A list whose things have a name is one that can be gone through.
local function open_list(self, fact)
  local item = fact.how ~= "gathered" and fact.schema.type == "array" and singular(fact.name)
  if not item or not self.needing[item] or self.lists[fact.name] then return end
  local list = { over = fact, item = item, known = {} }
  self.lists[fact.name], self.uses[list] = list, {}
  local of = type(fact.schema.items) == "table" and fact.schema.items or {}
  add_fact(self, { name = item, schema = of, cost = fact.cost, how = "item", list = list })
end

local function is_known(known, fact)
  local same = known[fact.name] or {}
  known[fact.name] = same
  for _, other in ipairs(same) do
    if types.show(other.schema) == types.show(fact.schema) then return true end
  end
  same[#same + 1] = fact
  return false
end

local function gather(self, fact)
  if fact.how ~= "use" then return end
  add_fact(self, { name = plural(fact.name), schema = { type = "array", items = fact.schema }, cost = fact.cost, how = "gathered",
    of = fact })
end

local function reach(self, fact)
  local list = fact.list
  if is_known(list and list.known or self.known, fact) then return end
  for _, use in ipairs(self.waiting[fact.name] or {}) do
    if list == nil or use.list == list then fill(self, use, fact) end
  end
  if list or self.is_relaxed then gather(self, fact) end
  if not list then return open_list(self, fact) end
  for _, agent in ipairs(self.needing[fact.name] or {}) do use_for_each(self, agent, fact) end
end

local function new_search(goal, agents, excluded)
  local self = setmetatable({ heap = {}, order = 0, needs = {}, counts = {}, waiting = {}, uses = {}, lists = {}, known = {},
    needing = {} }, Search)
  local required = {}
  for _, name in ipairs(value_of.names(goal.want)) do required[#required + 1] = name end
  self.goal = { name = "", cost = 0, needs = { properties = goal.want, required = required }, gives = {} }
  self.agents = {}
  for _, agent in ipairs(agents) do
    if not excluded[agent.name] then self.agents[#self.agents + 1] = agent end
  end
  for _, agent in ipairs(self.agents) do
    self.needs[agent], self.counts[agent] = needs_of(agent)
    for name in pairs(self.needs[agent]) do
      self.needing[name] = self.needing[name] or {}
      table.insert(self.needing[name], agent)
    end
  end
  self.needs[self.goal], self.counts[self.goal] = needs_of(self.goal)
  return self
end

local function begin(self, goal)
  local first = {}
  for index, agent in ipairs(self.agents) do first[index] = new_use(self, agent) end
  new_use(self, self.goal)
  for _, name in ipairs(value_of.names(goal.has)) do
    add_fact(self, { name = name, schema = goal.has[name], cost = 0, how = "given" })
  end
  for _, use in ipairs(first) do
    if use.left == 0 then fire(self, use) end
  end
end

local function run(self, pause)
  while not self.reached and #self.heap > 0 do
    reach(self, pop(self.heap))
    if pause then pause() end
  end
  return self.reached
end

-- Why there is no way --------------------------------------------------------------------------------------

local function given_by_agents(self)
  local gives = {}
  for _, agent in ipairs(self.agents) do
    for name in pairs(agent.gives.properties or {}) do
      gives[name], gives[plural(name)] = true, true
    end
  end
  return gives
end

-- What may be assumed: at first what agents need, or is wanted, and nothing gives; then whatever agents need; then all.
local function assumptions(self, goal, level)
  local gives, found = given_by_agents(self), {}
  local function note(name, of, may_be_given)
    local is_there = gives[name] or gives[plural(name)] or goal.has[name] ~= nil or goal.has[plural(name)] ~= nil
    if (may_be_given or not is_there) and found[name] == nil then found[name] = of end
  end
  for _, agent in ipairs(self.agents) do
    for name, of in pairs(self.needs[agent]) do note(name, of, level > 1) end
  end
  for name, of in pairs(self.needs[self.goal]) do note(name, of, level > 2) end
  return found, gives
end

local function assumed_in(use, found, seen)
  if seen[use] then return found end
  seen[use] = true
  for _, name in ipairs(value_of.names(use.sources)) do
    local fact = use.sources[name]
    if fact.how == "gathered" then fact = fact.of end
    if fact.how == "assumed" and not found[name] then found[name] = use.agent.name end
    if fact.list and fact.list.over.use then assumed_in(fact.list.over.use, found, seen) end
    if fact.use then assumed_in(fact.use, found, seen) end
  end
  return found
end

-- The things that would have to be there for a way, as few as possible.
local function missing(goal, agents, excluded, pause)
  for level = 1, 3 do
    local self = new_search(goal, agents, excluded)
    self.is_relaxed = true -- where the things of a list are missing, so is the list
    begin(self, goal)
    local assumed, gives = assumptions(self, goal, level)
    for _, name in ipairs(value_of.names(assumed)) do
      add_fact(self, { name = name, schema = assumed[name], cost = ASSUMED, how = "assumed" })
    end
    local reached = run(self, pause)
    if reached then return assumed_in(reached, {}, {}), gives end
  end
  return {}, {}
end

-- A thing of that name that is of another kind.
local function other_kind(self, name)
  local known = self.known[name]
  return known and known[1] and types.show(known[1].schema) or nil
end

---@class weir.planning.Missing
---@field name string
---@field needed_by string  an agent; "" for what is wanted
---@field is string|nil     there is one, of this kind, which does not fit
---@field is_in_a_circle boolean|nil  who gives it needs it first

--- Finds the cheapest way.
---@param goal { want: table<string, table>, has: table<string, table> } schemas by name
---@param agents weir.planning.Agent[]
---@param options { exclude: table<string, boolean>?, pause: fun()? }|nil exclude: agents that are not used
---@return weir.planning.Use|nil use its sources are what is wanted, by name
---@return weir.planning.Missing[]|nil missing when there is no way: what would have to be there
function M.find(goal, agents, options)
  options = options or {}
  local excluded = options.exclude or {}
  local self = new_search(goal, agents, excluded)
  begin(self, goal)
  local reached = run(self, options.pause)
  if reached then return reached end
  local lacks, gives = missing(goal, agents, excluded, options.pause)
  local list = {}
  for _, name in ipairs(value_of.names(lacks)) do
    local is = other_kind(self, name)
    list[#list + 1] = { name = name, needed_by = lacks[name], is = is, is_in_a_circle = not is and gives[name] }
  end
  return nil, list
end

return M
