--- The public face of the library: what pipelines, modules and programs require as `weir`.

local build = require "weir.definition.build"
local json = require "weir.native.json"
local native = require "weir.native.scheduler"
local parking = require "weir.run.parking"

---@class weir
local M = {
  pipeline = build.pipeline,
  flow = build.flow,
  group = build.group,
  step = build.step,
  approval = build.approval,
  map = build.map,
  speculate = build.speculate,
  wait = build.wait,
  plan = build.plan,
  --- The value that stands for JSON's null.
  null = json.null,
  --- Marks a table as a list, so that an empty one is a list too.
  list = json.list,
  is_list = json.is_list,
}

local function current_engine()
  local frame = native.context()
  local engine = frame and frame.run.engine or native.get_local "engine"
  if engine then return engine end
  error("no run can be started here: nothing says in which project and store", 3)
end

local function definition_of(engine, what)
  local definition, errors
  if type(what) == "string" then
    local file, message = engine.project:pipeline_file(what)
    if not file then error(native.failure("not_found", message), 3) end
    definition, errors = engine.project:load(file)
  else
    definition, errors = engine.project:check(what)
  end
  if definition then return definition end
  local format = require("weir.definition.check").format
  local lines = {}
  for index, entry in ipairs(errors) do lines[index] = format(entry) end
  error(native.failure("invalid", table.concat(lines, "\n")), 3)
end

---@class weir.Handle a run that goes on by itself
---@field id string
local Handle = {}
Handle.__index = Handle

-- A flow that waits for a run which itself only waits does so durably: both may be parked.
local function await(self, frame)
  local engine, key = frame.run.engine, frame.prefix .. "wait " .. self.id
  while not self.run.ended_ms do
    if engine.live[self.id] then
      engine.live[self.id]:await_left()
    else
      parking.wait(frame.run, key, { kind = "run", id = self.id })
    end
    self.run = engine:rejoin(self.id, frame.run)
  end
  return self.run
end

--- Waits until the run has ended; gives its output, or raises {code, message, step}.
function Handle:wait()
  local frame = native.context()
  local is_durable = frame and frame.is_flow and frame.run.journal and frame.run.engine:knows(self.id)
  local run = is_durable and await(self, frame) or self.run:wait()
  if run.status == "finished" then return run.output end
  error(run.error, 0)
end

--- Cancels the run; returns at once.
---@param reason string|nil
function Handle:cancel(reason)
  self.run:cancel(reason)
end

--- running, finished, failed or cancelled.
function Handle:status()
  return self.run.status
end

--- StepData as it stands.
function Handle:data()
  return self.run.data
end

-- In a flow that is kept, the child's id is a choice of the flow: a replay finds the child it started.
local function begin(engine, what, input, options)
  local frame = native.context()
  local given = { key = options and options.key }
  if frame and frame.is_flow and frame.run.journal then
    given.id, given.parent = require("weir.run.flow").child_id(frame, type(what) == "string" and what or what.name), frame.run
    if engine:knows(given.id) then return engine:rejoin(given.id, frame.run) end
  end
  return engine:start(definition_of(engine, what), input, given)
end

--- Starts a run and returns at once; what was started ends with the scope of the caller. Waits for the disk.
---@param what string|table the name or file of a pipeline, or what weir.pipeline or weir.flow gave
---@param input any
---@param options { key: string|nil }|nil
---@return weir.Handle
function M.start(what, input, options)
  local run = begin(current_engine(), what, input, options)
  return setmetatable({ id = run.id, run = run }, Handle)
end

--- Starts a run, waits for it and gives its output, or raises {code, message, step}.
function M.run(what, input, options)
  return M.start(what, input, options):wait()
end

return M
