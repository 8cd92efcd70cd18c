--- Flows: pipelines that are programs. The constructors of a declared pipeline are methods here, of `run`
--- in a flow and of `ctx` in an agent; each call waits and returns the output, or raises
--- {code, message, step}. What a call did is found again by its name and how often the name was used.

local build = require "weir.definition.build"
local clock = require "weir.port.clock"
local context = require "weir.run.context"
local failure = require "weir.failure"
local frames = require "weir.run.frame"
local group_runner = require "weir.run.group"
local id = require "weir.id"
local native = require "weir.native.scheduler"
local normal = require "weir.definition.normal"
local plan = require "weir.run.plan"
local step_runner = require "weir.run.step"

local M = {}

local function frame_of(self)
  local frame = rawget(self, "_flow")
  if not frame then
    frame = frames.leave_trial(frames.inner(self._frame, self._key .. "/", self._frame.data))
    frame.counters = {}
    self._flow = frame
  end
  return frame
end

local function occurrence(frame, name)
  local count = (frame.counters[name] or 0) + 1
  frame.counters[name] = count
  return count == 1 and name or ("%s#%d"):format(name, count)
end

local function refuse(errors)
  local messages = {}
  for index, err in ipairs(errors) do messages[index] = (err.line and ("%s:%d: "):format(err.file, err.line) or "") .. err.message end
  failure.raise("invalid", "%s", table.concat(messages, "\n"))
end

-- A step with a function: the function runs with a handle of its own, whose names are its own.
local function function_kind(body)
  return { name = "function", execute = function(frame, step, key, input)
    local inner = frames.inner(frame, key .. "/", setmetatable({}, { __index = frame.data }))
    inner.counters, inner.is_flow, inner.commits_in = {}, true, frame
    native.set_context(inner)
    local handle = context.new(inner, step, key, input, 1)
    handle._flow = inner
    local item = rawget(frame.data, "item")
    local output
    if item ~= nil then
      output = body(handle, item, frame.data.index)
    else
      output = body(handle)
    end
    if output == nil then failure.raise("invalid", "step '%s': its function returned nothing; return its output", key) end
    return output
  end }
end

local function resolve_functions(data)
  if data.run then data.run_kind = function_kind(data.run) end
  if data.map and data.map.each then resolve_functions(data.map.each) end
  for _, step in ipairs(data.steps or data.speculate and data.speculate.branches or {}) do resolve_functions(step) end
end

local function compile(frame, what, node)
  local data, errors = normal[what](node)
  if not data then refuse(errors) end
  resolve_functions(data)
  local compiled, modules, pipelines = plan.of_flow(what, data)
  frame.run:pin(modules, pipelines)
  return compiled
end

-- A step has a frame of its own: what its agent does is not the flow's doing.
local function run_compiled(frame, step)
  local own = setmetatable({ is_flow = false }, { __index = frame })
  local key = frame.prefix .. occurrence(frame, step.name)
  local status, value = step_runner.run(own, step, key)
  frame.at_ms, frame.latest_key = own.at_ms, key
  if status == "finished" then return value end
  if status == "skipped" then return nil end
  error(value, 0)
end

local function run_step(frame, node)
  return run_compiled(frame, compile(frame, "step", node))
end

local function run_compiled_group(frame, group)
  group.name = occurrence(frame, group.name)
  for _, step in ipairs(group.steps) do step.key = group.name .. "/" .. step.name end
  group.is_bare = false
  local inner = frames.inner(frame, frame.prefix, setmetatable({}, { __index = frame.data }))
  return group_runner.run(inner, group, 1)
end

local function run_group(frame, node)
  local err, order = run_compiled_group(frame, compile(frame, "group", node))
  if err then error(err, 0) end
  local outputs = {}
  for _, result in ipairs(order) do
    if result.status == "finished" then outputs[result.step.name] = result.value end
  end
  return outputs
end

local function method(constructor, runner)
  return function(self, name)
    local unfinished = constructor(name)
    return function(fields)
      return runner(frame_of(self), unfinished(fields))
    end
  end
end

--- Runs a step that the library made: what a context asks of the world beside the steps that it names. Waits. Raises
--- {code, message, step}.
---@param ctx weir.Context
---@param step table as a plan has it
---@return any output
function M.perform(ctx, step)
  return run_compiled(frame_of(ctx), step)
end

--- The key of the latest step that a context ran by itself.
---@param ctx weir.Context
---@return string|nil
function M.latest_key(ctx)
  return frame_of(ctx).latest_key
end

--- Runs such steps side by side, and waits for all of them. Raises only when the run is cancelled or stopped.
---@param ctx weir.Context
---@param name string of the group they make
---@param steps table[] whose names differ
---@return table<string, { status: string, value: any }> outcomes by name
function M.perform_all(ctx, name, steps)
  local _, order = run_compiled_group(frame_of(ctx), { name = name, steps = steps, join = "all", is_single = #steps == 1, read = {} })
  local outcomes = {}
  for _, result in ipairs(order) do outcomes[result.step.name] = { status = result.status, value = result.value } end
  return outcomes
end

--- Binds the modules and pipelines that such a step uses. Waits for the first use of each.
---@param ctx weir.Context
---@param modules string[]
---@param pipelines string[]
function M.pin(ctx, modules, pipelines)
  frame_of(ctx).run:pin(modules, pipelines)
end

for _, name in ipairs { "step", "map", "approval", "speculate", "wait", "plan" } do
  context.methods[name] = method(build[name], run_step)
end
context.methods.group = method(build.group, run_group)

--- Waits for a signal, as `run:wait NAME {signal = NAME}` does. Waits durably.
---@param name string
---@param options { timeout: number|string|nil }|nil
---@return any payload
function context.methods:wait_signal(name, options)
  return self:wait(name) { signal = name, timeout = options and options.timeout }
end

--- The id of a run that a flow starts: drawn once, found again by a replay.
---@param frame table of the flow
---@param name string of the pipeline
---@return string
function M.child_id(frame, name)
  local key = frame.prefix .. occurrence(frame, "start " .. name)
  return frame.run.journal:choice(key, function() return id.new "r" end)
end

--- Runs a flow's program. Waits.
---@param frame table {run, prefix, data}
---@param flow table a plan with `flow`
---@param input any
---@return any output
function M.run(frame, flow, input)
  frame.counters, frame.is_flow = {}, true
  native.set_context(frame)
  local handle = context.new(frame, { name = flow.name }, frame.prefix, input, 1)
  handle._flow = frame
  native.attempt()
  local output = flow.flow(handle, input)
  if output == nil then return true end
  return output
end

--- The time as a flow sees it: that of its latest outcome, so that a replay sees the same.
---@param frame table of the flow
---@return integer ms since 1970
function M.wall_ms(frame)
  if not frame.run.journal then return clock.wall_ms() end
  return frame.at_ms or frame.run.started_ms
end

function context.methods:now()
  local frame = rawget(self, "_flow")
  return (frame and frame.is_flow and M.wall_ms(frame) or clock.wall_ms()) / 1000
end

return M
