--- For specs of what ends with a run outside of its process, on the real clock: an endless answer, child processes.

local loopback = dofile "spec/loopback.lua"
local native = require "weir.native.scheduler"
local uv = require "luv"

local M = {}

--- A server on the loopback that begins an answer and never ends it. `open` counts its connections; `closed_s` is when the
--- latest was closed.
function M.new_server()
  local server = loopback.listen(function(client, server)
    native.atomic(function() server.open = server.open + 1 end) -- callbacks are tasks, and may lose the processor anywhere
    client:read_start(function(err, bytes)
      if (err or not bytes) and not client:is_closing() then
        native.atomic(function() server.open, server.closed_s = server.open - 1, native.now() end)
        client:close()
      elseif bytes and bytes:find "\r\n\r\n" then
        client:write "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
      end
    end)
  end)
  server.open = 0
  return server
end

--- How many processes there are that have a text among their arguments.
---@param text string
---@return integer
function M.processes(text)
  local count = 0
  for name in uv.fs_scandir_next, uv.fs_scandir "/proc" do
    local file = name:find "^%d+$" and io.open("/proc/" .. name .. "/cmdline")
    local line = file and file:read "a"
    if file then file:close() end
    if line and line:find(text, 1, true) then count = count + 1 end
  end
  return count
end

--- Waits until something holds, and fails after ten seconds.
---@param holds fun(): boolean
function M.wait_until(holds)
  local deadline = native.now() + 10
  while not holds() do
    assert(native.now() < deadline, "it never came")
    native.sleep(0.002)
  end
end

return M
