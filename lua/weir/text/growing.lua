--- A text that grows by many small pieces. What it holds besides its bytes is bounded, however many the pieces are, and each
--- byte is copied a few times only. Pure; never yields.

local M = {}

local TOGETHER = 512 -- pieces, or blocks of them, that become one

---@class weir.text.Growing
---@field size integer bytes
local Growing = {}
Growing.__index = Growing

--- A text without anything in it.
---@return weir.text.Growing
function M.new()
  return setmetatable({ size = 0, count = 0, pieces = {}, blocks = {} }, Growing)
end

local function close_block(self)
  local blocks = self.blocks
  blocks[#blocks + 1] = table.concat(self.pieces, "", 1, self.count)
  self.count, self.pieces = 0, {}
  if #blocks >= TOGETHER then self.blocks = { table.concat(blocks) } end
end

--- Adds a piece.
---@param piece string
function Growing:add(piece)
  local count = self.count + 1
  self.pieces[count], self.count, self.size = piece, count, self.size + #piece
  if count >= TOGETHER then close_block(self) end
end

--- The text so far.
---@return string
function Growing:whole()
  if self.count > 0 then close_block(self) end
  if #self.blocks > 1 then self.blocks = { table.concat(self.blocks) } end
  return self.blocks[1] or ""
end

--- Keeps the beginning only.
---@param size integer bytes
function Growing:cut(size)
  local text = self:whole():sub(1, size)
  self.blocks, self.size = { text }, #text
end

return M
