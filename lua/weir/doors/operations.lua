--- What a host does for those who talk to it over its line socket: carries out commands, evaluates, completes.

local cli = require "weir.cli"
local client_of = require "weir.serve.client"
local commands = require "weir.cli.commands"
local failure = require "weir.failure"
local repl = require "weir.repl"
local status = require "weir.cli.status"
local system = require "weir.port.system"
local version = require "weir.version"

local M = {}

-- A command of the command line, as if it were given where the client stands.
local function command(request)
  local given = request.given
  local arguments = {}
  for index, argument in ipairs(given.arguments or {}) do arguments[index] = tostring(argument) end
  if not commands.is_served(arguments[1]) then
    failure.raise("invalid", "'weir %s' is no command that a host carries out", tostring(arguments[1]))
  end
  local terminals = type(given.terminal) == "table" and given.terminal or {}
  local env = type(given.env) == "table" and given.env or {}
  local out, err, stdin = request:streams(terminals.stdin == true)
  request.client = { host = request.host, cwd = tostring(given.cwd or request.host.project.root), env = env, stdin = stdin }
  request.is_kept = not commands.only_looks(arguments[1])
  client_of.enter(request.client)
  return { status = cli.main(arguments, { stdout = out, stderr = err, env = function(name) return env[name] end,
    terminals = { out = terminals.out, err = terminals.err } }) }
end

-- Who is there.
local function hello(request)
  local host = request.host
  return { status = 0, weir = version, project = host.project.root, store = host.settings.store, process = system.process_id(),
    write = host.can_write }
end

local function evaluator(request)
  local session = request.session
  session.evaluator = session.evaluator or repl.new(request.host)
  return session.evaluator
end

-- An expression or a chunk of Lua, in the session of the connection.
local function eval(request)
  local given = request.given
  return evaluator(request):eval(tostring(given.text or ""), { width = math.tointeger(given.width), colours = given.colours == true,
    write = function(text) request:print(text) end })
end

local function complete(request)
  local given = request.given
  local from, candidates = evaluator(request):complete(tostring(given.text or ""), math.tointeger(given.cursor))
  return { status = 0, from = from, candidates = candidates }
end

-- Who looks does not wait for steps that compute; what people evaluate may compute itself.
---@type table<string, weir.LineOperation>
local OPERATIONS = { command = { lane = 0, run = command }, hello = { lane = 0, run = hello }, complete = { lane = 0, run = complete },
  eval = { lane = 1, run = eval } }

--- Opens the line socket of a host. Raises what listening refuses. Does not wait long.
---@param host weir.Host
---@param path string
---@return weir.LineServer
function M.open(host, path)
  return require("weir.serve.line").start(host, path, OPERATIONS, status.of_error)
end

return M
