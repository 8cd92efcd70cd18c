--- For specs: aimock, which stands in for providers of models, as a server beside the spec.

local process = require "weir.port.process"
local uv = require "luv"

local M = {}

local CACHE = os.getenv "XDG_CACHE_HOME" or (os.getenv "HOME" or "") .. "/.cache"
local PEERS = os.getenv "WEIR_PEERS" or CACHE .. "/weir/peers"
local PROGRAM = PEERS .. "/node_modules/@copilotkit/aimock/dist/cli.js"
local FIXTURES = "spec/peers/aimock/fixtures.json"
local PATIENCE = 60 -- seconds until it must listen

--- Why it cannot run here; nil when it can.
---@return string|nil
function M.missing()
  if not uv.fs_stat(PROGRAM) then return "no aimock at " .. PROGRAM .. "; .ci/peers installs it, WEIR_PEERS names another place" end
  local found = process.run({ "node", "--version" }, {})
  if not found or found.status ~= 0 then return "no node" end
end

-- Where it says that it listens. What it says after that is read on, so that it never waits.
local function listening(child, spawn)
  local said = ""
  while true do
    local piece = child.stdout:recv(PATIENCE)
    if not piece then return nil, "aimock does not listen: " .. said end
    said = said .. piece
    local url = said:match "http://127%.0%.0%.1:%d+"
    if url then
      spawn(function() while child.stdout:recv() do end end)
      return url
    end
  end
end

--- Starts it on a port of its own; it ends with the scope that is open. Waits until it listens.
---@param spawn fun(body: function) starts a task of the scope
---@return string url
function M.start(spawn)
  local child = assert(process.start({ "node", PROGRAM, "-p", "0", "-f", FIXTURES, "--log-level", "info" }, {}))
  spawn(function() while child.stderr:recv() do end end)
  return assert(listening(child, spawn))
end

return M
