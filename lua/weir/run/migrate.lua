--- Binds runs that have not ended to another version of their definition, if what they have recorded answers what that
--- asks. First the record is replayed against it without effects (see `weir.run.rehearsal`); where they part, the run is
--- left as it is, and the place is told.

local approval = require "weir.approval"
local audit = require "weir.audit"
local binding = require "weir.run.binding"
local clock = require "weir.port.clock"
local failure = require "weir.failure"
local journal = require "weir.run.journal"
local keeping = require "weir.run.keeping"
local native = require "weir.native.scheduler"
local pages = require "weir.pages"
local rehearsal = require "weir.run.rehearsal"
local system = require "weir.port.system"
local value_of = require "weir.value"

local M = {}

local HAS_ENDED = keeping.HAS_ENDED
local PAGE = 500 -- runs that are looked at together
local SHORTEST = 4 -- characters of a version that is cut short

-- Which version ---------------------------------------------------------------------------------------

local function is_of(pipeline, kept)
  local name = kept.kind == "flow" and kept.name or type(kept.normal) == "table" and kept.normal.name
  return name == pipeline
end

local function kept_versions(engine, pipeline, given)
  local found = {}
  for one in pages.keys(engine.store, "definitions") do
    if one.key:sub(1, #given) == given and not one.damaged and is_of(pipeline, one.value) then found[#found + 1] = one.key end
  end
  return found
end

--- The plan of a version of a pipeline: of its file as it serves now, or one that the store keeps. Waits. Raises `not_found`,
--- `invalid` (several begin so).
---@param engine weir.Engine
---@param pipeline string its name
---@param given string a version, the beginning of one, or `latest`: what serves now
---@return table plan
function M.plan(engine, pipeline, given)
  local serving, err = engine.project:pipeline(pipeline)
  if given == "latest" then
    if not serving then error(err, 0) end
    return engine:plan_of(serving)
  end
  if #given < SHORTEST or given:find "%X" then
    failure.raise("invalid", "'%s' is no version: %d or more of its hexadecimal digits, or `latest`", given, SHORTEST)
  end
  local found = kept_versions(engine, pipeline, given)
  if serving and serving.version:sub(1, #given) == given then return engine:plan_of(serving) end
  if #found == 1 then return engine:plan_of_version(found[1]) end
  if #found > 1 then failure.raise("invalid", "%d versions of '%s' begin with '%s'; give more of it", #found, pipeline, given) end
  failure.raise("not_found", "pipeline '%s' has no version '%s' that serves or is kept; `weir modules` lists them", pipeline, given)
end

-- One run ----------------------------------------------------------------------------------------------

local function check_open(engine, run_id)
  local row, message, code = engine.store:row(run_id)
  if not row then failure.raise(code or "not_found", "%s", message) end
  if not HAS_ENDED[row.status] then return row end
  local err = failure.new("conflict", "run %s has %s already; only a run that has not ended can be migrated", run_id, row.status)
  err.run = run_id
  error(err, 0)
end

local function check_input(plan, run_id, head)
  local fits, why = plan.check_input(value_of.copy(head.input))
  if fits then return end
  failure.raise("conflict", "run %s: its input is not what version %s takes: %s", run_id, plan.version:sub(1, 12), why)
end

local function diverges(run_id, plan, found)
  local err = failure.new("conflict", "run %s cannot go on with version %s: %s; it stays as it is, nothing was executed", run_id,
    plan.version:sub(1, 12), found.message)
  err.run, err.step, err.divergence = run_id, found.key, found
  return err
end

-- In one transaction: the entry that binds it, its row, and that somebody looks at it again.
local function bind(engine, run_id, row, from, plan, pins, about)
  local by = about.by or system.user_name()
  local handle, message, code = engine.store:run(run_id, 1)
  if not handle then failure.raise(code or "failed", "%s", message) end
  local is_parked = row.status ~= "running"
  if row.status == "quarantined" then row.status, row.error = "running", nil end
  row.version = plan.version
  local entry = { "choice", "migrate", { version = plan.version, pins = pins, at = clock.wall_ms(), by = by } }
  local operations = { { op = "entry", journal = handle, entry = entry, row = not is_parked and row or nil } }
  if is_parked then
    operations[2] = { op = "row", journal = handle, row = row, park = row.status ~= "running" or nil }
    operations[3] = keeping.wake_operation(run_id)
  end
  operations[#operations + 1] = audit.operation { by = by, via = about.via, action = "migrate", what = run_id, from = from,
    to = plan.version }
  local done, why, refusal = engine.store:batch(operations)
  if not done then failure.raise(refusal or "failed", "%s", why) end
end

-- What people were asked was asked of the other version: they are asked anew.
local function withdraw(engine, row)
  for _, wait in ipairs(type(row.waiting) == "table" and row.waiting or {}) do
    if wait.kind == "approval" or wait.kind == "in_doubt" then
      approval.cancel(engine.store, wait.id, "the run was migrated to another version, which asks anew")
    end
  end
end

local function keep(engine, plan, held)
  local plans = { plan }
  for _, child in pairs(held.children) do plans[#plans + 1] = child end
  keeping.definitions(engine, plans)
  keeping.modules(engine, held.entries)
end

-- What is at work here is stopped meanwhile, and goes on whatever comes of it.
local function set_aside(engine, run_id)
  local live, was_live = engine:at_work(run_id), false
  while live do
    was_live = true
    live:stop "it is migrated"
    live:await_left()
    live = engine:at_work(run_id)
  end
  return was_live
end

local function migrate(engine, run_id, to, options)
  local row = check_open(engine, run_id)
  local plan = M.plan(engine, row.pipeline, to)
  local entries, message, code = engine.store:load(run_id)
  if not entries then failure.raise(code or "failed", "%s", message) end
  local head = journal.head_of(entries)
  local result = { run = run_id, pipeline = row.pipeline, from = head.version, to = plan.version }
  check_input(plan, run_id, head)
  local found = rehearsal.replay(engine, run_id, plan, binding.hold_own(engine, plan))
  if found then error(diverges(run_id, plan, found), 0) end
  if options.dry_run then return result end
  local held = binding.hold_own(engine, plan)
  local ok, err = pcall(function()
    keep(engine, plan, held)
    bind(engine, run_id, row, head.version, plan, value_of.copy(held.pins), options)
    withdraw(engine, row)
  end)
  held:release()
  if not ok then error(err, 0) end
  return result
end

--- Binds a run to another version of its definition and to the modules that serve now. A run that is at work here is
--- stopped meanwhile, unless it is only compared; `go_on` is called for it afterwards, whatever came of it. Waits. Raises
--- {code, message, run, step, divergence}: `conflict` (what was recorded is not what the version asks, or the run has
--- ended; it is as it was, and nothing
--- was executed), `not_found`, `invalid`.
---@param engine weir.Engine with a store
---@param run_id string
---@param to string see `plan`
---@param options { dry_run: boolean?, by: string?, via: string?, go_on: (fun(run_id: string))? }|nil dry_run: only compares
---@return { run: string, pipeline: string, from: string, to: string }
function M.run(engine, run_id, to, options)
  options = options or {}
  local was_live = not options.dry_run and set_aside(engine, run_id)
  local ok, result
  if options.dry_run then
    ok, result = pcall(migrate, engine, run_id, to, options)
  else
    ok, result = pcall(engine.alone, engine, run_id, migrate, engine, run_id, to, options) -- nobody wakes it meanwhile
  end
  if was_live and options.go_on then options.go_on(run_id) end
  if not ok then error(result, 0) end
  return result
end

--- The runs of a pipeline that have not ended and are of another version. Each is looked at once, however its status
--- changes meanwhile. Yields.
---@param engine weir.Engine
---@param pipeline string
---@param version string
---@return string[] ids, oldest first
function M.candidates(engine, pipeline, version)
  local ids, after = {}, nil
  repeat
    local page, message, code = engine.store:runs { with = { "pipeline", pipeline }, after = after, limit = PAGE, damaged = true }
    if not page then failure.raise(code or "failed", "%s", message) end
    for _, found in ipairs(page) do
      local row = found.row
      local is_one = row and not HAS_ENDED[row.status] and row.pipeline == pipeline and row.version ~= version
      if is_one then ids[#ids + 1] = found.id end
    end
    local last = page[#page]
    after = last and (last.rest or #page == PAGE) and last.id or nil
    native.yield()
  until not after
  return ids
end

return M
