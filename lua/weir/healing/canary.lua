--- A new version of a module or pipeline on trial: it takes a part of the runs that begin, chosen by a hash of their ids, and what came
--- of its calls is held against those of the old one, until a policy promotes it or rolls it back. Meanwhile the old version is the
--- active one, so that whatever happens to the trial, nothing but that part of the runs has the new one.
---
--- Spaces: `canaries` by full name, the latest trial of each; `canary.calls`, keys "FULL@VERSION/ok" and "FULL@VERSION/failed": how many
--- calls, added to in one transaction with the end of a run. They go with the trial; what ends beside it is left until the next begins.

local candidates = require "weir.candidate"
local clock = require "weir.port.clock"
local failure = require "weir.failure"
local fingerprint = require "weir.healing.fingerprint"
local incident_of = require "weir.healing.incident"
local keeping = require "weir.run.keeping"
local names = require "weir.registry.names"
local native = require "weir.native.scheduler"
local notice = require "weir.healing.notice"
local pages = require "weir.pages"
local revise = require "weir.registry.revise"
local active = require "weir.registry.active"
local system = require "weir.port.system"
local trials = require "weir.healing.trials"

local M = { list = trials.list, of = trials.of, is_chosen = trials.is_chosen }

local CALLS, POLICY = "canary.calls", "canary"

-- Counting -----------------------------------------------------------------------------------------------

--- Notes how a step of a run has ended, whether in this life or in one before; each key counts once.
---@param run weir.Run
---@param step table of the plan
---@param key string
---@param status string
---@param held weir.Binding|nil
function M.note(run, step, key, status, held)
  local full = step.module
  if not run.canaries[full] or status ~= "finished" and status ~= "failed" then return end
  local version = (held or run.binding).pins[full]
  run.calls = run.calls or {}
  run.calls[key] = { full = full, version = version, ok = status == "finished" }
end

local function add(counts, full, version, ok)
  local key = full .. "@" .. version
  local one = counts[key] or { ok = 0, failed = 0 }
  counts[key] = one
  if ok then one.ok = one.ok + 1 else one.failed = one.failed + 1 end
end

-- Whether the trial that a run had a part in goes on: what comes later counts for nobody.
local function goes_on(run, full)
  local had, now = run.canaries[full], trials.of(run.engine.store, full)
  return had ~= nil and now ~= nil and now.at_ms == had.at_ms
end

--- The operations that keep the calls of a run that ends.
---@param run weir.Run
---@param status string
---@return table[]
function M.operations(run, status)
  local counts, operations = {}, {}
  for _, call in pairs(run.calls or {}) do
    if goes_on(run, call.full) then add(counts, call.full, call.version, call.ok) end
  end
  local pipeline = "pipelines/" .. run.plan.name
  if goes_on(run, pipeline) and status ~= "cancelled" then add(counts, pipeline, run.plan.version, status == "finished") end
  for key, count in pairs(counts) do
    for what, by in pairs(count) do
      if by > 0 then operations[#operations + 1] = { op = "add", space = CALLS, key = ("%s/%s"):format(key, what), by = by } end
    end
  end
  return operations
end

--- What came of the calls of a version since its trial began.
---@param store weir.Store
---@param full string
---@param version string
---@return { ok: integer, failed: integer }
function M.counts(store, full, version)
  local counts = { ok = 0, failed = 0 }
  for what in pairs(counts) do
    local count, message, code = store:get(CALLS, ("%s@%s/%s"):format(full, version, what))
    if count == nil and code ~= "not_found" then failure.raise(code, "%s", message) end
    counts[what] = count or 0
  end
  return counts
end

-- Beginning ----------------------------------------------------------------------------------------------

local function commit(store, operations)
  local done, message, code = store:batch(operations)
  if not done then failure.raise(code or "failed", "%s", message) end
end

local function forget_calls(store, full, operations)
  for found in pages.rows(store, CALLS, { prefix = full .. "@" }) do
    operations[#operations + 1] = { op = "delete", space = CALLS, key = found.key }
  end
  return operations
end

local function save(store, one, more)
  local operations = more or {}
  operations[#operations + 1] = { op = "put", space = trials.SPACE, key = one.name, value = one }
  commit(store, operations)
  trials.set(store, one)
end

local busy = setmetatable({}, { __mode = "k" }) -- by store, the names whose trial just begins or ends

local function is_busy(store, full) return busy[store] ~= nil and busy[store][full] == true end

-- Many runs that end together may find the same thing; a trial ends once. Gives what is to be closed when it has.
local function claim(store, full)
  if is_busy(store, full) then failure.raise("conflict", "a trial of '%s' is just being begun or ended", full) end
  busy[store] = busy[store] or {}
  busy[store][full] = true
  return setmetatable({}, { __close = function() busy[store][full] = nil end })
end

-- The file's version when another one serves; else the one that serves, against the one before. Gives the old one, the new one, its
-- version, and which of them serves now.
local function versions_of(engine, full)
  local registry = engine.project.registry
  local current, err = names.ensure(registry, full)
  if not current then error(err, 0) end
  local of_file
  of_file, err = names.load(registry, full)
  if not of_file then error(err, 0) end
  if of_file.version ~= current.version then return current.version, of_file, of_file.version, current.version end
  local before = active.history(registry, full, current.version)[1]
  if not before then
    failure.raise("not_found", "'%s' has no version before %s that is kept, so there is nothing to hold it against", full,
      current.version:sub(1, 12))
  end
  return before.version, current, current.version, current.version
end

local function keep_source(engine, full, loaded)
  if names.pipeline(full) then
    keeping.definitions(engine, { { version = loaded.version, definition = loaded } })
  else
    keeping.modules(engine, { [full] = loaded })
  end
end

--- Puts a new version on trial: what the file says, against what serves; or what serves, against what did before; or a version that
--- nobody has written into a file, against what serves. The old one serves from now on. Waits. Raises `not_found`, `conflict` (a trial
--- is under way; something else has come to serve meanwhile), `invalid`, and what publishing a version raises.
---@param engine weir.Engine with a store
---@param full string see `weir.registry.revise`
---@param options { percent: number, policy: string|nil, options: table|nil, by: string|nil, via: string|nil, new: table|nil }
---   new: an entry of the registry, or a definition; default: as said above
---@return weir.Canary
function M.start(engine, full, options)
  local store, registry = engine.store, engine.project.registry
  if trials.of(store, full) then failure.raise("conflict", "a version of '%s' is on trial already; `weir canary` shows it", full) end
  local _ <close> = claim(store, full)
  if not (options.percent > 0 and options.percent <= 100) then
    failure.raise("invalid", "percent: more than 0 and at most 100 expected, got %g", options.percent)
  end
  local one = { name = full, percent = options.percent, policy = options.policy or POLICY, options = options.options, state = "running",
    looked = 0, at_ms = clock.wall_ms(), by = options.by or system.user_name() }
  M.policy(engine, one)
  local loaded, serving
  if options.new then
    local current, err = names.ensure(registry, full)
    if not current then error(err, 0) end
    one.old, loaded, one.new = current.version, options.new, options.new.version
  else
    one.old, loaded, one.new, serving = versions_of(engine, full)
  end
  keep_source(engine, full, loaded)
  if not options.new then
    revise.serve(registry, full, one.old,
      { by = options.by, via = options.via, action = "canary", instead_of = one.new, only_after = serving })
  end
  save(store, one, forget_calls(store, full, {}))
  return one
end

-- Ending -------------------------------------------------------------------------------------------------

local function version_incident(one, counts, what)
  local message = ("version %s of '%s' was rolled back: %s"):format(one.new:sub(1, 12), one.name, one.reason or what)
  local fields = { kind = "version", code = "failed", message = message, agent = one.name, agent_version = one.new,
    pipeline = names.pipeline(one.name), state = "escalated", reason = "somebody has to look at the version",
    remedy = { name = "rollback", args = { from = one.new, to = one.old, old = counts.old, new = counts.new } } }
  fields.fingerprint, fields.family, fields.text = fingerprint.of(fields, { agent = one.name, version = one.new })
  return incident_of.new(fields)
end

-- Runs that have the version that was rolled back wait for somebody to look at them.
local function pause_runs(engine, one)
  local waking = require "weir.run.waking"
  for run_id, run in pairs(engine.live) do
    local has_it = run.binding.pins[one.name] == one.new or one.name == "pipelines/" .. run.plan.name and run.plan.version == one.new
    if has_it and not run.ended_ms and run.journal then
      native.spawn_root(function()
        local ok, err = pcall(waking.pause, engine, run_id)
        if ok or failure.of(err).code == "conflict" or not engine.log then return end -- it has ended meanwhile
        engine.log:error("a run with a version that was rolled back could not be paused", { run = run_id, version = one.new,
          error = failure.of(err).message })
      end)
    end
  end
end

--- Ends a trial: the new version serves, or the old one goes on, with those of its runs that are at work here paused. A rollback is an
--- incident. Waits. Raises `not_found` (there is none), `conflict` (it is just being ended).
---@param engine weir.Engine
---@param full string
---@param state "promoted"|"rolled_back"|"stopped"
---@param about { by: string|nil, via: string|nil, reason: string|nil }|nil
---@return weir.Canary
function M.finish(engine, full, state, about)
  about = about or {}
  local store = engine.store
  local running = trials.of(store, full)
  if not running then failure.raise("not_found", "no version of '%s' is on trial", full) end
  local _ <close> = claim(store, full)
  local one = {}
  for name, value in pairs(running) do one[name] = value end
  one.state, one.ended_ms, one.reason = state, clock.wall_ms(), about.reason
  one.counts = { old = M.counts(store, full, one.old), new = M.counts(store, full, one.new) }
  if state == "promoted" then
    revise.serve(engine.project.registry, full, one.new, { by = about.by or "weir", via = about.via, action = "promote" })
  end
  local operations, incident, told = candidates.settled(store, full, one.new, state, one.reason), nil, nil
  if state == "rolled_back" then
    incident = version_incident(one, one.counts, "a person has said so")
    incident_of.write(operations, incident)
    told = notice.add(store, operations, incident)
  end
  save(store, one, forget_calls(store, full, operations))
  if incident then
    told()
    if engine.on_incident then engine.on_incident(incident) end
    pause_runs(engine, one)
  end
  return one
end

--- Says what became of a candidate, for whoever has noted that it is on trial when that may be over already. Waits.
---@param engine weir.Engine
---@param full string
---@param version string
function M.settle(engine, full, version)
  local latest = trials.latest(engine.store, full)
  if not latest or latest.state == "running" or latest.new ~= version then return end
  local operations = candidates.settled(engine.store, full, version, latest.state, latest.reason)
  if #operations > 0 then commit(engine.store, operations) end
end

-- Judging ------------------------------------------------------------------------------------------------

--- The policy of a trial, with its state. Raises `not_found`, `invalid`.
---@param engine weir.Engine
---@param one weir.Canary
---@return fun(view: table): table
function M.policy(engine, one)
  local registry = engine.project.registry
  local entry, err = registry:lookup("policy", one.policy)
  if not entry then error(err, 0) end
  if entry.module.serves ~= "canary" then failure.raise("invalid", "policy '%s' does not serve canaries", one.policy) end
  local options = registry:options(entry, engine.project:options_of("policies/" .. one.policy), one.options)
  local state = registry:state(entry, options)
  return function(view) return native.atomic(entry.module.remedy, view, state) end
end

local STATES = { promote = "promoted", rollback = "rolled_back" }

--- Has the policy of a trial look at what came of it so far. Waits when something follows.
---@param engine weir.Engine
---@param full string
---@return weir.Canary|nil ended nil: it goes on
function M.judge(engine, full)
  local store = engine.store
  local one = trials.of(store, full)
  if not one or is_busy(store, full) then return nil end
  local decision = M.policy(engine, one) { old = M.counts(store, full, one.old), new = M.counts(store, full, one.new), looked = one.looked,
    percent = one.percent, seconds = (clock.wall_ms() - one.at_ms) / 1000 }
  if type(decision) ~= "table" then return nil end
  local state = STATES[decision.remedy]
  if state then return M.finish(engine, full, state, { reason = decision.reason, via = "policy " .. one.policy }) end
  local looked = math.tointeger(decision.looked)
  if looked and looked ~= one.looked then
    one.looked, one.reason = looked, decision.reason -- of what is known already: it may be over once this is written
    commit(store, { { op = "put", space = trials.SPACE, key = full, value = one } })
  end
end

--- Judges the trials of which a run had a part, after its end is kept. Never raises. Waits.
---@param run weir.Run
function M.after(run)
  for full in pairs(run.canaries) do
    local ok, err = pcall(M.judge, run.engine, full)
    if not ok then
      native.recover()
      run:notify { kind = "log", level = "error",
        text = ("the trial of '%s' could not be judged: %s"):format(full, failure.of(err).message) }
    end
  end
end

return M
