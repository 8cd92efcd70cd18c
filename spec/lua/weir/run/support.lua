--- For specs of the durable core: a project with agents of the spec, a store in memory, lives of the process that
--- has them, and people and programs that answer what runs wait for. All on a virtual clock.

local approval = require "weir.approval"
local clock = require "weir.port.clock"
local engine = require "weir.run.engine"
local json = require "weir.native.json"
local native = require "weir.native.scheduler"
local project = require "weir.project"
local recovery = require "weir.run.recovery"
local store_port = require "weir.port.store"
local task = require "weir.task"
local waking = require "weir.run.waking"

local M = {}

local HAS_ENDED = { finished = true, failed = true, cancelled = true }

-- A store that lives as long as its process --------------------------------------------------------------

local WRITES = { append = true, append_of = true, note = true, note_of = true, put = true, cas = true, delete = true, batch = true }
local NOTES = { note = true, note_of = true }

local Mortal = {}

-- The handle of a journal inside an operation is the store's own.
local function bare(operations)
  local list = {}
  for index, operation in ipairs(operations) do
    list[index] = setmetatable({}, { __index = operation })
    for name, value in pairs(operation) do list[index][name] = value end
    local journal = operation.journal
    if type(journal) == "table" then list[index].journal = journal.real end
  end
  return list
end

local function wrap(real, life)
  return setmetatable({ real = real, life = life }, Mortal)
end

-- Writes that wait are counted; after the last one nothing is written any more, as if the process had ended.
function Mortal:__index(name)
  local life, real = rawget(self, "life"), rawget(self, "real")
  local function call(_, ...)
    if not WRITES[name] then
      if name == "run" or name == "new_run" then
        local handle, message, code = real[name](real, ...)
        if not handle then return nil, message, code end
        return wrap(handle, life)
      end
      return real[name](real, ...)
    end
    local is_alive = native.atomic(function()
      if life.writes <= 0 then return false end
      if not NOTES[name] then life.writes = life.writes - 1 end
      return true
    end)
    if not is_alive then
      life.is_over = true
      return nil, "the process has ended", "unavailable"
    end
    if name == "batch" then return real:batch(bare((...))) end
    return real[name](real, ...)
  end
  return call
end

-- Worlds -------------------------------------------------------------------------------------------------

---@class weir.spec.World
---@field engine weir.Engine of the life that goes on
---@field done table<string, integer> how often agents did what they do, by key, as long as the process lives
local World = {}
World.__index = World

--- A world; `world:close()` ends it.
---@param agents table<string, fun(ctx, input)>
---@param options { seed: integer?, patience: number?, near: number?, turns: integer?, project: weir.Project? }|nil default:
---   runs are parked at once
function M.world(agents, options)
  options = options or {}
  native.use_virtual_clock(options.seed, 0)
  local here = options.project or project.open "."
  local self = setmetatable({ here = here, done = {}, store = assert(store_port.open ":memory:"), tasks = native.stats().tasks,
    options = { patience = options.patience or 0, near = options.near or 0, turns = options.turns } }, World)
  for name, execute in pairs(agents or {}) do
    here.registry:put { kind = "agent", name = name, api = 1, options = { type = "object" }, execute = function(ctx, input)
      local key = ctx.idempotency_key:match "/(.*)"
      if self.mortal and self.mortal.is_over then error { code = "unavailable", message = "the process has ended" } end
      native.atomic(function() self.done[key] = (self.done[key] or 0) + 1 end)
      return execute(ctx, input, self)
    end }
  end
  self:life()
  return self
end

--- Another life of the process, over the same store.
---@param writes integer|nil how many writes it lives for
---@return weir.Engine
function World:life(writes)
  self.mortal = writes and { writes = writes } or nil
  local store = writes and wrap(self.store, self.mortal) or self.store
  self.engine = engine.new(self.here, store, self.options)
  return self.engine
end

--- A definition: what a constructor gave, or the text of a flow.
function World:define(what)
  local definition, errors
  if type(what) == "string" then
    definition, errors = self.here:load("spec.lua", what)
  else
    definition, errors = self.here:check(what)
  end
  assert(definition, errors and errors[1].message)
  return definition
end

--- Begins a run and lets it come as far as it does. In a life that is cut short it may not even begin.
---@return weir.Run|nil
function World:begin(what, input, options)
  local definition = type(what) == "table" and what.version and what or self:define(what)
  local ok, run
  local within, err = task.within({}, function() ok, run = pcall(self.engine.run, self.engine, definition, input or {}, options) end)
  if not within then ok, run = false, err end
  if not ok then
    assert(self.mortal and self.mortal.is_over, type(run) == "table" and (run.traceback or run.message) or run)
    native.recover()
    return nil
  end
  return run
end

--- Goes on with all runs of the store whose time has come.
function World:go_on()
  local errors = {}
  local ok, err = task.within({}, function()
    recovery.all(self.engine, { on_left = function(id, _, failed) errors[id] = failed end })
  end)
  if not ok and not (self.mortal and self.mortal.is_over) then error(err, 0) end
  return errors
end

function World:row(id) return (self.store:row(id)) end

--- How a run ended: what `store:load` gives as its last entry.
function World:ending(id)
  local entries = assert(self.store:load(id))
  local last = entries[#entries]
  assert(last[1] == "end", "run has not ended: " .. tostring(last[1]))
  return { status = last[2], value = last[3], entries = entries }
end

--- The questions that a run asks.
function World:questions(id) return assert(approval.pending(self.store, { run = id, limit = 100000 })) end

function World:decide(id, decision)
  return waking.decide(self.engine, id, { decision = decision.decision or "approve", by = decision.by or "ada",
    answer = decision.answer, comment = decision.comment })
end

--- Has time pass, and answers given, until a run has ended or is set aside.
---@param id string
---@param act nil|fun(world, id, row): boolean|nil called while the run is parked; whether something was done
---@return table row
function World:settle(id, act)
  for _ = 1, self.options.turns or 200 do
    self:go_on()
    local row = self:row(id)
    if HAS_ENDED[row.status] or row.status == "quarantined" or self.mortal and self.mortal.is_over then return row end
    if not (act and act(self, id, row)) then
      local due = waking.next_due(self.engine)
      assert(due, "nothing wakes the run, which waits for " .. json.encode(row.waiting))
      clock.sleep(math.max(0, (due - clock.wall_ms()) / 1000))
    end
  end
  error "the run does not come to an end"
end

--- What is left where nothing may be once all runs have ended.
function World:left()
  local left = {}
  for _, space in ipairs { "timers", "signals", "approvals" } do
    for _, entry in ipairs(assert(self.store:scan(space, {}))) do left[#left + 1] = space .. "/" .. entry.key end
  end
  for id in pairs(self.engine.live) do left[#left + 1] = "live/" .. id end
  collectgarbage() -- handles of lives that were cut short
  local heads = self.store:stats().heads
  if heads > 0 then left[#left + 1] = ("%d heads of journals"):format(heads) end
  if native.stats().tasks > self.tasks then left[#left + 1] = ("%d tasks"):format(native.stats().tasks - self.tasks) end
  return left
end

function World:close()
  self.store:close()
  native.use_real_clock()
end

local function send(world, id, name, value)
  if #assert(world.store:scan("signals", { prefix = ("%s/%s/"):format(id, name) })) > 0 then return false end
  waking.signal(world.engine, id, name, value)
  return true
end

local function act(world, id, row, answers, signals)
  local did = false
  for _, record in ipairs(world:questions(id)) do
    local given = answers[record.step:match "[^/]+$"]
    if given then
      assert(world:decide(record.id, type(given) == "table" and given or { decision = given }))
      did = true
    end
  end
  for _, wait in ipairs(type(row.waiting) == "table" and row.waiting or {}) do
    for name in (wait.kind == "signal" and wait.name or ""):gmatch "[^, ]+" do
      if signals[name] ~= nil then did = send(world, id, name, signals[name]) or did end
    end
  end
  return did
end

--- Answers questions as `answers` says by the step that asks, and sends signals that are waited for. In a life that
--- is cut short it may fail.
---@param answers table<string, table|string>|nil by step: a decision, or { decision =, answer =, by = }
---@param signals table<string, any>|nil payloads by name
function M.actor(answers, signals)
  return function(world, id, row)
    local ok, did = pcall(act, world, id, row, answers or {}, signals or {})
    if ok then return did end
    assert(world.mortal and world.mortal.is_over, did)
    native.recover()
    return true
  end
end

--- An output as text, to compare.
function M.text(value)
  return json.encode(value == nil and json.null or value, { canonical = true })
end

return M
