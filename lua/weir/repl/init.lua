--- Evaluates what people type while they are attached to a host. Each session has globals of its own; every line is a
--- task of its own, so that it may wait, be cancelled, and take no more of the processor than others do.

local client_of = require "weir.serve.client"
local complete = require "weir.repl.complete"
local docs = require "weir.repl.docs"
local environment_of = require "weir.registry.environment"
local failure = require "weir.failure"
local hand = require "weir.repl.hand"
local json = require "weir.native.json"
local native = require "weir.native.scheduler"
local run_of = require "weir.repl.run"
local show = require "weir.repl.show"
local status = require "weir.cli.status"
local task = require "weir.task"

local M = {}

local NAME = "=repl"
local VALUES = 100 -- _1, _2, ... that are kept
-- What those who may look only can require: what computes, and reaches nothing.
local PURE = { ["weir.condition"] = true, ["weir.duration"] = true, ["weir.json"] = true, ["weir.path"] = true, ["weir.regex"] = true,
  ["weir.schema"] = true, ["weir.value"] = true, cjson = true, lpeg = true, re = true }
local FOREIGN = { cjson = true, lpeg = true, re = true }

---@class weir.Evaluator
---@field host weir.Host
---@field environment table the session's globals
---@field write fun(text: string) where the line that is evaluated prints
---@field chunk string|nil the text of the line that is evaluated
local Evaluator = {}
Evaluator.__index = Evaluator

-- The globals -----------------------------------------------------------------------------------------

local function requirer(host)
  return function(name)
    local may = PURE[name] or name:find "^weir%.text%."
    if host.can_write then may = name == "weir" or FOREIGN[name] or name:find "^weir%." and not name:find "^weir%.native" end
    if may then return require(name) end
    error(("'%s' cannot be required here: only %s can"):format(name, host.can_write and "weir's library, cjson and lpeg"
      or "what computes (weir.json, weir.path, weir.text.*, ...); a host that was started with --write lets more"), 2)
  end
end

local function printer(self)
  return function(...)
    local parts = {}
    for index = 1, select("#", ...) do parts[index] = tostring((select(index, ...))) end
    self.write(table.concat(parts, "\t") .. "\n")
  end
end

local function new_environment(self)
  local environment = environment_of.new(requirer(self.host))
  environment.print = printer(self)
  for name, body in pairs(hand) do
    environment[name] = function(...) return body(self, ...) end
  end
  environment.agents = hand.agents(self)
  self.special[environment.agents] = function() return self.host.project.registry:names "agent" end
  if self.host.can_write then environment.host = self.host end
  return environment
end

--- A session's evaluator. Does not wait.
---@param host weir.Host
---@return weir.Evaluator
function M.new(host)
  local self = setmetatable({ host = host, count = 0, special = setmetatable({}, { __mode = "k" }), write = function() end }, Evaluator)
  self.environment = new_environment(self)
  return self
end

-- Commands of the command line ------------------------------------------------------------------------

local NO_INPUT = { is_terminal = false, read = function() return nil end }

local function stream(self)
  return { write = function(file, text)
    self.write(text)
    return file
  end, flush = function() return true end }
end

--- Prints what a command of the command line does. Waits.
---@param arguments string[]
function Evaluator:command(arguments)
  local client = { host = self.host, cwd = self.host.project.root, env = {}, stdin = NO_INPUT }
  local before = client_of.current()
  client_of.enter(client)
  local out = stream(self)
  local result = require("weir.cli").main(arguments, { stdout = out, stderr = out, env = function(name)
    if name == "COLUMNS" then return tostring(self.width or 80) end
  end })
  client_of.enter(before)
  if result ~= status.finished then failure.raise("failed", "weir %s ended with status %d", table.concat(arguments, " "), result) end
end

local function tail(self, run_id)
  local out = stream(self)
  local console = require("weir.cli.console").new { stdout = out, stderr = out, env = function() end }
  local display = require("weir.cli.progress").new(console, { plain = true })
  local take_back = self.host:watch(run_id, function(event) display:notify(event) end)
  local leaving <close> = setmetatable({}, { __close = take_back }) -- luacheck: ignore 211
  local live = self.host.engine:at_work(run_id)
  if live then live:await_left() end
  self.write(self:shown(run_of.new(self.host, run_id)) .. "\n")
end

-- A run belongs to a host, its methods print where the session that calls them does.
run_of.command = function(_, arguments, tailed)
  local self = native.get_local "weir.evaluator"
  if not self then failure.raise("invalid", "what a run prints, it prints in a REPL") end
  if tailed then return tail(self, tailed) end
  self:command(arguments)
end

--- A value as text on one line, or more where it is wide.
---@param value any
---@return string
function Evaluator:shown(value)
  return show.value(value, { width = self.width })
end

-- Source of functions ---------------------------------------------------------------------------------

local function compiles(text)
  return load("return " .. text, NAME, "t", {}) ~= nil
end

-- The function without a name that begins at a byte, and where it ends.
local function function_at(text, from)
  if not text:find("^function%s*%(", from) then return nil end
  for to in text:gmatch "%f[%w_]end()%f[^%w_]" do
    local source = to > from and text:sub(from, to - 1)
    if source and compiles(source) then return source, to end
  end
end

--- The source of a function that the line at hand wrote.
---@param body function
---@return string|nil source "function(...) ... end"
---@return string|nil why not
function Evaluator:source_of(body)
  local info = type(body) == "function" and debug.getinfo(body, "S")
  if not info then return nil, "a function expected" end
  if info.source ~= NAME or not self.chunk then return nil, "the function has to be written in the line that calls patch" end
  local lines = {}
  for line in (self.chunk .. "\n"):gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
  local text = table.concat(lines, "\n", info.linedefined, info.lastlinedefined)
  local found, past = nil, 1
  for from in text:gmatch "()%f[%w_]function%f[^%w_]" do
    local source, to = function_at(text, from)
    if source and from >= past then -- else it stands inside of the one before
      if found then return nil, "there are several functions in the same lines; write it on lines of its own" end
      found, past = source, to
    end
  end
  if found then return found end
  return nil, "its source cannot be told apart; write it as function(...) ... end"
end

-- Evaluating ----------------------------------------------------------------------------------------

local function compile(text, environment)
  local chunk, as_expression = load("return " .. text, NAME, "t", environment)
  if chunk then return chunk end
  local message
  chunk, message = load(text, NAME, "t", environment)
  if chunk then return chunk end
  local is_begun = message:find("near <eof>", 1, true) or as_expression:find("near <eof>", 1, true)
  return nil, message, is_begun ~= nil
end

local function keep_values(self, values)
  if values.n == 0 then return nil end
  local environment = self.environment
  self.count = self.count + 1
  environment._ = values[1]
  environment["_" .. self.count] = values[1]
  environment["_" .. (self.count - VALUES)] = nil
  return self.count
end

local function code_status(err)
  if err.code == "cancelled" then return status.interrupted end
  return status.of_error(err)
end

-- Only the frames of what was typed.
local function trace_of(err)
  local lines = {}
  for line in tostring(err.traceback or ""):gmatch "[^\n]+" do
    if line:find "^%s*repl:" then lines[#lines + 1] = line:gsub("^%s+", "  ") end
  end
  return #lines > 1 and table.concat(lines, "\n") or nil
end

local function refused(self, err)
  err = failure.of(err)
  self.environment._e = err
  return { status = code_status(err), error = { code = err.code, message = err.message, trace = trace_of(err) } }
end

local function run_chunk(self, chunk, is_silent)
  native.set_local("weir.evaluator", self)
  if self.host.can_write then native.set_local("engine", self.host.engine) end
  local results = table.pack(task.within({}, function() return chunk() end))
  if not results[1] then return refused(self, results[2]) end
  local values = table.move(results, 2, results.n, 1, { n = results.n - 1 })
  local n = keep_values(self, values)
  if is_silent or not n then return { status = status.finished } end
  return { status = status.finished, value = show.values(values, { width = self.width }), n = n }
end

local function overview(self)
  local rows = {}
  for _, entry in ipairs(docs.at_hand()) do rows[#rows + 1] = { entry.signature, entry.line } end
  for _, line in ipairs(require("weir.cli.text").columns(rows)) do self.write(line .. "\n") end
  self.write "?name explains one of them, or a function of the library, such as ?task.sleep\n"
  return { status = status.finished }
end

local function explain(self, name)
  if name == "" then return overview(self) end
  local doc = docs.find(name)
  if not doc then
    local names = {}
    for _, entry in ipairs(docs.at_hand()) do names[#names + 1] = entry.name end
    local hint = require("weir.suggest").hint(name, names)
    return refused(self, failure.new("not_found", "nothing explains '%s'%s; ? lists what is at hand", name, hint))
  end
  self.write(doc.signature .. "\n" .. doc.text .. "\n")
  return { status = status.finished }
end

--- Evaluates a line: an expression, whose values are shown, or statements; `?name` explains. With `;` at the end nothing
--- is shown. Waits. A failure of the line is its answer.
---@param text string
---@param options { write: (fun(text: string))|nil, width: integer|nil }|nil write: where it prints
---@return { status: integer, value: string|nil, n: integer|nil, incomplete: boolean|nil, error: table|nil } answer value: what is
---   shown; n: it is kept as _n; incomplete: more lines are to follow
function Evaluator:eval(text, options)
  options = options or {}
  self.write, self.width, self.chunk = options.write or function() end, options.width, text
  local asked = text:match "^%s*%?%s*([%w_.:]*)%s*$"
  if asked then return explain(self, asked) end
  if not text:find "%S" then return { status = status.finished } end
  local body, semicolons = text:gsub(";%s*$", "")
  local chunk, message, is_incomplete = compile(body, self.environment)
  if is_incomplete then return { status = status.finished, incomplete = true } end
  if not chunk then return refused(self, failure.new("invalid", "%s", message)) end
  return run_chunk(self, chunk, semicolons > 0)
end

-- Completing ----------------------------------------------------------------------------------------

local function ids_of(host, prefix)
  local list = {}
  if prefix:find "^r_" then
    for _, entry in ipairs(host.store:runs { after = prefix, limit = 50, damaged = true } or {}) do list[#list + 1] = entry.id end
  elseif prefix:find "^a_" then
    for _, entry in ipairs(require("weir.approval").pending(host.store, { limit = 50 }) or {}) do list[#list + 1] = entry.id end
  end
  return list
end

local function module_names(host)
  local kinds = require("weir.registry.kinds").kinds
  local list = {}
  for kind, of in pairs(kinds) do
    for _, name in ipairs(host.project.registry:names(kind)) do list[#list + 1] = of.folder .. "/" .. name end
  end
  return list
end

local function texts(host)
  return function(prefix)
    if prefix:find "^[ra]_" then return ids_of(host, prefix) end
    if prefix:find "/" then return module_names(host) end
    local list = host.project:pipeline_names()
    list[#list + 1] = "last"
    return list
  end
end

--- What may stand at a cursor, without running any code of the project.
---@param text string
---@param cursor integer|nil bytes before it; default: all of the text
---@return integer from bytes before the word that is completed
---@return string[] candidates
function Evaluator:complete(text, cursor)
  local from, candidates = complete.at(self.environment, text, cursor, { special = self.special, texts = texts(self.host),
    calls = { run = run_of.methods, start = run_of.methods } })
  return from, json.list(candidates)
end

return M
