--- A run as a REPL holds it: its id, and what can be looked at and done.

local change = require "weir.repl.change"
local failure = require "weir.failure"
local fork = require "weir.run.fork"
local history = require "weir.run.history"
local json = require "weir.native.json"
local show = require "weir.repl.show"
local waking = require "weir.run.waking"

local M = {}

---@class weir.repl.Run
---@field id string
local Run = {}
local meta = { __index = Run, __name = "weir.repl.Run" }
M.methods = Run

local hosts = setmetatable({}, { __mode = "k" })

local function known(value)
  if value == json.null then return nil end
  return value
end

local function row_of(self)
  local host = hosts[self]
  local row, message, code = host.store:row(self.id)
  if row then return row end
  local live = host.engine.live[self.id]
  if live then return { pipeline = live.plan.name, status = live.status, started_ms = live.started_ms } end
  failure.raise(code or "not_found", "%s", message)
end

show.by(meta, function(self)
  local ok, row = pcall(row_of, self)
  if not ok then return ("run %s (gone)"):format(self.id) end
  local err = known(row.error)
  return ("run %s  %s  %s%s"):format(self.id, tostring(row.pipeline), row.status, err and ("  " .. tostring(err.message)) or "")
end)

--- A run that a store knows, or one that is at work here.
---@param host weir.Host
---@param id string
---@return weir.repl.Run
function M.new(host, id)
  local self = setmetatable({ id = id }, meta)
  hosts[self] = host
  return self
end

--- Its status: running, waiting, in_doubt, finished, failed, cancelled or quarantined.
function Run:status() return row_of(self).status end

--- What the store keeps of it: pipeline, version, status, times, error, what it waits for.
function Run:row() return row_of(self) end

--- What it was started with.
function Run:input() return known(history.load(hosts[self].engine, self.id).head.input) end

--- What it gave; nil while it has not finished.
function Run:output()
  local entries = hosts[self].store:load(self.id)
  local last = entries and entries[#entries]
  return last and last[1] == "end" and last[2] == "finished" and known(last[3]) or nil
end

--- Why it failed or was set aside: {code, message, step}.
function Run:error() return known(row_of(self).error) end

--- What it knew right after a step had its outcome (StepData).
---@param step string a name, a key such as all[3]/text, or the number of an entry
function Run:at(step) return history.at(hosts[self].engine, self.id, step).data end

--- The entries of its journal.
function Run:journal() return history.load(hosts[self].engine, self.id).entries end

--- Prints what `weir show` does.
function Run:show() return M.command(hosts[self], { "show", self.id }) end

--- Prints how another run differs, step by step.
---@param other string|weir.repl.Run
function Run:diff(other)
  return M.command(hosts[self], { "diff", self.id, type(other) == "table" and other.id or other })
end

--- Prints what it does from now on, until it ends, waits or you press Ctrl-C. Waits.
function Run:tail() return M.command(hosts[self], nil, self.id) end

--- Waits until it ends or is parked; gives its output, or raises what it failed with.
function Run:wait()
  local host = hosts[self]
  local live = host.engine:at_work(self.id)
  if live then live:await_left() end
  local row = row_of(self)
  local err = known(row.error)
  if err then failure.raise(failure.codes[err.code] and err.code or "failed", "%s", err.message) end
  return self:output()
end

local function carried(host, id)
  local run = host.engine:reopen(id)
  host:carry(run)
  return M.new(host, id)
end

local function values_of(made, settings, prefix)
  for path, value in pairs(settings or {}) do made:set((prefix or "") .. path, value) end
end

--- Starts a run that keeps what this one did up to a step, and goes on behind it.
---@param options { at: string, set: table<string, any>|nil } set: values by path, such as ["draft.text"]
---@return weir.repl.Run
function Run:fork(options)
  local host = hosts[self]
  change.check(host, "fork")
  if type(options) ~= "table" or not options.at then error("fork { at = STEP }: say behind which step it goes on", 2) end
  local made = fork.fork(host.engine, self.id, options.at)
  values_of(made, options.set)
  local id = made:make()
  change.audit(host, "fork", self.id, nil, id)
  return carried(host, id)
end

--- Starts a run that does again what this one did not get done.
---@param options { from: string|nil, set: table<string, any>|nil, latest: boolean|nil }|nil from: keeps what came before
---   this step; set: values of the input by path; latest: with the definition of now
---@return weir.repl.Run
function Run:retry(options)
  options = options or {}
  local host = hosts[self]
  change.check(host, "retry")
  local made = fork.retry(host.engine, self.id, { from = options.from, latest = options.latest, anew = options.set ~= nil })
  values_of(made, options.set, "input.")
  local id = made:make()
  change.audit(host, "retry", self.id, nil, id)
  return carried(host, id)
end

--- Cancels it; what its steps did is undone where they say how. Waits.
---@param reason string|nil
function Run:cancel(reason)
  local host = hosts[self]
  change.check(host, "cancel")
  change.audit(host, "cancel", self.id)
  host.engine:cancel(self.id, reason or "cancelled in a REPL")
  return self
end

--- Sends it a signal. Waits for the disk.
---@param name string
---@param value any plain data; nil: true
function Run:signal(name, value)
  local host = hosts[self]
  change.check(host, "signal")
  change.audit(host, "signal", self.id, nil, name)
  waking.signal(host.engine, self.id, name, value)
  return self
end

--- Keeps it from going on until somebody resumes it. Waits.
function Run:pause()
  local host = hosts[self]
  change.check(host, "pause")
  change.audit(host, "pause", self.id)
  waking.pause(host.engine, self.id)
  return self
end

--- Prints what a command of the command line does; the evaluator says how.
---@type fun(host: weir.Host, arguments: string[]|nil, tail: string|nil)
M.command = nil

return M
