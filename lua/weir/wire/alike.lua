--- Decodes JSON texts that differ in one string only, as the events of a stream do: what is the same is decoded once.
---
--- A text that begins and ends as a known one does, with what may stand within a JSON string between, means the same but for
--- that string; so no more than the string is read. Where the string stands is tried out when a text is learnt. The value
--- that is given is the same table again: it is not to be kept. Pure; never yields.

local json = require "weir.native.json"

local find, sub = string.find, string.sub

local M = {}

local TRIES = 8 -- texts in a row that are learnt though the next was unlike them
local PROBE = "weir: a string that nobody sends"
local NOT_PLAIN = "[%c\"\\\128-\255]" -- what makes a string more than its bytes

---@class weir.wire.Alike
local Alike = {}
Alike.__index = Alike

--- A decoder.
---@param mark string a Lua pattern for what stands before the string, its quote included
---@param place fun(value: any): table|nil, any the table in which the string stands, and its key; nil: it is not there
---@return weir.wire.Alike
function M.new(mark, place)
  return setmetatable({ mark = mark, place = place, tries = TRIES, head = nil, tail = nil, value = nil, holder = nil, key = nil }, Alike)
end

-- The end of the string that begins at `from`: where its closing quote is.
local function quote_after(text, from)
  local at = from
  while true do
    at = find(text, "[\"\\]", at)
    if not at or sub(text, at, at) == '"' then return at end
    at = at + 2
  end
end

local function learn(self, text)
  if self.tries == 0 then return end
  self.tries = self.tries - 1
  local _, last = find(text, self.mark)
  local quote = last and quote_after(text, last + 1)
  if not quote then return end
  local head, tail = sub(text, 1, last), sub(text, quote)
  local value = json.decode(head .. PROBE .. tail)
  local holder, key = self.place(value)
  if not holder or holder[key] ~= PROBE then return end
  self.head, self.tail, self.value, self.holder, self.key = head, tail, value, holder, key
end

-- The string of a text that is like the known one.
local function string_of(self, text)
  local head, tail = self.head, self.tail
  if #text < #head + #tail or find(text, head, 1, true) ~= 1 or sub(text, -#tail) ~= tail then return nil end
  local inner = sub(text, #head + 1, -#tail - 1)
  if not find(inner, NOT_PLAIN) then return inner end
  local value = json.decode('"' .. inner .. '"')
  return type(value) == "string" and value or nil
end

--- Decodes a text, as `json.decode` does.
---@param text string
---@return any value
---@return string|nil message
---@return string|nil code
function Alike:decode(text)
  local inner = self.head and string_of(self, text)
  if inner then
    self.holder[self.key], self.tries = inner, TRIES
    return self.value
  end
  local value, message, code = json.decode(text)
  if not message then learn(self, text) end
  return value, message, code
end

return M
