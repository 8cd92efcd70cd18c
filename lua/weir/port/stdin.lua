--- The process's standard input, read while everything else goes on.

local native = require "weir.native.scheduler"
local uv = require "luv"

local M = {}

local PIECE_BYTES = 65536
local POLLED = { pipe = true, tty = true, tcp = true } -- a file is always ready, and cannot be polled

local rest, has_ended = "", false

-- Waits until there is something to read, or the end.
local function await_input()
  if not POLLED[uv.guess_handle(0)] then return end
  local waiter, poll = native.waiter(), uv.new_poll(0)
  local leaving <close> = setmetatable({}, { __close = function() poll:close() end }) -- luacheck: ignore 211
  poll:start("r", function()
    if not poll:is_closing() then poll:stop() end
    waiter:wake()
  end)
  waiter:wait "standard input"
end

-- The next bytes, nil at the end.
local function read_piece()
  while not has_ended do
    await_input()
    local bytes, _, name = uv.fs_read(0, PIECE_BYTES, -1)
    if bytes and bytes ~= "" then return bytes end
    has_ended = name ~= "EAGAIN"
  end
end

--- The next line with its end, or what is left; nil at the end. Waits.
---@return string|nil
function M.line()
  local parts = { rest }
  while not parts[#parts]:find("\n", 1, true) do
    local piece = read_piece()
    if not piece then break end
    parts[#parts + 1] = piece
  end
  local text = table.concat(parts)
  local last = text:find("\n", 1, true) or #text
  rest = text:sub(last + 1)
  return last > 0 and text:sub(1, last) or nil
end

--- The next bytes, as they come; nil at the end. Waits.
---@return string|nil
function M.piece()
  if rest ~= "" then
    local piece = rest
    rest = ""
    return piece
  end
  return read_piece()
end

return M
