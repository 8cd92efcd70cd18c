--- What `weir repl`, `attach` and `eval` share: a host to talk to, and a request with its answers.

local failure = require "weir.failure"
local json = require "weir.native.json"
local latin1 = require "weir.text.latin1"
local operations = require "weir.doors.operations"
local remote = require "weir.cli.remote"
local status = require "weir.cli.status"
local system = require "weir.port.system"

local M = {}

---@class weir.cli.Talk
---@field connection weir.Connection
---@field store string the host's store
---@field host weir.Host|nil a private one
local Talk = {}
Talk.__index = Talk

local function refuse(message)
  local err = failure.new("unavailable", "%s; start one with `weir dev`, or use a private one with --new", message)
  err.status = status.no_host
  error(err, 0)
end

local function over(connection)
  return setmetatable({ connection = connection, next_id = 0 }, Talk)
end

-- A host of this process, with a store in memory unless one is named.
local function private(arguments, context)
  local folder = system.temporary_folder "weir-repl"
  local host = require("weir.serve").start { folder = system.working_folder(), store = arguments.store or ":memory:", http = false,
    open_line = operations.open, write = true, watch = true, log = "error", env = context.console.env, socket = folder .. "/repl.sock",
    logger = require("weir.log").new { human = true, write = function(line) context.err:write(line) end } }
  local self = over(assert(require("weir.port.socket").connect(folder .. "/repl.sock")))
  self.host, self.folder = host, folder
  return self
end

--- Finds the host that has the project's store, or makes a private one. Raises: status 7 when there is none. Waits.
---@param arguments { store: string|nil, new: boolean|nil }
---@param context weir.cli.Context
---@return weir.cli.Talk
function M.open(arguments, context)
  if arguments.new then return private(arguments, context) end
  local store = remote.store_path { "repl", arguments.store and "--store=" .. arguments.store or nil }
  local connection, message, code = remote.connect(store)
  if connection then return over(connection) end
  refuse(code == "not_found" and ("no host serves the store '%s'"):format(store) or message)
end

--- Connects to a host by its project, its store or its socket. Raises as `open`. Waits.
---@param where string
---@return weir.cli.Talk
function M.attach(where)
  local socket = require "weir.port.socket"
  for _, path in ipairs { where, where .. "/repl.sock", where .. "/.weir/repl.sock" } do
    local connection = path:find "%.sock$" and system.exists(path) and socket.connect(path)
    if connection then return over(connection) end
  end
  refuse(("no host answers at '%s'"):format(where))
end

--- Sends a request. Waits while the host does not read.
---@param request table
---@return integer id
function Talk:send(request)
  self.next_id = self.next_id + 1
  request.id = self.next_id
  self.connection:write(json.encode(request) .. "\n")
  return request.id
end

--- Sends a request and waits for its last answer; what it prints on the way goes to a function. Raises: status 7 when the
--- host is gone.
---@param request table
---@param on_output (fun(text: string))|nil
---@return table answer
function Talk:ask(request, on_output)
  local id = self:send(request)
  self.asking = id
  while true do
    local line = self.connection:read_line()
    if not line then
      local err = failure.new("closed", "the host has ended")
      err.status = status.no_host
      error(err, 0)
    end
    local answer = assert(json.decode(line))
    if answer.id == id and answer.out and on_output then on_output(answer.latin1 and latin1.decode(answer.out) or answer.out) end
    if answer.status and (answer.id == id or answer.id == nil) then
      self.asking = nil
      return answer
    end
  end
end

--- Interrupts the request that is being answered, if there is one. Does not wait.
---@return boolean was_asking
function Talk:interrupt()
  if not self.asking then return false end
  self.connection:write(json.encode { op = "interrupt", id = self.asking } .. "\n")
  return true
end

--- Ends it; a private host is stopped. Waits.
function Talk:close()
  self.connection:close()
  if not self.host then return end
  self.host:stop "the REPL has ended"
  system.remove_folder(self.folder)
end

return M
