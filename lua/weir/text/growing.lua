--- A text that grows by many small pieces. Pieces are joined as they become many, so that it takes about as much memory as
--- it is long. Pure; never yields.

local M = {}

local MANY = 512 -- pieces that stand side by side

---@class weir.text.Growing
---@field size integer bytes
local Growing = {}
Growing.__index = Growing

--- An empty text.
---@return weir.text.Growing
function M.new()
  return setmetatable({ size = 0, blocks = {}, pieces = {}, count = 0 }, Growing)
end

local function join_pieces(self)
  self.blocks[#self.blocks + 1] = table.concat(self.pieces, "", 1, self.count)
  self.count = 0
end

--- Adds a piece at the end.
---@param piece string
function Growing:add(piece)
  local count = self.count + 1
  self.pieces[count], self.count = piece, count
  self.size = self.size + #piece
  if count == MANY then join_pieces(self) end
end

--- All of it.
---@return string
function Growing:whole()
  if self.count > 0 then join_pieces(self) end
  if #self.blocks > 1 then self.blocks = { table.concat(self.blocks) } end
  return self.blocks[1] or ""
end

--- Takes back what came after so many bytes.
---@param size integer
function Growing:cut(size)
  local text = self:whole():sub(1, size)
  self.blocks, self.size = { text }, #text
end

return M
