--- What a run in flight does when modules it uses have been reloaded: `upgrade` of the pipeline that was started says so.
--- `pin`: nothing, it ends on the versions that it began with. `next_step`: what begins from now on takes the new versions;
--- the switch stands in the journal, so that a step that was begun before ends on its own, in this life and in others.
--- `restart`: the run is cancelled, with what it undoes, and a new run begins with its input on what serves now.

local binding = require "weir.run.binding"
local failure = require "weir.failure"
local gate = require "weir.gate"
local keeping = require "weir.run.keeping"
local native = require "weir.native.scheduler"
local task = require "weir.task"
local value_of = require "weir.value"

local M = {}

-- Bindings that steps of the run may still use are let go with the run.
local function replace(run, held)
  run.superseded = run.superseded or {}
  run.superseded[#run.superseded + 1] = run.binding
  run.binding, run.modules = held, held.modules
end

local function switch(run)
  local held = binding.upgraded(run.binding)
  local generation = run.engine.project.registry.generation
  if not held then
    run.generation = generation
    return
  end
  local ok, err = pcall(function()
    if not run.journal then return end
    keeping.modules(run.engine, held.entries)
    run.journal:append { "choice", "upgrade", value_of.copy(held.pins) }
  end)
  if not ok then
    held:release()
    error(err, 0)
  end
  replace(run, held)
  run.generation = generation -- and not before: what was not kept, or cancelled on the way, is for the next step
end

-- Steps that begin side by side switch together.
local function switch_once(run)
  if run.switching then
    local waiter = native.waiter()
    table.insert(run.switching, waiter)
    return waiter:wait "a switch to new versions"
  end
  local waiters = {}
  run.switching = waiters
  local ok, err = pcall(switch, run)
  run.switching = nil
  for _, waiter in ipairs(waiters) do waiter:wake() end
  if not ok then error(err, 0) end
end

-- All versions that hold where these pins do: a flow has found others on its way.
local function with_choices(journal, pins)
  local all = {}
  for key, entry in pairs(journal.choices) do
    local full = key:match "^pin/(.+)$"
    if full then all[full] = entry[3] end
  end
  for full, version in pairs(pins) do all[full] = version end
  return all
end

-- A step that an earlier life began ends on what it began with.
local function of_earlier_life(run, key)
  local journal = run.journal
  if not journal or not journal.began[key] then return nil end
  local pins = journal.versions_of and journal.versions_of[key]
  if pins == nil then pins = journal.versions end
  local held = binding.hold_all(run.engine, run.plan, with_choices(journal, pins or journal.head_pins))
  run.superseded = run.superseded or {}
  run.superseded[#run.superseded + 1] = held
  return held
end

--- The versions that a step begins with. Waits when they are others than those of the step before.
---@param run weir.Run
---@param key string
---@return weir.Binding|nil nil: those of the run
function M.held_for(run, key)
  if run.plan.upgrade ~= "next_step" then return nil end
  local earlier = of_earlier_life(run, key)
  if earlier then return earlier end
  while run.switching or run.generation ~= run.engine.project.registry.generation do switch_once(run) end
  return run.binding
end

--- Lets go of what the run's steps have used besides its binding.
---@param run weir.Run
function M.release(run)
  for _, held in ipairs(run.superseded or {}) do held:release() end
  run.superseded = nil
end

-- Restarting -------------------------------------------------------------------------------------------

local UNFINISHED = { "running", "waiting", "in_doubt" }

-- Whether what serves now is not what a run holds.
local function is_outdated(engine, run_id)
  local registry = engine.project.registry
  local pinned, flows = {}, {}
  require("weir.upkeep.pins").add_run(engine.store, pinned, flows, run_id)
  for key in pairs(pinned) do
    local full, version = key:match "^modules/(.+)@([^@]+)$"
    local current = full and registry.versions:lookup(full)
    if current and current.version ~= version then return true end
  end
  local row = engine.store:row(run_id)
  local definition = registry.definitions[row.pipeline]
  return definition ~= nil and definition.version ~= row.version
end

local function wants_restart(engine, row)
  local definition = engine.project.registry.definitions[row.pipeline]
  if definition then return definition.normal.upgrade == "restart" end
  local ok, plan = pcall(engine.plan_of_version, engine, row.version)
  return ok and plan.upgrade == "restart"
end

-- Whoever else looks at the same time does not begin it again. Gives what is to be closed once it has begun.
local function claim(engine, run_id)
  local restarting = engine.restarting or {}
  engine.restarting = restarting
  if restarting[run_id] then failure.raise("conflict", "run %s is just being begun again", run_id) end
  local over = gate.new()
  restarting[run_id] = over
  return setmetatable({}, { __close = function()
    restarting[run_id] = nil
    over:open()
  end })
end

--- Cancels a run, with what it undoes, and makes a new one with its input on the versions that serve now, linked to it as a
--- retry. `Engine:reopen` goes on with that. Waits. Raises {code, message}: `not_found`, `conflict` (it has ended meanwhile, or
--- is just being begun again), `invalid` (its input does not fit any more; then it is not cancelled).
---@param engine weir.Engine
---@param run_id string
---@return string new_run_id
function M.restart(engine, run_id)
  local _ <close> = claim(engine, run_id)
  local entries, message, code = engine.store:entries(run_id, 0, 1)
  if not entries then failure.raise(code or "not_found", "%s", message) end
  local head = entries[1][2]
  local definition, err = engine.project:pipeline(head.pipeline)
  if not definition then error(err, 0) end
  local fits, why = engine:plan_of(definition).check_input(value_of.copy(head.input))
  if not fits then failure.raise("invalid", "run %s cannot be begun again on what serves now: %s", run_id, why) end
  engine:cancel(run_id, "it begins again on versions that were reloaded")
  return require("weir.run.fork").retry(engine, run_id, { latest = true, anew = true }):make()
end

local function outdated_runs(engine)
  local ids = {}
  for _, status in ipairs(UNFINISHED) do
    for found in require("weir.pages").runs(engine.store, { status = status }) do
      if wants_restart(engine, found.row) and is_outdated(engine, found.id) then ids[#ids + 1] = found.id end
    end
  end
  return ids
end

-- One that cannot be begun, or not be gone on with, does not keep the others from it.
local function restart_one(engine, run_id, go_on)
  local done = { from = run_id }
  local ok, err = pcall(function()
    done.to = M.restart(engine, run_id)
    go_on(done.to)
  end)
  if ok then return done end
  native.recover()
  native.check()
  done.err = failure.of(err)
  return done
end

--- Begins again what is under way, or waits, of pipelines with `upgrade = "restart"`, and holds versions that do not serve
--- any more. For whoever observes reloads. Waits; the new runs are begun, not waited for, unless `go_on` waits.
---@param engine weir.Engine with a store
---@param go_on fun(run_id: string) goes on with a new run
---@return { from: string, to: string|nil, err: table|nil }[] done err: why it was not begun, or with `to` not gone on with
function M.restart_all(engine, go_on)
  local done, is_met = {}, false
  for _, run_id in ipairs(outdated_runs(engine)) do
    local over = engine.restarting and engine.restarting[run_id]
    if over then -- what comes of it may be outdated, too
      over:wait "a run that is begun again"
      is_met = true
    else
      done[#done + 1] = restart_one(engine, run_id, go_on)
    end
  end
  if is_met then
    for _, one in ipairs(M.restart_all(engine, go_on)) do done[#done + 1] = one end
  end
  return done
end

--- Carries `restart` out after each reload that changes something, in tasks of a scope. Does not wait.
---@param engine weir.Engine with a store
---@param options { scope: userdata?, go_on: fun(run_id: string), on_done: (fun(done: table[]))?, on_failed: (fun(err: table))? } go_on:
---   begins a new run, and may wait; on_done: told what was begun again, as of `restart_all`; on_failed: told that the store could
---   not be read, after which the next reload is followed all the same
---@return fun() stop
function M.follow(engine, options)
  return engine.project.registry:observe(function(report)
    if #report.reloaded == 0 then return end
    task.start({ name = "upgrade", scope = options.scope }, function()
      local ok, done = pcall(M.restart_all, engine, options.go_on)
      if not ok then
        native.recover()
        native.check()
        return options.on_failed and options.on_failed(failure.of(done))
      end
      if options.on_done and #done > 0 then options.on_done(done) end
    end)
  end)
end

return M
