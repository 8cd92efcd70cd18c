--- Ctrl-C and its like: the first asks the command to stop, the second ends the process.

local client = require "weir.serve.client"
local status = require "weir.cli.status"
local uv = require "luv"

local M = {}

local SIGNALS = { "sigint", "sigterm", "sighup" }

---@class weir.cli.Interrupt
---@field came boolean whether a signal came
local Interrupt = {}
Interrupt.__index = Interrupt

local function came(self, name)
  if self.came then
    self.err:line "weir: stopped at once; what was finished is kept, `weir resume` goes on"
    return os.exit(status.interrupted)
  end
  self.came = true
  self.on_first(name)
end

-- A signal at a client ends what the client waits for; the host, and a second signal, are not its concern.
local function watch_client(of, on_first)
  local self = setmetatable({ came = false, handles = {} }, Interrupt)
  of.on_signal = function(name)
    if self.came then return end
    self.came = true
    on_first(name)
  end
  self.handles[1] = { close = function() of.on_signal = nil end }
  if of.signal then of.on_signal(of.signal) end
  return self
end

--- Watches for signals until it is closed. They do not keep the process alive. In a host, it is the client's signals,
--- and that the client goes.
---@param err weir.cli.Stream where the end of the process is told
---@param on_first fun(name: string) called at the first signal, in a task of its own
---@return weir.cli.Interrupt
function M.watch(err, on_first)
  local of = client.current()
  if of then return watch_client(of, on_first) end
  local self = setmetatable({ err = err, on_first = on_first, came = false, handles = {} }, Interrupt)
  for index, name in ipairs(SIGNALS) do
    local handle = uv.new_signal()
    handle:start(name, function() came(self, name) end)
    handle:unref()
    self.handles[index] = handle
  end
  return self
end

--- Stops watching. Safe twice.
function Interrupt:close()
  for _, handle in ipairs(self.handles) do handle:close() end
  self.handles = {}
end

return M
