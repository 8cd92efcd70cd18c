--- How long something will take and what it will cost, from what the store has recorded: per agent the median of its
--- seconds, the mean of its money, how many items it was given where it worked in a map. For an agent that asks a model and has
--- no record, what is known of the model. What nothing is known of is named, not guessed.

local json = require "weir.native.json"
local keys = require "weir.run.keys"
local native = require "weir.native.scheduler"
local place = require "weir.view.place"
local value_of = require "weir.value"

local M = {}

local RUNS, ENTRIES, SAMPLES = 60, 2000, 200 -- of the newest runs; of each of them; of each agent
local CONCURRENCY = 8                        -- of a map that does not say

---@class weir.planning.Known of one agent
---@field count integer  times that were recorded
---@field seconds number the median
---@field usd number|nil the mean, where any money was recorded
---@field items number|nil the median number of items, where it worked in a map

local function median(values)
  table.sort(values)
  local middle = #values // 2
  if #values % 2 == 1 then return values[middle + 1] end
  return (values[middle] + values[middle + 1]) / 2
end

local function known(value)
  if value == json.null then return nil end
  return value
end

-- Places of the steps of a run: in its definition, and in the plans that it made.
local function places_of(store, entries, head, definitions)
  local function normal_of(version)
    if definitions[version] == nil then
      local kept = store:get("definitions", version)
      definitions[version] = kept and known(kept.normal) or false
    end
    return definitions[version] or nil
  end
  local plans = {}
  for _, entry in ipairs(entries) do
    local prefix = keys.plan_prefix(entry)
    if prefix then plans[prefix] = place.new(normal_of(entry[3].version)) end
  end
  return place.new(normal_of(head.version)), plans
end

local function node_at(key, whole, plans)
  for prefix, places in pairs(plans) do
    if key:sub(1, #prefix) == prefix then return places:find(key:sub(#prefix + 1)).node end
  end
  return whole:find(key).node
end

local function sample_of(samples, agent)
  local own = samples[agent]
  if not own then
    own = { seconds = {}, usd = 0, priced = 0, items = {} }
    samples[agent] = own
  end
  return own
end

local function usd_of(entry)
  local extra = known(entry[9])
  local usage = type(extra) == "table" and extra.usage or nil
  return type(usage) == "table" and (usage.usd or usage.usd_estimated) or nil
end

local function note(samples, items, agent, entry)
  local own = sample_of(samples, agent)
  if #own.seconds < SAMPLES then own.seconds[#own.seconds + 1] = math.max(0, entry[6] - entry[5]) / 1000 end
  local usd = usd_of(entry)
  if usd then own.usd, own.priced = own.usd + usd, own.priced + 1 end
  local map = entry[2]:match "^(.*)%[%d+%][^%[]*$"
  if map then
    local key = agent .. "\0" .. map
    items[key] = { agent = agent, count = (items[key] and items[key].count or 0) + 1 }
  end
end

local function read_run(store, run_id, samples, definitions)
  local entries = store:entries(run_id, 0, ENTRIES) or {}
  local head = entries[1] and entries[1][1] == "run" and entries[1][2]
  if not head then return end
  local whole, plans = places_of(store, entries, head, definitions)
  local items = {}
  for _, entry in ipairs(entries) do
    if entry[1] == "step" and entry[4] == "finished" and not (known(entry[9]) or {}).kept then
      local node = node_at(entry[2], whole, plans)
      if node and node.agent then note(samples, items, node.agent, entry) end
    end
  end
  for _, one in pairs(items) do
    local own = samples[one.agent]
    own.items[#own.items + 1] = one.count
  end
end

--- What is recorded of agents, in the newest runs of a store. May yield.
---@param store weir.Store|nil
---@return table<string, weir.planning.Known> by name
function M.known(store)
  local samples, definitions, result = {}, {}, {}
  for _, found in ipairs(store and store:runs { reverse = true, limit = RUNS, damaged = true } or {}) do
    read_run(store, found.id, samples, definitions)
    native.yield()
  end
  for agent, own in pairs(samples) do
    result[agent] = { count = #own.seconds, seconds = median(own.seconds), usd = own.priced > 0 and own.usd / own.priced or nil,
      items = #own.items > 0 and median(own.items) or nil }
  end
  return result
end

-- What a model is known to take, for agents that ask one.
local function of_model(self, name)
  local module = self.module_of and self.module_of(name)
  if not (module and module.asks_model and self.model_metrics) then return nil end
  local metrics = self.model_metrics()
  if not metrics or not metrics.total_p50 then return nil end
  return { count = metrics.calls, seconds = metrics.total_p50, usd = metrics.usd_per_call }
end

-- Estimating -----------------------------------------------------------------------------------------------

local of_groups

local function nothing() return { seconds = 0, usd = 0 } end

local function of_agent(self, name)
  local own = self.known[name] or of_model(self, name)
  if not own then
    self.unknown[name] = true
    return nothing()
  end
  return { seconds = own.seconds, usd = own.usd or 0 }
end

-- The agents inside of a step.
local function agents_in(step, names)
  if step.agent then names[#names + 1] = step.agent end
  for _, group in ipairs(step.groups or {}) do
    for _, inner in ipairs(group.steps) do agents_in(inner, names) end
  end
  return names
end

local function items_of(self, step)
  local over = step.map.over
  if type(over) == "table" then return #over end
  for _, name in ipairs(agents_in(step.map.each, {})) do
    local own = self.known[name]
    if own and own.items then return own.items end
  end
  self.uncounted[step.name] = true
  return 1
end

local function at_once(concurrency)
  if type(concurrency) == "table" then return concurrency.max or CONCURRENCY end
  return concurrency or CONCURRENCY
end

local of_step

local function of_map(self, step)
  local one, count = of_step(self, step.map.each), items_of(self, step)
  local total = { seconds = one.seconds * math.ceil(count / at_once(step.map.concurrency)), usd = one.usd * count }
  if step.map.reduce then
    local reduced = of_agent(self, step.map.reduce.agent)
    total.seconds, total.usd = total.seconds + reduced.seconds, total.usd + reduced.usd
  end
  return total
end

function of_step(self, step)
  if step.agent then return of_agent(self, step.agent) end
  if step.map then return of_map(self, step) end
  if step.groups then return of_groups(self, step.groups) end
  if step.plan and self.of_plan then
    local inner = self.of_plan(step)
    if inner then return of_groups(self, inner.groups) end
  end
  if step.approval or step.wait or step.sleep then
    self.waits[step.name] = true
    return nothing()
  end
  self.unknown[step.pipeline or step.name] = true
  return nothing()
end

function of_groups(self, groups)
  local total = nothing()
  for _, group in ipairs(groups) do
    local longest = 0
    for _, step in ipairs(group.steps) do
      local own = of_step(self, step)
      longest, total.usd = math.max(longest, own.seconds), total.usd + own.usd
    end
    total.seconds = total.seconds + longest
  end
  return total
end

local function rounded(value)
  return math.floor(value * 1e6 + 0.5) / 1e6
end

---@class weir.Estimate
---@field seconds number   of what is known, steps side by side counted once
---@field usd number
---@field unknown string[] agents and pipelines of which there is no record
---@field uncounted string[] maps of which nobody knows how many items they have: counted as one
---@field waits string[]   steps that wait for people, signals, time: not counted

--- What groups will take.
---@param groups table[] of a normal form
---@param about { known: table<string, weir.planning.Known>, module_of: (fun(agent: string): table?)?, model_metrics: (fun(): table?)?,
---  of_plan: (fun(step: table): table?)? } of_plan: the normal form that a step with `plan` will make, if that can be said
---@return weir.Estimate
function M.of(groups, about)
  local self = setmetatable({ unknown = {}, uncounted = {}, waits = {} }, { __index = about })
  local total = of_groups(self, groups)
  return { seconds = rounded(total.seconds), usd = rounded(total.usd), unknown = json.list(value_of.names(self.unknown)),
    uncounted = json.list(value_of.names(self.uncounted)), waits = json.list(value_of.names(self.waits)) }
end

-- What an engine knows of the model of those that name none.
local function metrics_of(engine, model)
  return function()
    local models = require "weir.model"
    local ok, candidates = pcall(function() return (models.of(engine):choice(model)) end)
    return ok and candidates[1] and models.of(engine).router.statistics:of(candidates[1].name) or nil
  end
end

--- What an engine knows of modules and models that estimates are made of.
---@param engine weir.Engine
---@param model any of those that name none
---@return table about without `known`
function M.about_modules(engine, model)
  local registry = engine.project.registry
  return { known = {}, model_metrics = metrics_of(engine, model), module_of = function(name)
    local entry = registry:get("agents/" .. name)
    return entry and entry.module
  end }
end

--- All that an engine knows that estimates are made of. May yield.
---@param engine weir.Engine
---@param model any of those that name none
---@return table about
function M.about(engine, model)
  local about = M.about_modules(engine, model)
  local metrics = about.model_metrics()
  about.known, about.model_metrics = M.known(engine.store), function() return metrics end
  return about
end

local function listed(names, what)
  if #names == 0 then return "" end
  return ("; %s: %s"):format(what, table.concat(names, ", "))
end

local function seconds_text(seconds)
  if seconds >= 90 then return ("%d min"):format(math.ceil(seconds / 60)) end
  if seconds >= 1 then return ("%.0f s"):format(seconds) end
  return seconds > 0 and ("%.0f ms"):format(math.max(1, seconds * 1000)) or "no time"
end

--- An estimate as a line for people.
---@param estimate weir.Estimate
---@return string
function M.show(estimate)
  local is_known = estimate.seconds > 0 or #estimate.unknown == 0
  local time = is_known and "about " .. seconds_text(estimate.seconds) or "not known how long"
  local money = estimate.usd > 0 and (", %.4f USD"):format(estimate.usd) or ""
  return time .. money .. listed(estimate.unknown, "no record yet of") .. listed(estimate.uncounted, "counted as one item")
    .. listed(estimate.waits, "not counted, since they wait")
end

return M
