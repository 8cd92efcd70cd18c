--- The triggers of a project's pipelines at work: for each entry of `on` a source, for each pipeline a line in which events
--- wait for their turn. They follow reloads: a source that has changed is started again with the offset that it has come to,
--- one that has gone stops, its pipeline's queue stays. Active in a living host only.
---
--- Space `trigger.paused`: by source, {at_ms, by}.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local gate = require "weir.gate"
local json = require "weir.native.json"
local line_of = require "weir.trigger.line"
local native = require "weir.native.scheduler"
local rules_of = require "weir.trigger.rules"
local signature = require "weir.http.signature"
local source_of = require "weir.trigger.source"
local value_of = require "weir.value"

local M = {}

M.PAUSED = "trigger.paused"

---@class weir.Triggers
---@field host weir.Host
---@field sources table<string, weir.Source> by id
---@field lines table<string, weir.Line> by pipeline
---@field counts table<string, table<string, integer>> outcomes by source
---@field broken table<string, string> why a pipeline's triggers are off
local Triggers = {}
Triggers.__index = Triggers

--- Counts what became of an event. Does not wait.
---@param source string
---@param outcome string
function Triggers:count(source, outcome)
  local own = self.counts[source] or {}
  own[outcome], self.counts[source] = (own[outcome] or 0) + 1, own
end

-- Following the definitions ----------------------------------------------------------------------------

-- What a source is made of: when that stays the same, it is left alone.
local function print_of(self, rules, data)
  local entry = self.host.project.registry:lookup("watcher", rules.watcher)
  return json.encode({ data, entry and entry.version or json.null }, { canonical = true })
end

local function is_own(self, definition)
  local root = self.host.project.root .. "/"
  return definition.file ~= nil and (definition.file:sub(1, #root) == root or definition.file:sub(1, 1) ~= "/")
end

local function add_hook(self, rules)
  local options, http = rules.options, self.host.http
  if rules.watcher ~= "webhook" or not options.secret or not http then return end
  local path = options.path
  if http.hooks[path] and not self.hooks[path] then
    failure.raise("invalid", "weir.lua names the hook '%s' already; leave 'scheme' and 'secret' out of the trigger", path)
  end
  http.hooks[path] = signature.new(options, ("webhook '%s'"):format(path))
  self.hooks[path] = rules.id
end

local function drop_hook(self, id)
  for path, owner in pairs(self.hooks) do
    if owner == id then
      self.hooks[path] = nil
      if self.host.http then self.host.http.hooks[path] = nil end
    end
  end
end

local function is_paused(self, id)
  return self.host.store:get(M.PAUSED, id) ~= nil
end

local function stop_source(self, id)
  local source = self.sources[id]
  if not source then return end
  while source.task do source:stop() end -- somebody may resume it meanwhile
  drop_hook(self, id)
  self.sources[id] = nil
end

local function start_source(self, rules, line, made_of)
  local source = source_of.new(self, rules, line)
  source.made_of = made_of
  self.sources[rules.id], line.rules[rules.id] = source, rules
  local ok, err = pcall(add_hook, self, rules)
  if not ok then
    source.status, source.trouble = "failing", failure.of(err).message
    self.host.log:warn("a source cannot be started", { source = rules.id, error = source.trouble })
  elseif is_paused(self, rules.id) then
    source.status = "paused"
  else
    source:start()
  end
end

local function line_for(self, definition)
  local settings, line = rules_of.queue_of(definition), self.lines[definition.name]
  if line then
    line:set(settings)
    return line
  end
  line = line_of.new(self, definition.name, settings)
  self.lines[definition.name] = line
  line:start()
  return line
end

local function follow_definition(self, definition, wanted)
  local list = rules_of.of(definition)
  if #list == 0 then return end
  local line = line_for(self, definition)
  local datas = {}
  for _, data in ipairs(definition.normal.on) do
    if data.schedule == nil then datas[#datas + 1] = data end
  end
  for index, rules in ipairs(list) do
    wanted[rules.id] = true
    local made_of = print_of(self, rules, datas[index])
    local source = self.sources[rules.id]
    if not source or source.made_of ~= made_of then
      stop_source(self, rules.id)
      start_source(self, rules, line, made_of)
    end
  end
end

local function broken(self, name, err)
  if self.broken[name] == err.message then return end
  self.broken[name] = err.message
  self.host.log:warn("a pipeline cannot be loaded; its triggers are off", { pipeline = name, error = err.message })
end

-- One that cannot be loaded any more goes on with what served before.
local function follow_pipeline(self, name, wanted)
  local definition, err = self.host.project:pipeline(name)
  if not definition then return broken(self, name, err) end
  if not is_own(self, definition) or definition.is_removed or not definition.normal.on then return end
  self.broken[name] = nil
  local ok, raised = pcall(follow_definition, self, definition, wanted)
  if not ok then
    native.recover()
    broken(self, name, failure.of(raised))
  end
end

local function follow_all(self)
  local wanted = {}
  for _, name in ipairs(self.host.project:pipeline_names()) do
    if self.host.project:is_own_pipeline(name) then follow_pipeline(self, name, wanted) end
  end
  for _, id in ipairs(value_of.names(self.sources)) do
    if not wanted[id] then stop_source(self, id) end
  end
end

local function follow(self)
  while true do
    self.is_nudged, self.is_under_way = false, true
    local ok, err = pcall(follow_all, self)
    native.check()
    if not ok then
      native.recover()
      self.host.log:error("triggers could not be started", { error = failure.of(err).message })
    end
    self.rounds, self.is_under_way = self.rounds + 1, false
    self.on_round:open()
    self.on_round = gate.new()
    if not self.is_nudged then
      self.waiter = native.waiter()
      self.waiter:wait "a change of a trigger"
      self.waiter = nil
    end
  end
end

--- Looks again at what the pipelines say. Does not wait.
function Triggers:nudge()
  self.is_nudged = true
  if self.waiter then self.waiter:wake() end
end

--- Waits until what the pipelines say now is at work.
---@param timeout number|nil seconds, default 60
---@return boolean done
function Triggers:settle(timeout)
  local wanted = self.rounds + (self.is_under_way and 2 or 1) -- a round that is under way has begun before now
  self:nudge()
  local deadline = clock.now() + (timeout or 60)
  while self.rounds < wanted do
    if clock.now() > deadline then return false end
    self.on_round:wait("the triggers", math.max(0.01, deadline - clock.now()))
  end
  return true
end

--- Starts the triggers of a host's project. Does not wait for them.
---@param host weir.Host
---@return weir.Triggers
function M.start(host)
  local self = setmetatable({ host = host, sources = {}, lines = {}, counts = {}, broken = {}, hooks = {}, rounds = 0,
    on_round = gate.new() }, Triggers)
  self.stop_observing = host.project.registry:observe(function() self:nudge() end)
  self.task = native.spawn_root(follow, self)
  return self
end

--- Ends all sources, then all lines. Safe twice. Waits.
function Triggers:close()
  if not self.task then return end
  self.stop_observing()
  self.task:cancel "the host stops"
  self.task:join()
  self.task = nil
  for _, source in pairs(self.sources) do source:stop() end
  for _, line in pairs(self.lines) do line:close() end
end

-- For people -------------------------------------------------------------------------------------------

local function find(self, id)
  local source = self.sources[id]
  if source then return source end
  failure.raise("not_found", "there is no source '%s'%s", tostring(id):sub(1, 200),
    require("weir.suggest").hint(tostring(id), value_of.names(self.sources)))
end

-- Has a source do what the store says now: while somebody waited, another one may have said otherwise, or a reload may have put
-- another source in its place.
local function obey(self, id)
  while true do
    local source = find(self, id)
    if not is_paused(self, id) then
      if not source.task then
        source.status = "starting"
        source:start()
      end
      return source
    end
    if not source.task then
      source.status, source.trouble = "paused", nil
      return source
    end
    source:stop()
  end
end

--- Pauses a source: it gives nothing until it is resumed, also in another life. What comes from outside for it meanwhile
--- stays in the log, and is given then. Waits until that is on disk.
---@param id string
---@param by string|nil
---@return weir.Source
function Triggers:pause(id, by)
  find(self, id)
  local done, message, code = self.host.store:put(M.PAUSED, id, { at_ms = clock.wall_ms(), by = by })
  if not done then failure.raise(code or "failed", "%s", message) end
  return obey(self, id)
end

--- Has a paused source go on from where it was. Waits until that is on disk.
---@param id string
---@return weir.Source
function Triggers:resume(id)
  find(self, id)
  local done, message, code = self.host.store:delete(M.PAUSED, id)
  if done == nil and code ~= "not_found" then failure.raise(code or "failed", "%s", message) end
  return obey(self, id)
end

--- How a source stands. Does not wait.
---@param source weir.Source
---@return table {id, pipeline, watcher, version, status, trouble, last_at, counts, depth, dead}
function Triggers:describe(source)
  local counts = source.line:counts()
  return { id = source.rules.id, pipeline = source.rules.pipeline, watcher = source.rules.watcher, version = source.version,
    status = source.status, trouble = source.trouble, last_at = source.last_ms and clock.rfc3339(source.last_ms) or nil,
    counts = value_of.copy(self.counts[source.rules.id] or {}), depth = counts.depth, dead = counts.dead, active = counts.active }
end

--- All sources in order. Does not wait.
---@return table[] as `describe`
function Triggers:list()
  local list = {}
  for index, id in ipairs(value_of.names(self.sources)) do list[index] = self:describe(self.sources[id]) end
  return list
end

return M
