--- For specs of reflection: a project of its own in a folder, with a pipeline whose score follows from an option, reflections
--- that propose what a spec says, and lives of the process over one store. On a virtual clock.

local approval = require "weir.approval"
local candidates = require "weir.candidate"
local engine = require "weir.run.engine"
local folder_of = dofile "spec/folder.lua"
local native = require "weir.native.scheduler"
local project = require "weir.project"
local recovery = require "weir.run.recovery"
local store_port = require "weir.port.store"
local uv = require "luv"
local waking = require "weir.run.waking"

local M = {}

-- What comes out is nearer to 1 the nearer the size is to 5; how much work was done is counted outside.
M.COUNTED = [[
local M = { kind = "agent", name = "counted", api = 1, options = { size = { type = "number", default = 1 } } }
function M.execute(ctx, input)
  return { size = ctx.options.size, score = input.base - math.abs(5 - ctx.options.size) }
end
return M
]]

--- The text of the pipeline; `reflect` is Lua text of fields that follow the metric.
function M.pipeline(reflect, steps, top)
  return ([[
local weir = require "weir"
return weir.pipeline "p" {
  input = { base = "number = 100" },
  weir.step "first" { agent = "first", input = { base = "$.input.base" } },
  weir.step "size" { agent = "counted", options = { size = 1 }, input = { base = "$.first.base" } },
  %s
  output = { score = "$.size.score" },
  budget = { tokens = 1000000 },
  %s
  reflect = { use = "says", metric = "$.output.score", margin = 0, %s },
}
]]):format(steps or "", top or "", reflect or "")
end

local Place = {}
Place.__index = Place

--- A project. `propose(ctx, record)` is the reflection's; `agents` are stand-ins by name.
function M.place(text, propose, options)
  options = options or {}
  local folder = assert(uv.fs_mkdtemp "/tmp/weir-reflect-XXXXXX")
  folder_of.write(folder .. "/weir.lua", "return {}")
  folder_of.write(folder .. "/pipelines/p.lua", text)
  folder_of.write(folder .. "/modules/agents/counted.lua", options.counted or M.COUNTED)
  local self = setmetatable({ folder = folder, propose = propose, agents = options.agents or {}, done = {} }, Place)
  if not options.real_time then native.use_virtual_clock(options.seed or 1, 0) end
  self.store = assert(store_port.open ":memory:")
  self:life()
  return self
end

--- Another life of the process, over the same store and folder. Stand-ins are in memory: a run that has one of them pinned goes
--- on in a life that keeps the project.
function Place:life(keeps_project)
  if keeps_project then
    self.engine = engine.new(self.project, self.store, { patience = 0, near = 0 })
    self.engine.decide = self.decide
    return self
  end
  self.project = project.open(self.folder)
  local registry = self.project.registry
  local function put_agent(name, execute)
    registry:put { kind = "agent", name = name, api = 1, options = { type = "object" }, execute = function(ctx, input)
      self.done[name] = (self.done[name] or 0) + 1
      return execute(ctx, input)
    end }
  end
  put_agent("first", function(_, input) return { base = input.base } end)
  for name, execute in pairs(self.agents) do put_agent(name, execute) end
  registry:put { kind = "reflection", name = "says", api = 1, propose = function(ctx, record)
    self.asked = (self.asked or 0) + 1
    self.record = record
    return self.propose(ctx, record)
  end }
  self.engine = engine.new(self.project, self.store, { patience = 0, near = 0 })
  self.engine.decide = self.decide
  return self
end

--- Runs the pipeline, without what follows.
function Place:run(input)
  local definition, err = self.project:pipeline "p"
  assert(definition, err and err.message)
  return self.engine:run(definition, input or {})
end

--- Goes on with what reflects on a run, as far as it comes.
function Place:reflect(run)
  assert(run.reflection, "nothing reflects on the run: " .. run.status .. " " .. (run.error and run.error.message or ""))
  return recovery.open(self.engine, run.reflection):execute()
end

--- A run on each input, reflected on once after the last of them.
function Place:improve(inputs)
  local last
  for index, input in ipairs(inputs or { {} }) do
    if last then self:forget(last) end
    last = self:run(input)
    assert(index < #inputs or last.reflection)
  end
  return self:reflect(last)
end

--- Ends what would reflect on a run, so that another may be reflected on.
function Place:forget(run)
  self.engine:cancel(run.reflection, "the spec reflects on a later one")
end

function Place:candidates() return candidates.list(self.store, { pipeline = "p" }) end

function Place:states()
  local states = {}
  for index, one in ipairs(self:candidates()) do states[index] = one.state end
  return states
end

function Place:questions(run) return assert(approval.pending(self.store, { run = run.id })) end

function Place:decide_on(question, decision, more)
  local given = { decision = decision, by = "ada", via = "cli" }
  for name, value in pairs(more or {}) do given[name] = value end
  return waking.decide(self.engine, question.id, given)
end

--- The version that serves.
function Place:serving()
  local definition = assert(self.project:pipeline "p")
  return definition.version, definition
end

--- The size that the serving definition is set to.
function Place:size()
  local _, definition = self:serving()
  return definition.normal.groups[2].steps[1].options.size
end

function Place:close()
  self.engine:close()
  self.store:close()
  native.use_real_clock()
  folder_of.remove(self.folder)
end

Place.__close = Place.close

--- A patch that sets the size.
function M.set_size(size)
  return { { op = "replace", path = "/groups/1/steps/0/options/size", value = size } }
end

--- A reflection that proposes one size after the other, and then nothing.
function M.sizes(...)
  local list = { ... }
  return function(_, record)
    local size = list[record.round]
    return size and { reason = "size " .. size, patch = M.set_size(size) } or nil
  end
end

return M
