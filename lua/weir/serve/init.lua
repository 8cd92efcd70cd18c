--- A living host: it has a project's store, goes on with every unfinished run, wakes runs when their time has come, and
--- serves those who talk to it until it is stopped. The one owner of what it opens: everything ends with `stop`.

local bucket = require "weir.serve.bucket"
local canary = require "weir.healing.canary"
local clock = require "weir.port.clock"
local engine_of = require "weir.run.engine"
local failure = require "weir.failure"
local feed_of = require "weir.serve.feed"
local gate = require "weir.gate"
local house = require "weir.serve.house"
local intake_of = require "weir.event.intake"
local native = require "weir.native.scheduler"
local project_of = require "weir.project"
local recovery = require "weir.run.recovery"
local reminders = require "weir.serve.reminders"
local schedules = require "weir.serve.schedules"
local settings_of = require "weir.settings"
local task = require "weir.task"
local triggers_of = require "weir.trigger"
local upgrade = require "weir.run.upgrade"
local waking = require "weir.run.waking"

local M = {}

local REVIVED_PER_SECOND, REVIVED_BURST = 2000, 256 -- parked runs whose time has come
local ANY_PORT = "127.0.0.1:0"
local AGAIN = 1 -- seconds after which it is tried again to watch files
local GRACE = 3 -- seconds that runs have to reach a checkpoint when the host stops

---@class weir.Host
---@field project weir.Project
---@field store weir.Store
---@field engine weir.Engine
---@field feed weir.Feed
---@field log weir.Log
---@field settings table<string, any>  values that hold, by name
---@field settled table<string, weir.Settled>
---@field started_ms integer
---@field can_write boolean whether whoever attaches may change things
---@field url string|nil      of the HTTP door
---@field http table|nil
---@field schedules weir.Schedules|nil
---@field events weir.EventIntake
---@field triggers weir.Triggers|nil
---@field watchers table<string, table<function, true>> who hears of a run's events, by its id
local Host = {}
Host.__index = Host

-- What runs say -------------------------------------------------------------------------------------

local ENDS = { finished = "info", cancelled = "info", failed = "warn", quarantined = "error" }

local function log_run(self, event, run)
  local err = event.error
  local fields = { run = run.id, pipeline = run.plan.name, error = err and err.message, code = err and err.code, step = err and err.step }
  if event.status == "running" then return self.log:debug(event.again and "run goes on" or "run begins", fields) end
  if run.interrupted then return self.log:debug("run " .. run.interrupted, fields) end
  self.log:record(ENDS[event.status] or "info", "run " .. event.status, fields)
end

-- What is for people is in the log, whatever becomes of the run.
local function log_incident(self, event, run)
  self.log:warn("incident escalated", { incident = event.incident, kind = event.incident_kind, run = run.id, pipeline = run.plan.name,
    step = event.step, code = event.code, error = event.message, reason = event.reason })
end

local function observe(self)
  return function(event, run)
    self.feed:of_run(event, run)
    for watcher in pairs(self.watchers[run.id] or {}) do watcher(event, run) end
    if event.kind == "incident" and event.state == "escalated" then log_incident(self, event, run) end
    if event.kind ~= "run" then return end
    log_run(self, event, run)
    if self.idle and next(self.engine.live) == nil then self.idle:wake() end
  end
end

--- Has a function hear what a run notifies of, in this life and the next ones, until it is taken back. Does not wait.
---@param run_id string
---@param watcher fun(event: table, run: weir.Run)
---@return fun() take_back
function Host:watch(run_id, watcher)
  local list = self.watchers[run_id] or {}
  self.watchers[run_id] = list
  list[watcher] = true
  return function()
    list[watcher] = nil
    if next(list) == nil and self.watchers[run_id] == list then self.watchers[run_id] = nil end
  end
end

--- Executes a prepared run outside of whatever the caller does. Does not wait.
---@param run weir.Run
---@return { err: any } outcome gets what the run raised: that it could not be kept
function Host:carry(run)
  local outcome = {}
  native.spawn_root(function()
    native.set_local("weir.client", false)
    local ok, err = pcall(run.execute, run)
    if ok then return end
    native.recover()
    outcome.err = err
    self.log:error("a run could not be kept", { run = run.id, error = failure.of(err).message })
  end)
  return outcome
end

-- Starting ------------------------------------------------------------------------------------------

local function open_store(path)
  local store, message, code = require("weir.port.store").open(path, {})
  if store then return store end
  if code == "conflict" then message = message .. "; if that is a host, `weir repl` joins it" end
  local err = failure.new(code or "failed", "%s", message:find(path, 1, true) and message or ("store '%s': %s"):format(path, message))
  err.is_of_store = true
  error(err, 0)
end

local function refused(self)
  return function(run_id, err)
    self.log:warn("run cannot go on", { run = run_id, code = err.code, error = err.message })
  end
end

-- Those that were under way go on at once; those whose time has come in the order of their moments, so many a second
-- that new work is served between them.
local function go_on_with_runs(self)
  local tokens = bucket.new(REVIVED_PER_SECOND, REVIVED_BURST)
  self.service = waking.serve(self.engine, function(engine, run_id)
    tokens:take()
    if not engine.is_stopping then recovery.go_on(engine, run_id) end
  end, refused(self), function(err) self.log:error("waiting runs could not be looked at", { code = err.code, error = err.message }) end)
  local on_refused = refused(self)
  self.recovery = native.spawn_root(function()
    recovery.all(self.engine, { due = false, on_left = function(run_id, _, err)
      if err then on_refused(run_id, err) end
    end })
  end)
end

-- A second host of the machine finds the default port taken: it gets another one, since nobody asked for that one.
local function start_http(self, options)
  local http = require "weir.http"
  local ok, door = pcall(http.start, self, options)
  if ok then return door end
  if failure.of(door).code ~= "conflict" or self.settled.listen.origin ~= "default" then error(door, 0) end
  options.listen = ANY_PORT
  return http.start(self, options)
end

local function open_http(self, options)
  local listen = self.settings.listen
  if options.http == false then return end
  local path = self.store:path()
  self.http = start_http(self, { listen = listen or nil, socket = path ~= ":memory:" and path .. "/host.sock" or nil,
    tokens = self.settings.tokens })
  self.url = self.http.url
  if self.http.token then require("weir.log").secret(self.http.token) end
end

-- What another life has taken in, and not given to all that wait for it.
local function give_rest(self)
  self.giving = native.spawn_root(function()
    local ok, err = pcall(self.events.give_rest, self.events)
    if ok then return end
    native.recover()
    self.log:error("events could not be given to all that wait for them", { error = failure.of(err).message })
  end)
end

-- Runs of pipelines that say `upgrade = "restart"` begin again when what they use is reloaded.
local function follow_upgrades(self)
  local function go_on(run_id) recovery.go_on(self.engine, run_id) end
  local function on_done(list)
    for _, one in ipairs(list) do
      if one.err then
        self.log:warn("a run was not begun again", { run = one.from, now = one.to, error = one.err.message })
      else
        self.log:info("run begun again on what was reloaded", { run = one.from, now = one.to })
      end
    end
  end
  local function on_failed(err)
    self.log:error("runs could not be begun again on what was reloaded", { code = err.code, error = err.message })
  end
  self.upgrades = task.serve(function(scope)
    local stop = upgrade.follow(self.engine, { scope = scope, go_on = go_on, on_done = on_done, on_failed = on_failed })
    local _ <close> = setmetatable({}, { __close = function() stop() end })
    native.waiter():wait "reloads"
  end)
end

-- The socket for the owner, in the folder of the store.
local function open_line(self, options)
  local folder = self.store:path()
  local path = options.socket or folder ~= ":memory:" and folder .. "/repl.sock"
  if path and options.open_line then self.line = options.open_line(self, path) end
end

local function keep_watching(self)
  local watch = require "weir.registry.watch"
  while true do
    local _, err = pcall(watch.run, self.project.registry)
    native.recover()
    native.check()
    err = failure.of(err)
    self.log:error("files cannot be watched: what is changed now is not loaded by itself", { code = err.code, error = err.message })
    clock.sleep(AGAIN)
  end
end

-- Changed files are loaded as they are saved.
local function open_watch(self, options)
  if options.watch then self.watch_of_files = native.spawn_root(keep_watching, self) end
end

-- What was chosen to serve in another life serves again; what is reloaded, by whomever, is told.
local function open_registry(self)
  local registry = self.project.registry
  require("weir.registry.active").attach(registry, self.store)
  registry:observe(function(report) self:tell_reload(report) end)
end

-- What the environment keeps secret does not reach the log. What holds a loaded secret is known to the host.
local function hide_secrets()
  local variables = require "weir.secret.variables"
  for _, name in ipairs(require("weir.native.secret").variables()) do
    if variables.looks_secret(name) and not variables.owner(name) then require("weir.log").secret(os.getenv(name)) end
  end
end

local function new_host(options)
  local project = project_of.open(options.folder)
  hide_secrets()
  local settled = settings_of.resolve(project, { store = options.store, listen = options.listen, log = options.log }, options.env)
  local settings = {}
  for name, one in pairs(settled) do settings[name] = one.value end
  local log = options.logger or require("weir.log").new { level = settings.log }
  log.level = settings.log
  return setmetatable({ project = project, settled = settled, settings = settings, log = log, started_ms = clock.wall_ms(),
    can_write = options.write == true, watchers = {}, ended = gate.new() }, Host)
end

local function open_all(self, options)
  self.feed = feed_of.new { boot_ms = self.started_ms }
  self.engine = engine_of.new(self.project, self.store)
  self.engine.observe, self.engine.log = observe(self), self.log
  self.engine.on_incident = function(incident)
    self.log:warn("incident " .. incident.state, { incident = incident.id, kind = incident.kind, pipeline = incident.pipeline,
      error = incident.message, remedy = incident.remedy and incident.remedy.name })
    self.feed:publish("incident", { pipeline = incident.pipeline, run = incident.run, incident = incident.id, incident_kind = incident.kind,
      state = incident.state, remedy = incident.remedy and incident.remedy.name, message = incident.message, code = incident.code })
  end
  self.engine.on_tools_changed = function(server)
    self.log:info("the tools of an mcp server have changed", { server = server })
    self.feed:publish("tools_changed", { server = server })
  end
  open_registry(self)
  self.events = intake_of.new(self.store, self.engine)
  give_rest(self)
  go_on_with_runs(self)
  self.house = house.start(self)
  follow_upgrades(self)
  self.schedules = schedules.start(self)
  self.reminders = reminders.start(self)
  open_watch(self, options)
  open_http(self, options)
  if options.triggers ~= false then self.triggers = triggers_of.start(self) end
  open_line(self, options)
end

--- Starts a host in this process and goes on with every unfinished run of its store. Waits for the disk. Raises
--- `conflict` (another process has the store; it is named), `invalid` (a setting), and what opening a store or a door
--- raises; then nothing is left open.
---@param options { folder: string, store: string|nil, listen: string|boolean|nil, log: string|nil, http: boolean|nil,
---  triggers: boolean|nil, watch: boolean|nil, write: boolean|nil, socket: string|nil,
---  open_line: (fun(host: weir.Host, path: string): weir.LineServer)|nil, env: (fun(name: string): string?)|nil, logger: weir.Log|nil }
---   store, listen, log: as flags give them; http: false opens no HTTP door; triggers: false starts none;
---   watch: load files that change; write: whoever attaches may change things; open_line: opens the line socket,
---   `weir.doors.operations.open`; without it there is none; socket: its path, default repl.sock in the store's folder
---@return weir.Host
function M.start(options)
  local self = new_host(options)
  self.store = open_store(self.settings.store)
  local ok, err = pcall(open_all, self, options)
  if ok then
    self.log:info("host started", { project = self.project.root, store = self.settings.store, url = self.url })
    return self
  end
  self:stop "it could not start"
  error(err, 0)
end

-- Reloading -----------------------------------------------------------------------------------------

--- Loads every module again whose file has changed. What cannot be loaded keeps its version. Waits.
---@param via string|nil the door through which somebody asked, for the audit
---@return weir.ReloadReport those who observe the registry are told of it, too
function Host:reload(via)
  return require("weir.registry.reload").all(self.project.registry, { via = via or "cli", action = "reload" })
end

-- What a reload has changed begins on trial, where the project says so. What has no version before simply serves.
local function try_reloaded(self, report)
  local setting = self.settings.canary
  if not setting or report.action and report.action ~= "reload" then return end
  for _, one in ipairs(report.reloaded) do
    if one.from and one.to and one.from ~= one.to then
      native.spawn_root(function()
        local ok, err = pcall(canary.start, self.engine, one.name, { percent = setting.percent, policy = setting.policy,
          options = setting.options, by = "weir", via = "reload" })
        if ok then return self.log:info("a version is on trial", { name = one.name, version = one.to, percent = setting.percent }) end
        native.recover()
        self.log:warn("a version could not be put on trial, and serves", { name = one.name, error = failure.of(err).message })
      end)
    end
  end
end

--- Tells the log and the feed what was reloaded, and what could not be.
---@param report { reloaded: table[], failed: table[] }
function Host:tell_reload(report)
  for _, one in ipairs(report.failed) do
    self.log:error("reload failed", { name = one.name, code = one.code, error = one.message, file = one.file, line = one.line,
      excerpt = one.excerpt })
    self.feed:publish("reload_failed", one)
  end
  for _, one in ipairs(report.reloaded) do
    self.log:info("reloaded", one)
    self.feed:publish("reload", one)
  end
  try_reloaded(self, report)
end

-- Stopping ------------------------------------------------------------------------------------------

local function await_idle(self, seconds)
  if next(self.engine.live) == nil then return true end
  self.idle = native.waiter()
  local _, _, code = self.idle:wait("the runs of a host that stops", seconds)
  self.idle = nil
  return code ~= "timeout"
end

local function end_task(running)
  if not running then return end
  running:cancel "the host stops"
  running:join(GRACE)
end

local function close_doors(self, grace)
  if self.watch_of_files then self.watch_of_files:cancel "the host stops" end
  if self.line then self.line:close() end
  if self.http then self.http:close(grace) end
end

local function close_rest(self)
  end_task(self.giving)
  end_task(self.recovery)
  end_task(self.upgrades)
  if self.schedules then self.schedules:close() end
  if self.reminders then self.reminders:close() end
  if self.triggers then self.triggers:close() end
  if self.service then self.service:close() end
  if self.house then self.house:close() end
  if self.feed then self.feed:close() end
  if self.engine then self.engine:close() end
  self.store:close()
end

local function stop(_, self, reason, grace)
  self.log:info("host stops", { reason = reason })
  if self.engine then
    self.engine:stop(reason)
    close_doors(self, 1)
    self.was_in_time = await_idle(self, grace or GRACE)
    if not self.was_in_time then self.log:warn("runs were still at work", { runs = #require("weir.value").names(self.engine.live) }) end
  end
  close_rest(self)
  self.has_stopped = true
  self.log:info "host stopped"
end

--- Stops it: nothing new is taken, every run is brought to a checkpoint from which it goes on in another life, and all
--- is closed. Waits, so long as runs need, but not longer than the grace. Safe to be called again, and by several at once: all wait
--- for the first, which ends what it has begun also when it is cancelled.
---@param reason string
---@param grace number|nil seconds, default 3
---@return boolean in_time false: runs were still at work; what they had finished is kept
function Host:stop(reason, grace)
  if self.is_stopping then
    self.ended:wait "a host that stops"
    return self.was_in_time
  end
  self.is_stopping = true
  local ok, err = task.within({ shield = true }, stop, self, reason, grace)
  self.ended:open()
  if not ok then error(err, 0) end
  return self.was_in_time
end

return M
