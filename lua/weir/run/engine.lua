--- Starts runs and goes on with unfinished ones. An engine belongs to a project and, unless nothing is to
--- be kept, to a store.

local binding = require "weir.run.binding"
local failure = require "weir.failure"
local id = require "weir.id"
local journal = require "weir.run.journal"
local native = require "weir.native.scheduler"
local plan = require "weir.run.plan"
local run_type = require "weir.run.run"
local value_of = require "weir.value"

local M = {}

local FORMAT = 1 -- of the entries of a journal

---@class weir.Engine
local Engine = {}
Engine.__index = Engine

--- An engine.
---@param project weir.Project
---@param store userdata|nil as `weir.port.store` opens it
function M.new(project, store)
  return setmetatable({ project = project, store = store, plans = setmetatable({}, { __mode = "k" }), kept = {} }, Engine)
end

--- The plan of a definition; compiled once.
function Engine:plan_of(definition)
  local ready = self.plans[definition]
  if not ready then
    ready = plan.compile(definition)
    ready.definition = definition
    self.plans[definition] = ready
  end
  return ready
end

local function definition_of(self, kept)
  if kept.kind == "flow" then
    if not kept.text then
      failure.raise("not_found", "the flow of version %s was built in memory; its source is not kept", kept.version)
    end
    local definition, errors = self.project:load(kept.file, kept.text)
    if not definition then failure.raise("invalid", "%s", errors[1].message) end
    return definition
  end
  return { kind = "pipeline", name = kept.normal.name, normal = kept.normal, version = kept.version, file = kept.file }
end

--- The definition of a version: from the store when it is not the one at hand.
function Engine:kept_definition(version)
  local kept, message, code = self.store:get("definitions", version)
  if not kept then
    failure.raise(code or "not_found", "definition version %s is not in the store: %s", version:sub(1, 12), tostring(message))
  end
  return definition_of(self, kept)
end

--- The plan of a pipeline that a flow calls by name; the choice of its version is in the journal.
function Engine:child_plan(run, name)
  local held = run.binding
  local child = held.children[name]
  if child then return child end
  child = held:add_child(name)
  if not run.journal then return child end
  local version = run.journal:choice("pin/pipelines/" .. name, function()
    self:keep_definitions({ child })
    return child.version
  end)
  if version == child.version then return child end
  return held:add_child(name, version)
end

--- Binds a module that a flow uses for the first time; the choice of its version is in the journal.
function Engine:pin_module(run, full)
  local entry = run.binding:add(full)
  if not run.journal then return end
  local version = run.journal:choice("pin/" .. full, function()
    self:keep_modules { [full] = entry }
    return entry.version
  end)
  if version ~= entry.version then run.binding:add(full, version) end
end

function Engine:options_of(run, step)
  local cache = run.binding.options
  local options = cache[step]
  if not options then
    local entry = run.binding.entries[step.module]
    options = self.project.registry:options(entry, self.project:options_of(step.module), step.options)
    cache[step] = options
  end
  return value_of.copy(options)
end

function Engine:state_of(run, step, options)
  return self.project.registry:state(run.binding.entries[step.module], options)
end

-- What is kept --------------------------------------------------------------------------------------

local function definition_record(of)
  local definition = of.definition
  if definition.kind == "flow" then
    return { kind = "flow", file = definition.file, text = definition.text, version = of.version }
  end
  return { kind = "pipeline", normal = definition.normal, version = of.version, file = definition.file }
end

local function put_once(self, operations, space, key, value)
  local id_of = space .. "/" .. key
  if self.kept[id_of] then return end
  if not self.store:get(space, key) then
    operations[#operations + 1] = { op = "put", space = space, key = key, value = value() }
  end
  self.kept[id_of] = true
end

local function definition_operations(self, plans, operations)
  for _, of in ipairs(plans) do
    put_once(self, operations, "definitions", of.version, function() return definition_record(of) end)
  end
end

local function module_operations(self, entries, operations)
  for full, entry in pairs(entries) do
    if entry.text then
      put_once(self, operations, "modules", full .. "@" .. entry.version, function()
        return { text = entry.text, file = entry.file, used = entry.used }
      end)
    end
  end
end

local function must(result, message, code)
  if not result then failure.raise(code or "failed", "%s", message) end
end

local function commit(self, operations)
  if #operations > 0 then must(self.store:batch(operations)) end
end

function Engine:keep_definitions(plans)
  local operations = {}
  definition_operations(self, plans, operations)
  commit(self, operations)
end

function Engine:keep_modules(entries)
  local operations = {}
  module_operations(self, entries, operations)
  commit(self, operations)
end

--- The row of a run: what lists show, kept beside its journal.
function Engine:row_of(run)
  local err = run.error
  return { status = run.status, pipeline = run.plan.name, version = run.plan.version, started_ms = run.started_ms,
    ended_ms = run.ended_ms, key = run.key, error = err and { code = err.code, message = err.message, step = err.step } }
end

-- What a run needs to go on after the files have changed, unless it is in the store already.
local function binding_operations(self, run, operations)
  local held = run.binding
  if held.is_kept then return end
  local plans = { run.plan }
  for _, child in pairs(held.children) do plans[#plans + 1] = child end
  definition_operations(self, plans, operations)
  module_operations(self, held.entries, operations)
end

local function begin(self, run)
  local handle = self.store:new_run(run.id, 1)
  local head = { format = FORMAT, pipeline = run.plan.name, version = run.plan.version, input = run.input,
    pins = run.binding.pins, at = run.started_ms, key = run.key }
  local operations = {}
  binding_operations(self, run, operations)
  if #operations == 0 then
    must(handle:append({ "run", head }, self:row_of(run)))
  else
    operations[#operations + 1] = { op = "entry", journal = handle, entry = { "run", head }, row = self:row_of(run) }
    commit(self, operations)
  end
  run.binding.is_kept = not run.plan.flow
  return handle
end

local function new_run(self, of, held, input, options)
  return run_type.new { id = options.id or id.new "r", plan = of, binding = held, modules = held.modules, input = input,
    engine = self, listener = options.listener, key = options.key, started_ms = options.started_ms }
end

local function is_kept(self, of)
  return self.store ~= nil and of.durability ~= "none"
end

--- Prepares a run of a definition: checks the input, pins what it uses and, with a store, keeps its start.
--- Waits for the disk. Raises {code, message}: `invalid` input, `full`, ...
---@param definition weir.Definition
---@param input any
---@param options { listener: function|nil, key: string|nil }|nil
---@return weir.Run
function Engine:prepare(definition, input, options)
  options = options or {}
  local of = self:plan_of(definition)
  local ok, checked, errors = of.check_input(input)
  if not ok then
    local err = failure.new("invalid", "%s", checked)
    err.details = errors
    error(err, 0)
  end
  local run = new_run(self, of, binding.hold(self, of), checked, options)
  if not is_kept(self, of) then return run end
  local kept, handle = pcall(begin, self, run)
  if not kept then
    run.binding:release()
    error(handle, 0)
  end
  run.journal = journal.new(handle)
  return run
end

--- Prepares and runs to the end, in the task that calls. Waits.
function Engine:run(definition, input, options)
  local run = self:prepare(definition, input, options)
  if run.listener then run:notify { kind = "run", status = "running", id = run.id, at_ms = run.started_ms } end
  return run:execute()
end

local function go_on(run)
  run.done = native.waiter()
  native.start({ name = run.id }, function() run:execute() end)
  return run
end

--- Prepares a run and goes on in a task of its own.
---@return weir.Run run `run:wait()` waits for its end
function Engine:start(definition, input, options)
  return go_on(self:prepare(definition, input, options))
end

--- Whether the store has a run.
---@param run_id string
---@return boolean
function Engine:knows(run_id)
  return self.store ~= nil and (self.store:row(run_id)) ~= nil
end

--- A run that was started before: goes on with it when it has not ended, else only tells how it ended.
---@param run_id string
---@return weir.Run
function Engine:rejoin(run_id)
  local row = self.store:row(run_id)
  if row.status == "running" then return go_on(self:reopen(run_id)) end
  local entries = self.store:load(run_id)
  local last = entries[#entries]
  local ended = { id = run_id, status = last[2], output = last[2] == "finished" and last[3] or nil,
    error = last[2] ~= "finished" and failure.of(last[3]) or nil }
  return setmetatable(ended, { __index = run_type.Run })
end

-- Going on ------------------------------------------------------------------------------------------

local function head_of(entries, run_id)
  local first = entries[1]
  if not first or first[1] ~= "run" then failure.raise("corrupt", "run %s: its journal does not begin with its start", run_id) end
  local head = first[2]
  if head.format > FORMAT then
    failure.raise("invalid", "run %s was written by a newer weir (journal format %d, this one reads %d)", run_id, head.format, FORMAT)
  end
  return head
end

--- Prepares to go on with a run that has not ended. What happened is found in its journal and not done
--- again. Raises {code, message}: `conflict` when it has ended, ...
---@param run_id string
---@param options { listener: function|nil }|nil
---@return weir.Run
function Engine:reopen(run_id, options)
  local entries, row, code = self.store:load(run_id)
  if not entries then failure.raise(code, "%s", row) end
  local head = head_of(entries, run_id)
  if entries[#entries][1] == "end" then failure.raise("conflict", "run %s has %s already", run_id, entries[#entries][2]) end
  local of = self:plan_of(self:kept_definition(head.version))
  local held = binding.hold_pinned(self, of, head.pins)
  local run = new_run(self, of, held, head.input,
    { id = run_id, listener = options and options.listener, key = head.key, started_ms = head.at })
  local handle, message, why = self.store:run(run_id, 1)
  if not handle then failure.raise(why, "%s", message) end
  run.journal = journal.new(handle, entries)
  return run
end

--- Ids of the runs that have not ended, oldest first.
---@return string[]
function Engine:unfinished()
  local ids, after = {}, nil
  repeat
    local page = assert(self.store:runs { status = "running", after = after, limit = 500 })
    for _, found in ipairs(page) do ids[#ids + 1] = found.id end
    after = page[#page] and page[#page].id
  until #page < 500
  return ids
end

return M
