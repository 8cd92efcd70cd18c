--- For specs: a command of the host on a terminal of its own, which `script` makes.

local process = require "weir.port.process"
local support = dofile "spec/lua/weir/cli/support.lua"
local uv = require "luv"

local M = {}

---@class weir.spec.Terminal
---@field seen string what was printed since the last `await`
local Terminal = {}
Terminal.__index = Terminal

--- Whether there is a `script` here. Waits.
---@return boolean
function M.is_there()
  return process.run({ "script", "--version" }, {}) ~= nil
end

--- What was printed since the last call, up to a pattern, without the escapes that move the cursor. Waits.
---@param pattern string
---@return string
function Terminal:await(pattern)
  while not self.seen:find(pattern) do
    local piece = self.child.stdout:recv(30)
    if not piece then error(("no '%s' in:\n%s"):format(pattern, self.seen), 2) end
    self.seen = self.seen .. piece:gsub("\27%[[%d;?]*%a", "")
  end
  local _, last = self.seen:find(pattern)
  local text = self.seen:sub(1, last)
  self.seen = self.seen:sub(last + 1)
  return text
end

--- Types.
---@param keys string
function Terminal:press(keys)
  assert(self.child.stdin:write(keys))
end

--- Ends the command. Waits.
function Terminal:close()
  self.child:close()
end

--- Starts a command of the host on a terminal of 100 columns.
---@param arguments string[]
---@param folder string
---@return weir.spec.Terminal
function M.start(arguments, folder)
  local command = "stty -echoctl cols 100; exec " .. uv.exepath() .. " " .. table.concat(arguments, " ")
  local child = assert(process.start({ "script", "-qec", command, "/dev/null" },
    { cwd = folder, env = support.environment { TERM = "xterm", LC_ALL = "C.UTF-8" }, pipe = true }))
  return setmetatable({ child = child, seen = "" }, Terminal)
end

return M
