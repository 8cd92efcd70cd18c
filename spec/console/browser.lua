--- What specs that drive a browser share: whether there is one, and running a program of this folder in it.

local process = require "weir.port.process"
local uv = require "luv"

local M = {}

local PLAYWRIGHT = os.getenv "WEIR_PLAYWRIGHT" or (os.getenv "HOME" or "") .. "/.cache/weir/peers/node_modules/playwright-core"
local CHROMIUM = os.getenv "WEIR_CHROMIUM" or "/usr/bin/chromium"

--- Why no browser can be driven here; nil when one can.
---@return string|nil
function M.missing()
  if not uv.fs_stat(CHROMIUM) then return "no browser at " .. CHROMIUM .. "; WEIR_CHROMIUM names another one" end
  if not uv.fs_stat(PLAYWRIGHT) then return "no playwright-core at " .. PLAYWRIGHT .. "; WEIR_PLAYWRIGHT names another place" end
  local found = process.run({ "node", "--version" }, {})
  if not found or found.status ~= 0 then return "no node" end
end

--- Runs a program of this folder to its end. Waits.
---@param program string such as "driver.mjs"
---@param arguments string[]
---@param timeout number seconds
---@return table done {status, stdout, stderr}
function M.run(program, arguments, timeout)
  local env = uv.os_environ()
  env.WEIR_PLAYWRIGHT, env.WEIR_CHROMIUM, env.WEIR_STORE = PLAYWRIGHT, CHROMIUM, nil
  local line = { "node", "spec/console/" .. program, table.unpack(arguments) }
  return assert(process.run(line, { env = env, timeout = timeout }))
end

return M
