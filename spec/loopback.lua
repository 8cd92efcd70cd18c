--- For specs: a server on the loopback that speaks as the spec says, and leaves no socket behind when it is closed.

local uv = require "luv"

local M = {}

---@class weir.spec.Server
---@field url string
---@field clients table[] sockets of those who connected and have not been closed by the spec
---@field accepted integer
local Server = {}
Server.__index = Server

--- Listens on a port of its own.
---@param on_client fun(client: userdata, server: weir.spec.Server) called for each connection
---@return weir.spec.Server
function M.listen(on_client)
  local self = setmetatable({ clients = {}, accepted = 0, listener = uv.new_tcp() }, Server)
  assert(self.listener:bind("127.0.0.1", 0))
  self.listener:listen(128, function()
    local client = uv.new_tcp()
    self.listener:accept(client)
    if self.is_closed then return client:close() end -- this is a task: the spec may be over before its turn
    self.accepted = self.accepted + 1
    self.clients[#self.clients + 1] = client
    on_client(client, self)
  end)
  self.url = ("http://127.0.0.1:%d"):format(self.listener:getsockname().port)
  return self
end

--- Closes it and every connection.
function Server:close()
  self.is_closed = true
  self.listener:close()
  for _, client in ipairs(self.clients) do
    if not client:is_closing() then client:close() end
  end
end

return M
