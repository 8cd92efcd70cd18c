--- Lines of a stream of bytes, whatever pieces the bytes come in.
---
--- A line ends with LF or CR LF; for those who ask for it with a CR alone too, as server-sent events have it. What is
--- kept is the beginning of one line, as the pieces it came in: each byte is looked at once and copied once more.
--- Pure; never yields.

local M = {}

---@class weir.wire.Lines
---@field size integer bytes of the line that has begun
local Lines = {}
Lines.__index = Lines

--- A reader of lines.
---@param options { cr: boolean? }|nil cr: a CR alone ends a line as well
---@return weir.wire.Lines
function M.new(options)
  return setmetatable({ cr = options and options.cr or false, pieces = {}, size = 0 }, Lines)
end

local function keep(self, piece)
  if piece == "" then return end
  self.pieces[#self.pieces + 1] = piece
  self.size = self.size + #piece
end

local function whole(self, piece)
  if self.size == 0 then return piece end
  keep(self, piece)
  local line = table.concat(self.pieces)
  self.pieces, self.size = {}, 0
  return line
end

-- Where CR ends lines, one at the very end of the bytes may be half of a CR LF: its LF is then passed over.
local function push_any(self, bytes, visit)
  local from = self.skips_lf and bytes:sub(1, 1) == "\n" and 2 or 1
  self.skips_lf = false
  while true do
    local at = bytes:find("[\r\n]", from)
    if not at then return keep(self, bytes:sub(from)) end
    local line, next_from = whole(self, bytes:sub(from, at - 1)), at + 1
    if bytes:byte(at) == 13 then
      if at == #bytes then self.skips_lf = true
      elseif bytes:byte(next_from) == 10 then next_from = next_from + 1 end
    end
    from = next_from
    local stop = visit(line)
    if stop then return stop end
  end
end

local function push_lf(self, bytes, visit)
  local from = 1
  while true do
    local at = bytes:find("\n", from, true)
    if not at then return keep(self, bytes:sub(from)) end
    local line = whole(self, bytes:sub(from, at - 1))
    if line:byte(-1) == 13 then line = line:sub(1, -2) end
    from = at + 1
    local stop = visit(line)
    if stop then return stop end
  end
end

--- Takes the next bytes and calls `visit` for each line that they end. Does not yield by itself.
---@param bytes string
---@param visit fun(line: string): any a value other than nil and false ends the reading for good
---@return any stop what `visit` gave
function Lines:push(bytes, visit)
  if bytes == "" then return nil end
  if not self.cr then return push_lf(self, bytes, visit) end
  if not self.skips_lf and not bytes:find("\r", 1, true) then return push_lf(self, bytes, visit) end
  return push_any(self, bytes, visit)
end

--- What has come of a line that has not ended; "" when there is nothing. It is taken out.
---@return string
function Lines:rest()
  return whole(self, "")
end

return M
