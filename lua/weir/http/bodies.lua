--- Answers that never change any more, such as the whole of a run that has ended: kept as text, so that a page that many
--- look at is written once. Two halves: what was not asked for while the newer one filled is forgotten. Pure.

local M = {}

local HALF_BYTES, ONE_BYTES = 4 << 20, 256 << 10

---@class weir.Bodies
local Bodies = {}
Bodies.__index = Bodies

---@return weir.Bodies
function M.new()
  return setmetatable({ new = {}, old = {}, bytes = 0 }, Bodies)
end

--- Keeps a text; one that is too large is not kept.
---@param key string
---@param text string
function Bodies:put(key, text)
  if #text > ONE_BYTES then return end
  if self.bytes + #text > HALF_BYTES then self.old, self.new, self.bytes = self.new, {}, 0 end
  self.new[key], self.bytes = text, self.bytes + #text
end

---@param key string
---@return string|nil
function Bodies:get(key)
  local text = self.new[key]
  if text then return text end
  text = self.old[key]
  if text then self:put(key, text) end
  return text
end

return M
