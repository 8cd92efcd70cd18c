--- What another attempt says, compared with what was given out: text by bytes, however it is cut into pieces, anything else
--- item by item. What is the same is left out; where the two part it is known how much holds. Pure; never yields.

local value_of = require "weir.value"

local M = {}

---@class weir.Repetition
---@field at integer      byte or item that comes next, from 1
---@field text string|nil what was given out, if all of it is text
---@field items any[]     the stream's own list
---@field from integer    item with which what is compared begins
---@field count integer   the last one
local Repetition = {}
Repetition.__index = Repetition

---@class weir.Parting
---@field valid integer  items of the stream that hold
---@field common integer bytes or items of what is compared that are the same
---@field item any       what comes behind the items that hold; nil: nothing yet

--- What is to be compared: the items from one to another.
---@param items any[]
---@param from integer
---@param count integer
---@param said integer bytes, or items if not all of them are text, that have been said already
---@return weir.Repetition|false  false: there is nothing beyond what was said
function M.new(items, from, count, said)
  local text
  for index = from, count do
    if type(items[index]) ~= "string" then break end
    if index == count then text = table.concat(items, "", from, count) end
  end
  local left = text and #text - said or count - from + 1 - said
  if left <= 0 then return false end
  return setmetatable({ at = text and said + 1 or from + said, text = text, items = items, from = from, count = count }, Repetition)
end

-- How many bytes of `piece` stand at `at` of the text.
local function common(text, at, piece)
  local low, high = 0, math.min(#piece, #text - at + 1)
  while low < high do
    local middle = (low + high + 1) // 2
    if text:sub(at, at + middle - 1) == piece:sub(1, middle) then low = middle else high = middle - 1 end
  end
  return low
end

--- How much of it has been said again: bytes, or items.
---@return integer
function Repetition:said()
  return self.text and self.at - 1 or self.at - self.from
end

-- The items that hold where so many bytes do, and what is left over of the bytes.
local function whole_items(self, bytes)
  local sum, valid = 0, self.from - 1
  while valid < self.count and sum + #self.items[valid + 1] <= bytes do
    valid = valid + 1
    sum = sum + #self.items[valid]
  end
  return valid, self.text:sub(sum + 1, bytes)
end

local function parted(self, bytes, rest)
  local valid, left = whole_items(self, bytes)
  local item = left .. rest
  return { valid = valid, common = bytes, item = item ~= "" and item or nil }
end

local function take_text(self, item)
  local text, at = self.text, self.at
  if type(item) ~= "string" then
    local cut = parted(self, at - 1, "")
    return nil, { valid = cut.valid, common = at - 1, before = cut.item, item = item }
  end
  local same = common(text, at, item)
  self.at = at + same
  if same == #item then return nil end
  if self.at > #text then return item:sub(same + 1) end
  return nil, parted(self, self.at - 1, item:sub(same + 1))
end

--- Takes what is said. Gives what is new of it, or where the two part.
---@param item any
---@return any rest nil: all of it is known
---@return weir.Parting|nil
function Repetition:take(item)
  if self.text then return take_text(self, item) end
  if value_of.equal(self.items[self.at], item) then
    self.at = self.at + 1
    return nil
  end
  return nil, { valid = self.at - 1, common = self.at - self.from, item = item }
end

--- Whether all of it has been said.
---@return boolean
function Repetition:is_over()
  return self.at > (self.text and #self.text or self.count)
end

--- What holds if no more is said.
---@return weir.Parting
function Repetition:cut()
  if self.text then return parted(self, self.at - 1, "") end
  return { valid = self.at - 1, common = self.at - self.from }
end

return M
