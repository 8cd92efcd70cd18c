--- What the specs of the MCP client share: a scripted server, a log that is kept, what is left behind.

local client = require "weir.mcp.client"
local http_client = require "weir.native.http_client" -- has descriptors of its own once it is loaded
local log = require "weir.log"
local native = require "weir.native.scheduler"
local process = require "weir.port.process"
local task = require "weir.task"
local uv = require "luv"

local M = {}

local SERVER = "spec/lua/weir/mcp/server.py"
local PYTHON = require("luv").fs_stat "/usr/bin/python3" and "/usr/bin/python3" or "python3" -- past what starts others slowly

--- Why the scripted server cannot be run here; nil when it can.
function M.missing()
  local found = process.run({ PYTHON, "-c", "" }, {})
  if not found or found.status ~= 0 then return "no python3" end
end

--- A log whose records are kept as text.
function M.log()
  local lines = {}
  local made = log.new { level = "debug", write = function(line) lines[#lines + 1] = line end }
  return made, function() return table.concat(lines) end
end

--- The settings of a scripted server.
function M.settings(mode, more)
  local settings = { command = { PYTHON, SERVER, mode } }
  for name, value in pairs(more or {}) do settings[name] = value end
  return settings
end

--- Opens a client of a scripted server, to be closed.
function M.open(mode, callbacks, more)
  callbacks = callbacks or {}
  callbacks.name = callbacks.name or "spec"
  return client.open(M.settings(mode, more), callbacks)
end

--- Looks again until it holds, for what another process does in its own time.
function M.eventually(holds)
  for _ = 1, 2000 do
    local value = holds()
    if value then return value end
    task.sleep(0.005)
  end
  return false
end

--- Whether a process is there that has not died.
function M.is_running(pid)
  local file = io.open(("/proc/%d/stat"):format(pid), "rb")
  local line = file and file:read "a" or ""
  if file then file:close() end
  local state = line:match "^.*%) (%a)"
  return state ~= nil and state ~= "Z" and state ~= "X"
end

--- Processes whose parent this one is.
function M.children()
  local count, own = 0, uv.os_getpid()
  for name in uv.fs_scandir_next, uv.fs_scandir "/proc" do
    local file = name:find "^%d+$" and io.open("/proc/" .. name .. "/stat", "rb")
    local line = file and file:read "a" or ""
    if file then file:close() end
    local state, parent = line:match "^.*%) (%a) (%d+)"
    if tonumber(parent) == own and state ~= "Z" then count = count + 1 end
  end
  return count
end

local function descriptors()
  local count = 0
  for _ in uv.fs_scandir_next, uv.fs_scandir "/proc/self/fd" do count = count + 1 end
  return count
end

--- What is open in this process: child processes, descriptors, tasks, transfers.
function M.open_now()
  collectgarbage()
  return { children = M.children(), descriptors = descriptors(), tasks = #native.tasks(),
    transfers = http_client.open() }
end

--- A task that is cancelled once `ready` holds; gives how it ended.
function M.cancel_when(ready, body)
  local running = task.start({ name = "cancelled" }, body)
  M.eventually(ready)
  running:cancel "enough"
  return running:join()
end

return M
