--- What changes something in a host: who may, and the record of it.

local audit = require "weir.audit"
local failure = require "weir.failure"
local system = require "weir.port.system"

local M = {}

--- Raises `denied` where those who attach may only look.
---@param host weir.Host
---@param what string
function M.check(host, what)
  if host.can_write then return end
  failure.raise("denied", "%s changes something, and this host lets those who attach look only; start it with --write", what)
end

--- Keeps a record of a change. Waits for the disk.
---@param host weir.Host
---@param action string
---@param what string
---@param from string|nil
---@param to string|nil
function M.audit(host, action, what, from, to)
  local record = { by = system.user_name(), via = "repl", action = action, what = what, from = from, to = to }
  host.log:info("changed", record)
  audit.write(host.store, record)
end

return M
