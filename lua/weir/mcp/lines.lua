--- Lines of a stream whose other end is not trusted: one that passes its limit is not kept, only its two ends are, which
--- may tell whose answer it was. Pure; never yields.

local M = {}

local END_BYTES = 512

---@class weir.mcp.Lines
local Lines = {}
Lines.__index = Lines

--- Reads lines. Empty ones are passed over; a CR before the LF is taken off.
---@param limit integer bytes of one line
---@param on_line fun(line: string)
---@param on_long fun(head: string, tail: string) the first and last 512 bytes of one that was too long
---@return weir.mcp.Lines
function M.new(limit, on_line, on_long)
  return setmetatable({ limit = limit, on_line = on_line, on_long = on_long, pieces = {}, size = 0 }, Lines)
end

local function let_go(self)
  local text = table.concat(self.pieces)
  self.head, self.tail = text:sub(1, END_BYTES), text:sub(-END_BYTES)
  self.pieces, self.size = {}, 0
end

local function keep(self, piece)
  if self.head then
    self.tail = (self.tail .. piece:sub(-END_BYTES)):sub(-END_BYTES)
    return
  end
  self.pieces[#self.pieces + 1] = piece
  self.size = self.size + #piece
  if self.size > self.limit then let_go(self) end
end

local function finish(self)
  if self.head then
    local head, tail = self.head, self.tail
    self.head, self.tail = nil, nil
    return self.on_long(head, tail)
  end
  local line = table.concat(self.pieces):gsub("\r$", "")
  self.pieces, self.size = {}, 0
  if line ~= "" then self.on_line(line) end
end

--- Takes the next bytes.
---@param bytes string
function Lines:feed(bytes)
  local from = 1
  while true do
    local at = bytes:find("\n", from, true)
    keep(self, bytes:sub(from, (at or 0) - 1))
    if not at then return end
    finish(self)
    from = at + 1
  end
end

--- Takes what has come of a line that will not be ended any more for one.
function Lines:close()
  if self.head or self.size > 0 then finish(self) end
end

-- The places where an `id` at the top of a message can be told without reading what lies between.
local AT_HEAD = { '^%s*{%s*"jsonrpc"%s*:%s*"2%.0"%s*,%s*"id"%s*:%s*(%d+)%s*,', '^%s*{%s*"id"%s*:%s*(%d+)%s*,' }
local AT_TAIL = { '[}%]"%w]%s*,%s*"id"%s*:%s*(%d+)%s*}%s*$', '[}%]"%w]%s*,%s*"id"%s*:%s*(%d+)%s*,%s*"jsonrpc"%s*:%s*"2%.0"%s*}%s*$' }

--- Which request a message answers that was too long, or could not be read, by its first and last bytes.
---@param head string
---@param tail string
---@return integer|nil id
function M.id_of(head, tail)
  for _, pattern in ipairs(AT_HEAD) do
    local id = head:match(pattern)
    if id then return math.tointeger(tonumber(id)) end
  end
  for _, pattern in ipairs(AT_TAIL) do
    local id = tail:match(pattern)
    if id then return math.tointeger(tonumber(id)) end
  end
end

return M
