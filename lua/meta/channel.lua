---@meta weir.native.channel
-- luacheck: ignore 212 241

--- Bounded first-in first-out queues between tasks, many senders and receivers. Modules use weir.channel.
local M = {}

---@class weir.native.Channel
local Channel = {}

--- Makes a channel. Does not wait.
---@param capacity integer 1..65536 values
---@param on_full "wait"|"drop_oldest"|"drop_newest"|"latest"|nil what a full channel does; default `wait`
---@return weir.native.Channel
function M.new(capacity, on_full) end

--- Does the first of several cases that can be done: a channel is received from, {channel, value} is sent.
--- Waits; at most 64 cases.
---@param cases (weir.native.Channel|{ [1]: weir.native.Channel, [2]: any })[]
---@param timeout number|nil seconds
---@return integer|nil index of the case; nil, message, `timeout` when none could be done in time
---@return any value received, or true when sent; nil, message, code when that channel is closed
---@return string|nil message
---@return string|nil code
function M.select(cases, timeout) end

--- Sends. Waits while the channel is full, unless it drops.
---@param value any not nil
---@param timeout number|nil seconds
---@return true|nil
---@return string|nil message
---@return string|nil code `closed` (or what it was closed with), `timeout`
function Channel:send(value, timeout) end

--- Sends if that can be done at once. Does not wait.
---@param value any not nil
---@return true|nil
---@return string|nil message
---@return string|nil code `full`, `closed`
function Channel:try_send(value) end

--- Receives. Waits while the channel is empty.
---@param timeout number|nil seconds
---@return any value
---@return string|nil message
---@return string|nil code `closed` once it is closed and empty (or what it was closed with), `timeout`
function Channel:recv(timeout) end

--- Receives if that can be done at once. Does not wait.
---@return any value
---@return string|nil message
---@return string|nil code `empty`, `closed`
function Channel:try_recv() end

--- Iterates to the end of the channel; raises what it was closed with. Waits.
---@return fun(): any
---@return weir.native.Channel
function Channel:items() end

--- Closes: refuses new values, still hands out those it holds. Safe twice. Does not wait.
---@param reason string|nil what the other side is told
---@param code string|nil instead of `closed`
function Channel:close(reason, code) end

--- Does not wait.
---@return { capacity: integer, count: integer, accepted: integer, dropped: integer, closed: boolean }
function Channel:stats() end

return M
