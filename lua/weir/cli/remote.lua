--- The thin client: where a living host has the store that a command is about, the host carries it out, and what
--- it writes comes back over the host's socket. Loads little, so that looking is quick.

local client_of = require "weir.serve.client"
local commands = require "weir.cli.commands"
local json = require "weir.native.json"
local latin1 = require "weir.text.latin1"
local root = require "weir.root"
local status = require "weir.cli.status"
local system = require "weir.port.system"

local M = {}

local SOCKET = "repl.sock"
local PASSED_ON = { "NO_COLOR", "TERM", "LC_ALL", "LC_CTYPE", "LANG", "COLUMNS" }
local HERE = { ["--seed"] = true, ["--dry-run"] = true } -- of `weir run`: nothing of it is the host's

-- What of a command line says where the store is, without knowing the command.
local function option_of(arguments, name)
  for index, argument in ipairs(arguments) do
    if argument == "--" then return nil end
    if argument == name then return arguments[index + 1] end
    if argument:sub(1, #name + 1) == name .. "=" then return argument:sub(#name + 2) end
  end
end

local function is_here(arguments)
  for index = 2, #arguments do
    local argument = arguments[index]
    if argument == "-h" or argument == "--help" then return true end
    if arguments[1] == "run" and HERE[argument:match "^[^=]+"] then return true end
  end
  return false
end

local function setting_of(folder)
  local file = io.open(folder .. "/weir.lua", "rb")
  if not file then return nil end
  local text = file:read "a"
  file:close()
  if not text:find("store", 1, true) then return nil end
  return require("weir.project").open(folder):store_path()
end

-- The project of a pipeline's file, as `weir run` has it.
local function folder_of(arguments)
  if arguments[1] == "run" then
    for index = 2, #arguments do
      local folder = arguments[index]:match "^([^-].*)/[^/]+%.%w+$"
      if folder and arguments[index - 1]:sub(1, 1) ~= "-" then return root.find(folder) end
    end
  end
  return root.find(system.working_folder())
end

--- The store that a command line is about.
---@param arguments string[]
---@return string
function M.store_path(arguments)
  local given = option_of(arguments, "--store") or os.getenv "WEIR_STORE"
  if given and given ~= "" then return given end
  local folder = folder_of(arguments)
  return setting_of(folder) or folder .. "/.weir"
end

--- Connects to the host that has a store. Waits.
---@param store string its folder
---@return weir.Connection|nil
---@return string|nil message
---@return string|nil code `not_found`: no host has it
function M.connect(store)
  local path = store .. "/" .. SOCKET
  if not system.exists(path) then return nil, ("no host serves the store '%s'"):format(store), "not_found" end
  return require("weir.port.socket").connect(path)
end

-- What the host cannot know of this process ------------------------------------------------------------

local function terminals()
  local console = require("weir.cli.console").new()
  local found = { stdin = system.is_terminal(0) }
  for _, name in ipairs { "out", "err" } do
    local stream = console[name]
    if stream.is_terminal then
      local columns, rows = stream:size()
      found[name] = { columns = columns, rows = rows }
    end
  end
  return found
end

local function environment()
  local env = {}
  for _, name in ipairs(PASSED_ON) do env[name] = os.getenv(name) end
  return next(env) and env or nil
end

local function send(connection, request)
  connection:write(json.encode(request) .. "\n")
end

local function watch_signals(connection)
  return require("weir.port.signals").watch({ "sigint", "sigterm", "sighup" }, function(name)
    if connection.was_interrupted then os.exit(status.interrupted) end
    connection.was_interrupted = true
    send(connection, { op = "interrupt", id = 1, signal = name })
  end)
end

local function give_input(connection, what)
  local stdin = require "weir.port.stdin"
  if what == "line" then return send(connection, { op = "input", id = 1, text = latin1.encode(stdin.line() or ""), latin1 = true }) end
  repeat
    local piece = stdin.piece()
    send(connection, { op = "input", id = 1, text = latin1.encode(piece or ""), latin1 = true, last = piece == nil })
  until not piece
end

-- The answers -----------------------------------------------------------------------------------------

local function bytes_of(text, is_latin1)
  return is_latin1 and latin1.decode(text) or text
end

local function lost()
  io.stdout:flush()
  io.stderr:write "weir: the host ended before it had answered; its runs go on with the next one\n"
  return status.no_host
end

-- What was handed over may have begun there: whatever goes wrong here, it is not carried out once more.
local function broken(err)
  io.stdout:flush()
  local what = "weir: what the host answered could not be taken: %s; what it was asked to do goes on there\n"
  io.stderr:write(what:format(require("weir.failure").of(err).message))
  return status.no_host
end

local function take_answers(connection)
  while true do
    local line = connection:read_line()
    if not line then return lost() end
    local answer = assert(json.decode(line))
    if answer.out then io.stdout:write(bytes_of(answer.out, answer.latin1)) end
    if answer.err then
      io.stdout:flush()
      io.stderr:write(bytes_of(answer.err, answer.latin1))
    end
    if answer.read then give_input(connection, answer.read) end
    if answer.status then
      if answer.error then io.stderr:write(("weir: %s\n"):format(answer.error.message)) end
      io.stdout:flush()
      return answer.status
    end
  end
end

--- Has the host that has the store carry out a command, if there is one. Waits.
---@param arguments string[] the command and its arguments
---@return integer|nil status nil: it is carried out here
function M.attempt(arguments)
  if client_of.current() or not commands.is_served(arguments[1]) or is_here(arguments) then return nil end
  local store = M.store_path(arguments)
  if store == ":memory:" then return nil end
  local connection = M.connect(store)
  if not connection then return nil end
  local signals = watch_signals(connection)
  send(connection, { op = "command", id = 1, arguments = arguments, cwd = system.working_folder(), env = environment(),
    terminal = terminals() })
  local ok, result = pcall(take_answers, connection)
  signals:close()
  connection:close()
  return ok and result or broken(result)
end

return M
