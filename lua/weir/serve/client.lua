--- Who gave the command that runs: the process itself, or a client of the host in which it runs. What differs between
--- the two is asked here: the working folder, the environment, standard input, the signals, the host.

local native = require "weir.native.scheduler"
local system = require "weir.port.system"

local M = {}

local LOCAL = "weir.client"

---@class weir.Client
---@field host weir.Host
---@field cwd string
---@field env table<string, string>
---@field stdin { is_terminal: boolean, read: fun(self, what: string|integer): string|nil }
---@field signal string|nil the signal that has come, for what begins to watch only then
---@field on_signal nil|fun(name: string) what a signal at the client does

--- The client whose command runs; nil in a process of its own. Does not wait.
---@return weir.Client|nil
function M.current()
  return native.get_local(LOCAL)
end

--- Makes the running task, and those that it spawns, work for a client. Does not wait.
---@param client weir.Client|nil
function M.enter(client)
  native.set_local(LOCAL, client or false)
end

--- The host in which the command runs; nil in a process of its own. Does not wait.
---@return weir.Host|nil
function M.host()
  local client = M.current()
  return client and client.host or nil
end

--- The folder in which the command was given. Does not wait.
---@return string
function M.working_folder()
  local client = M.current()
  return client and client.cwd or system.working_folder()
end

--- A path as whoever gave the command means it. Does not wait.
---@param path string
---@return string
function M.path(path)
  local client = M.current()
  if not client or path:sub(1, 1) == "/" then return path end
  return client.cwd .. "/" .. path
end

local Own = { is_terminal = false }
Own.__index = Own

function Own.read(_, what) return io.stdin:read(what) end

--- Standard input of whoever gave the command: `read` takes what a file's does. Reading waits.
---@return { is_terminal: boolean, read: fun(self, what: string|integer): string|nil }
function M.stdin()
  local client = M.current()
  if client then return client.stdin end
  return setmetatable({ is_terminal = system.is_terminal(0) }, Own)
end

return M
