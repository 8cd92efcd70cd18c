--- Text that comes in pieces, cut anywhere, given on in whole words or sentences. It can go back to where it stood after any
--- of its pieces, since whoever says the text may take some back. What is held is the unit that has not ended. Pure but
--- for `read`; nothing else yields.

local M = {}

-- A pattern that finds the end of the last whole unit; what follows it begins the next one.
local ENDS = { words = "^.*%s()", sentences = "^.*[.!?][\"')%]]*%s+()" }

---@class weir.text.Pieces
---@field count integer pieces that have come
---@field held string[] by piece: what had come of the unit that had not ended then
local Pieces = {}
Pieces.__index = Pieces

--- Nothing yet.
---@param unit "words"|"sentences"
---@return weir.text.Pieces
function M.new(unit)
  return setmetatable({ ends = ENDS[unit], count = 0, held = { [0] = "" } }, Pieces)
end

--- Adds a piece; gives what is whole now.
---@param piece string
---@return string whole empty: nothing has ended
function Pieces:add(piece)
  local text = self.held[self.count] .. piece
  local cut = text:match(self.ends) or 1
  self.count = self.count + 1
  self.held[self.count] = text:sub(cut)
  return text:sub(1, cut - 1)
end

--- Goes back to where it stood after so many pieces.
---@param count integer
function Pieces:back(count)
  for index = self.count, count + 1, -1 do self.held[index] = nil end
  self.count = count
end

--- No piece follows: what is left.
---@return string
function Pieces:rest()
  return self.held[self.count]
end

--- Reads the stream of a step in whole units, to its end; when what was read is taken back it goes on from what holds. Waits
--- for what comes, and as `visit` does.
---@param ctx weir.Context
---@param unit "words"|"sentences"
---@param visit fun(whole: string) never empty
---@return integer count pieces that came
function M.read(ctx, unit, visit)
  local text = M.new(unit)
  local function give(whole)
    if whole ~= "" then visit(whole) end
  end
  for piece in ctx:items { rewind = function(valid) text:back(valid) end } do give(text:add(piece)) end
  give(text:rest())
  return text.count
end

return M
