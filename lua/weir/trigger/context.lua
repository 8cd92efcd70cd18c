--- What a watcher is given as `ctx`: what it may ask of the world, and what it keeps. `ctx.memory` is plain data, kept with
--- each event that it gives away, in one transaction; `ctx.marks` keeps values by key, for what may be many, in the same way.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local hash = require "weir.native.hash"
local native = require "weir.native.scheduler"
local pages = require "weir.pages"
local task = require "weir.task"

local M = {}

M.MEMORY, M.MARKS = "trigger.memory", "trigger.marks"

local PAGE = 1000
local LEVELS = { debug = true, info = true, warn = true, error = true }

---@class weir.WatcherContext
---@field source string    PIPELINE/NAME
---@field pipeline string
---@field root string      folder of the project
---@field options table
---@field state any        what `setup` returned
---@field memory table     plain data, small
---@field marks weir.Marks
local methods = {}
methods.__index = methods

-- Marks ------------------------------------------------------------------------------------------------

---@class weir.Marks values by key; what was set is kept with the next event, or by `ctx:save()`
local Marks = {}
Marks.__index = Marks

local function check_key(key)
  if type(key) ~= "string" or key == "" or #key > 4096 then error("key: a text of 1 to 4096 bytes expected", 3) end
end

--- The value of a key, or nil. Does not wait; raises `corrupt`, `unavailable`.
---@param key string
---@return any
function Marks:get(key)
  check_key(key)
  local staged = self.staged[key]
  if staged ~= nil then return staged.value end
  local value, message, code = self.store:get(M.MARKS, self.prefix .. key)
  if value == nil and code ~= "not_found" then failure.raise(code or "failed", "%s", message) end
  return value
end

--- Sets a value; nil forgets the key. Does not wait.
---@param key string
---@param value any plain data
function Marks:set(key, value)
  check_key(key)
  self.staged[key] = { value = value }
end

--- Iterates over the keys that are kept, in order, with their values; what is only set is not among them.
---@param prefix string|nil
---@return fun(): string?, any
function Marks:each(prefix)
  local next_row = pages.rows(self.store, M.MARKS, { prefix = self.prefix .. (prefix or "") })
  return function()
    local row = next_row()
    if row then return row.key:sub(#self.prefix + 1), row.value end
  end
end

-- The operations that keep what was set, and what is to be called when they are on disk.
function Marks:take()
  local operations, staged = {}, self.staged
  for key, one in pairs(staged) do
    operations[#operations + 1] = one.value == nil and { op = "delete", space = M.MARKS, key = self.prefix .. key }
      or { op = "put", space = M.MARKS, key = self.prefix .. key, value = one.value }
  end
  return operations, function()
    for key, one in pairs(staged) do
      if self.staged[key] == one then self.staged[key] = nil end
    end
  end
end

-- The context --------------------------------------------------------------------------------------------

--- The operation that keeps the memory, with the offset up to which events were taken.
---@param source weir.Source
---@return table
function M.memory_operation(source)
  return { op = "put", space = M.MEMORY, key = source.rules.id, value = { memory = source.ctx.memory, offset = source.offset } }
end

--- What is kept of a source. Does not wait; raises `corrupt`, `unavailable`.
---@param store weir.Store
---@param id string
---@return table|nil {memory, offset}
function M.load(store, id)
  local value, message, code = store:get(M.MEMORY, id)
  if value == nil and code ~= "not_found" then failure.raise(code or "failed", "%s", message) end
  return value
end

--- A context.
---@param source weir.Source
---@param options table
---@param state any
---@return weir.WatcherContext
function M.new(source, options, state)
  local host = source.host
  local marks = setmetatable({ store = host.store, prefix = source.rules.id .. "\n", staged = {} }, Marks)
  return setmetatable({ _source = source, source = source.rules.id, pipeline = source.rules.pipeline, root = host.project.root,
    options = options, state = state, memory = source.kept and source.kept.memory or {}, marks = marks }, methods)
end

--- Seconds since 1970. Does not wait.
---@return number
function methods:now() return clock.wall() end -- luacheck: ignore 212

--- Lets time pass. Waits; raises when the source ends.
---@param seconds number
function methods:sleep(seconds) native.sleep(seconds) end -- luacheck: ignore 212

--- Writes a line of the host's log.
---@param level "debug"|"info"|"warn"|"error"
---@param text string
---@param fields table|nil
function methods:log(level, text, fields)
  if not LEVELS[level] then error("level: debug, info, warn or error expected, got '" .. tostring(level) .. "'", 2) end
  local all = { source = self.source }
  for name, value in pairs(fields or {}) do all[name] = value end
  self._source.host.log:record(level, tostring(text), all)
end

--- Says what the source is doing, for those who look; nil: all is well.
---@param text string|nil such as "the folder is gone"
function methods:status(text) self._source.trouble = text and tostring(text) or nil end

--- A handle of a secret, as for agents.
function methods:secret(name) return require("weir.secret").handle(name) end -- luacheck: ignore 212

--- An HTTP request, as for agents. Waits.
function methods:http(request) return require("weir.port.http").fetch(request) end -- luacheck: ignore 212

--- Runs a function beside the watcher, to which it belongs: what it raises is raised by the source. Does not wait.
---@param body fun()
function methods:beside(body) task.spawn(body) end -- luacheck: ignore 212

--- SHA-256 of a text, hexadecimal. Does not wait.
---@param text string
---@return string
function methods:digest(text) return hash.sha256(text) end -- luacheck: ignore 212

--- Starts a child process that ends with the source: its channels `stdout` and `stderr`, `wait()`, `close()`.
function methods:start(args, options) return require("weir.port.process").start(args, options) end -- luacheck: ignore 212

--- Keeps the memory and the marks that were set. Waits until they are on disk. Raises what the store refuses with.
function methods:save()
  local operations, committed = self.marks:take()
  operations[#operations + 1] = M.memory_operation(self._source)
  for from = 1, #operations, PAGE do
    local done, message, code = self._source.host.store:batch { table.unpack(operations, from, math.min(#operations, from + PAGE - 1)) }
    if not done then failure.raise(code or "failed", "%s", message) end
  end
  committed()
end

--- Takes what comes in from outside: deliveries of a webhook, events that are sent or published. The host takes each in, in
--- the transaction in which its sender hears that it was taken; what came while nobody listened (a reload, a pause, another
--- life) is taken from the log first. Waits until the source ends.
---@param match { hook: string|nil, type: string|nil, source: string|nil } hook: name of a webhook; type, source: the same, or the
---   beginning with a '*'
---@param transform nil|fun(event: weir.Event): weir.Event|nil what becomes of an event; nil: nothing. It may not wait
---@param beside nil|fun() runs beside it, once what came before was taken
function methods:receive(match, transform, beside)
  require("weir.trigger.receive").run(self._source, match, transform, beside)
end

return M
