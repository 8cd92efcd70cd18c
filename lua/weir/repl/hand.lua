--- What is at hand in a REPL, by name. Each function takes the evaluator first; in the REPL it is called without.

local approval = require "weir.approval"
local change = require "weir.repl.change"
local clock = require "weir.port.clock"
local failure = require "weir.failure"
local native = require "weir.native.scheduler"
local revise = require "weir.registry.revise"
local run_of = require "weir.repl.run"
local selection = require "weir.view.selection"
local session = require "weir.cli.session"
local streams = require "weir.run.stream"
local system = require "weir.port.system"
local text = require "weir.cli.text"
local trial = require "weir.repl.trial"
local waking = require "weir.run.waking"

local M = {}

local LIMIT = 20

local function print_columns(self, rows, alignment)
  for _, line in ipairs(text.columns(rows, alignment)) do self.write(line .. "\n") end
end

local function age(ms)
  return text.duration(math.max(0, clock.wall_ms() - ms) / 1000)
end

local function id_of(self, given)
  if type(given) == "table" and rawget(given, "id") then return rawget(given, "id") end
  return (session.find_run(self.host.store, tostring(given or "last")))
end

-- Runs ----------------------------------------------------------------------------------------------

--- Prints the runs that are at work in this host: how long, which steps, what they wait for.
function M.ps(self)
  local rows, live = { { "RUN", "PIPELINE", "SINCE", "WAITS FOR" } }, self.host.engine.live
  for _, id in ipairs(require("weir.value").names(live)) do
    local run, waits = live[id], {}
    for key, wait in pairs(run.waits) do waits[#waits + 1] = ("%s: %s"):format(key, wait.kind) end
    table.sort(waits)
    rows[#rows + 1] = { id, run.plan.name, age(run.started_ms), text.safe(table.concat(waits, ", ")) }
  end
  if #rows == 1 then return self.write "no run is at work\n" end
  print_columns(self, rows)
end

--- Runs of the store, the newest first.
---@param query { status: string|nil, pipeline: string|nil, since: string|nil, limit: integer|nil }|nil
---@return weir.repl.Run[]
function M.runs(self, query)
  query = query or {}
  local found = selection.runs(self.host.store, { live = self.host.engine.live, status = query.status, pipeline = query.pipeline,
    limit = query.limit or LIMIT, since_ms = selection.since(query.since, "since") })
  local list = {}
  for index, entry in ipairs(found) do list[index] = run_of.new(self.host, entry.id) end
  return list
end

--- A run, to look at and to act on. It has methods: `run(id):at(step)`, `:show()`, `:diff(other)`, `:tail()`, `:journal()`,
--- `:input()`, `:output()`, `:fork{at=}`, `:retry{}`, `:signal(name, value)`, `:cancel()`, `:pause()`, `:wait()`.
---@param id string|nil an id, the beginning of one, or "last" (default)
---@return weir.repl.Run
function M.run(self, id)
  return run_of.new(self.host, id_of(self, id))
end

--- Starts a run of a pipeline, which goes on by itself.
---@param pipeline string a file or a name
---@param input table|nil
---@return weir.repl.Run
function M.start(self, pipeline, input)
  change.check(self.host, "start")
  local project, engine = self.host.project, self.host.engine
  local file, message = project:pipeline_file(pipeline)
  if not file then failure.raise("not_found", "%s", message) end
  local definition, errors = project:load(file)
  if not definition then failure.raise("invalid", "%s", require("weir.definition.check").format(errors[1])) end
  local run = engine:prepare(definition, input or {}, { by = system.user_name() })
  change.audit(self.host, "start", definition.name, nil, run.id)
  self.host:carry(run)
  return run_of.new(self.host, run.id)
end

--- Tries one step of a run again: the agent as it is now, with the input that the step had. Nothing is recorded; HTTP
--- requests and processes are refused unless effects = true. Waits.
---@param run string|weir.repl.Run
---@param step string
---@param options { input: any, agent: string|nil, effects: boolean|nil, options: table|nil }|nil
---@return any output
function M.try(self, run, step, options)
  options = options or {}
  if options.effects then change.check(self.host, "try with effects") end
  return trial.step(self.host, id_of(self, run), step, options, function(line) self.write(tostring(line) .. "\n") end)
end

-- Approvals -----------------------------------------------------------------------------------------

--- Prints what waits for a person's decision.
function M.approvals(self)
  self:command { "approvals" }
end

local function decide(self, decision, id, options)
  options = options or {}
  change.check(self.host, decision)
  local asked, message, code = approval.get(self.host.store, id)
  if not asked then failure.raise(code, "%s", message) end
  local record, state, more = waking.decide(self.host.engine, asked.id, { decision = decision, by = options.by or system.user_name(),
    answer = options.answer, comment = options.comment, hash = options.hash, via = "repl" })
  if not record then failure.raise(type(more) == "string" and more or "failed", "%s", state) end
  change.audit(self.host, decision, asked.id, nil, asked.run)
  return run_of.new(self.host, asked.run)
end

--- Approves what waits; its run goes on.
---@param id string of `approvals()`, or the beginning of one
---@param options { answer: any, comment: string|nil, by: string|nil }|nil
---@return weir.repl.Run
function M.approve(self, id, options) return decide(self, "approve", id, options) end

--- Rejects what waits.
---@param id string
---@param options { comment: string|nil, by: string|nil }|nil
---@return weir.repl.Run
function M.reject(self, id, options) return decide(self, "reject", id, options) end

--- Has another person decide in the place of one who may.
---@param id string
---@param to string
---@param options { by: string|nil, until_ms: integer|nil }|nil
---@return weir.Approval
function M.delegate(self, id, to, options)
  options = options or {}
  change.check(self.host, "delegate")
  local asked, message, code = approval.get(self.host.store, id)
  if not asked then failure.raise(code, "%s", message) end
  local record
  record, message, code = approval.delegate(self.host.store, asked.id, { by = options.by or system.user_name(), to = to,
    until_ms = options.until_ms, via = "repl" }, { groups = self.host.project.settings.groups })
  if not record then failure.raise(code, "%s", message) end
  return record
end

-- The host ------------------------------------------------------------------------------------------

--- Prints the modules that pipelines can name, with versions and files.
---@param kind string|nil only of this kind
function M.mods(self, kind)
  self:command(kind and { "modules", "--kind", kind } or { "modules" })
end

--- Prints the streams between steps that are open: how much was sent, and how far each reader is behind.
function M.chans(self)
  local rows = {}
  for _, one in ipairs(streams.open_ones()) do
    if one.run and one.run.engine == self.host.engine then
      local readers = {}
      for index, reader in ipairs(one.readers) do
        local stats = reader:stats()
        readers[index] = ("%d of %d"):format(stats.count, stats.capacity)
      end
      rows[#rows + 1] = { one.run.id, text.safe(one.step or ""), tostring(one.count), table.concat(readers, ", ") }
    end
  end
  if #rows == 0 then return self.write "no stream is open\n" end
  table.sort(rows, function(a, b) return a[1] < b[1] or a[1] == b[1] and a[2] < b[2] end)
  table.insert(rows, 1, { "RUN", "STEP", "SENT", "WAITING FOR READERS" })
  print_columns(self, rows, { [3] = "right" })
end

--- Prints the next moments at which runs are woken.
---@param limit integer|nil default 20
function M.timers(self, limit)
  local page, message, code = self.host.store:scan("timers", { limit = limit or LIMIT })
  if not page then failure.raise(code or "failed", "%s", message) end
  if #page == 0 then return self.write "no run waits for a moment\n" end
  local rows = { { "DUE", "IN", "RUN" } }
  for index, entry in ipairs(page) do
    local due_ms = math.tointeger(entry.key:match "^%d+")
    local left = (due_ms - clock.wall_ms()) / 1000
    rows[index + 1] = { clock.rfc3339(due_ms), left > 0 and text.duration(left) or "now", entry.key:match "/(.+)$" }
  end
  print_columns(self, rows)
end

--- Prints the tasks that have used most of the processor, with their memory and what they wait for.
---@param limit integer|nil default 20
function M.top(self, limit)
  local tasks = native.tasks()
  table.sort(tasks, function(a, b) return a.cpu > b.cpu or a.cpu == b.cpu and a.id < b.id end)
  local rows = { { "TASK", "NAME", "STATE", "CPU", "AGE", "MEMORY", "WAITS FOR" } }
  for index = 1, math.min(#tasks, limit or LIMIT) do
    local one = tasks[index]
    rows[index + 1] = { tostring(one.id), text.safe(one.name or ""), one.state, text.duration(one.cpu), text.duration(one.age),
      text.bytes(one.bytes), text.safe(one.waits_for or "") }
  end
  local stats = native.stats()
  self.write(("%s, %s in all\n"):format(text.count(stats.tasks, "task"), text.bytes(stats.memory_bytes)))
  print_columns(self, rows, { [1] = "right" })
end

--- Prints events as they come, until you press Ctrl-C.
---@param query { run: string|nil, kinds: string[]|nil }|nil
function M.events(self, query)
  local follower = self.host.feed:follow(query)
  local leaving <close> = setmetatable({}, { __close = function() follower:close() end }) -- luacheck: ignore 211
  while true do
    local event, why = follower:next()
    if not event and why == "closed" then return end
    self.write(event and ("%s %s %s\n"):format(event.id, event.kind, self:shown(event.data)) or "some events were missed\n")
  end
end

--- Loads again what has changed. What cannot be loaded keeps its version, and its error is printed. Waits.
function M.reload(self)
  change.check(self.host, "reload")
  local report = self.host:reload "repl"
  for _, one in ipairs(report.reloaded) do self.write(("reloaded %s\n"):format(text.safe(one.name))) end
  for _, one in ipairs(report.failed) do self.write(("failed %s: %s\n"):format(text.safe(one.name), text.safe(one.message))) end
  if #report.reloaded + #report.failed == 0 then self.write "nothing has changed\n" end
end

--- Puts the version of a module or pipeline that was active before back in its place. Waits.
---@param name string such as "agents/writer"
---@return { name: string, from: string, to: string }
function M.rollback(self, name)
  change.check(self.host, "rollback")
  local registry = self.host.project.registry
  return revise.rollback(registry, revise.resolve(registry, name), { by = system.user_name(), via = "repl" })
end

--- Changes one function of a module: a new version of it, which `rollback` takes back.
---@param name string such as "agents/writer"
---@param field string such as "execute"
---@param body function written where `patch` is called: its source becomes part of the version
function M.patch(self, name, field, body)
  change.check(self.host, "patch")
  local source, why = self:source_of(body)
  if not source then failure.raise("invalid", "patch: %s", why) end
  local registry = self.host.project.registry
  return revise.patch(registry, revise.resolve(registry, name), field, source, { by = system.user_name(), via = "repl" })
end

--- `agents.NAME(input, options)`: calls an agent outside of any run. HTTP requests and processes are refused where those
--- who attach may look only. Waits.
function M.agents(self)
  local host = self.host
  return setmetatable({}, { __index = function(_, name)
    return function(input, options)
      local key = tostring(name)
      return trial.call(host, { run = "trial", pipeline = "trial", key = key, agent = key, input = input == nil and {} or input,
        say = function(line) self.write(tostring(line) .. "\n") end }, { effects = host.can_write, options = options })
    end
  end })
end

return M
