--- Reads one JSON text as it grows and gives each value as soon as it is complete: a consumer begins with the first item
--- of a list before the second has come.
---
--- As strict as weir's JSON, and with the same values: every text, number and name is read by the strict codec once its
--- last byte is there; around them stands a machine that knows where a value may begin. A field and a list item are
--- complete when their value is, those inside before those around them; the whole is the last one, with an empty path.
--- Each byte is looked at once. Pure; never yields.

local json = require "weir.native.json"

local M = {}

local MAX_BYTES = 16 << 20
local MAX_DEPTH = 64

---@class weir.wire.Found
---@field path (string|integer)[] names and places (from 1) from the outside in; {} is the whole
---@field value any

---@class weir.wire.PartialReader
---@field value any the value as far as it has come; texts and numbers appear in it when they are complete
local Reader = {}
Reader.__index = Reader

--- A reader of one text.
---@param options { max_bytes: integer?, max_depth: integer? }|nil 16 MiB; 64 containers inside one another, 1..64
---@return weir.wire.PartialReader
function M.reader(options)
  options = options or {}
  return setmetatable({ max_bytes = options.max_bytes or MAX_BYTES, max_depth = options.max_depth or MAX_DEPTH, size = 0,
    stack = {}, path = {}, expect = "value", token = nil, pieces = {} }, Reader)
end

local function refuse(self, message, code)
  self.refusal = self.refusal or { message, code or "invalid" }
  return false
end

-- What a character in a place where it may not stand is refused with.
local WANTED = { value = "a value", first_item = "a value or ']'", first_key = "a text or '}'", key = "a text as a name", colon = "':'",
  after_item = "',' or ']'", after_member = "',' or '}'", done = "nothing more" }

local function unexpected(self, char)
  return refuse(self, ("expected %s at byte %d, found %s"):format(WANTED[self.expect], self.at,
    char:find "[%g]" and "'" .. char .. "'" or ("byte 0x%02X"):format(char:byte())))
end

local function copy_path(self)
  return table.move(self.path, 1, #self.stack, 1, {})
end

-- A value is complete: it becomes part of what is around it, and is told.
local function complete(self, value)
  local around = self.stack[#self.stack]
  self.found[#self.found + 1] = { path = copy_path(self), value = value }
  if not around then
    self.value, self.expect = value, "done"
    return true
  end
  around.value[self.path[#self.stack]] = value
  self.expect = around.is_list and "after_item" or "after_member"
  return true
end

-- A container is part of what is around it as soon as it begins.
local function open(self, is_list)
  if #self.stack >= self.max_depth then
    return refuse(self, ("more than %d containers inside one another"):format(self.max_depth), "limit")
  end
  local value, around = is_list and json.list {} or {}, self.stack[#self.stack]
  if around then around.value[self.path[#self.stack]] = value else self.value = value end
  self.stack[#self.stack + 1] = { value = value, is_list = is_list, names = {}, count = 0 }
  self.path[#self.stack] = is_list and 1 or nil
  self.expect = is_list and "first_item" or "first_key"
  return true
end

local function close(self)
  local top = table.remove(self.stack)
  self.path[#self.stack + 1] = nil
  return complete(self, top.value)
end

local LITERALS = { ["true"] = true, ["false"] = false, ["null"] = json.null }

local function name_member(self, name)
  local around = self.stack[#self.stack]
  if around.names[name] then return refuse(self, ("the name '%s' stands twice in one object"):format(name:sub(1, 40))) end
  around.names[name] = true
  self.path[#self.stack] = name
  self.expect = "colon"
  return true
end

-- Ends a text, number or name: the strict codec says what it is.
local function end_token(self)
  local text, is_key = table.concat(self.pieces), self.token == "text" and self.is_key
  self.pieces, self.token = {}, nil
  if LITERALS[text] ~= nil then return complete(self, LITERALS[text]) end
  local value, message, code = json.decode(text, { max_bytes = self.max_bytes })
  if message then return refuse(self, ("before byte %d: %s"):format(self.at, message), code) end
  if is_key then return name_member(self, value) end
  return complete(self, value)
end

local function keep(self, bytes, from, to)
  if to >= from then self.pieces[#self.pieces + 1] = bytes:sub(from, to) end
end

-- Goes on in a text: to its end, or to the end of the bytes, which may stand within an escape.
local function in_text(self, bytes, from)
  local at = from
  if self.is_escaped then at, self.is_escaped = at + 1, false end
  while true do
    at = bytes:find('["\\]', at)
    if not at then break end
    if bytes:byte(at) == 34 then
      keep(self, bytes, from, at)
      return end_token(self) and at + 1
    end
    if at == #bytes then
      self.is_escaped = true
      break
    end
    at = at + 2
  end
  keep(self, bytes, from, #bytes)
  return #bytes + 1
end

-- Goes on in a number or a name, which ends where something else begins.
local function in_word(self, bytes, from)
  local last = select(2, bytes:find("^[%w.+-]*", from))
  keep(self, bytes, from, last)
  if last == #bytes then return last + 1 end
  return end_token(self) and last + 1
end

local function begin_text(self, is_key)
  self.token, self.is_key, self.is_escaped, self.pieces = "text", is_key, false, { '"' }
  return true
end

local PLAIN = '^[]-~ !#-[]*()"' -- to the quotation mark that ends it: no backslash, nothing above ASCII or below a blank

-- A text that stands whole in the bytes and is plain ASCII needs no codec: where it ends, or nil.
local function plain_text(self, bytes, from)
  local last = bytes:match(PLAIN, from + 1)
  if not last then return nil end
  local text = bytes:sub(from + 1, last - 1)
  local is_key = self.expect == "key" or self.expect == "first_key"
  if is_key then return name_member(self, text) and last + 1 end
  return complete(self, text) and last + 1
end

local TAKES_TEXT = { value = true, first_item = true, key = true, first_key = true }

local VALUE = {
  ["{"] = function(self) return open(self, false) end,
  ["["] = function(self) return open(self, true) end,
  ['"'] = function(self) return begin_text(self, false) end,
}

local function begin_value(self, char)
  local begin = VALUE[char]
  if begin then return begin(self) end
  if not char:find "[%w-]" then return unexpected(self, char) end
  self.token, self.pieces = "word", { char }
  return true
end

local function begin_key(self, char)
  if char ~= '"' then return unexpected(self, char) end
  return begin_text(self, true)
end

local STEP = { value = begin_value, key = begin_key, done = unexpected }

function STEP.first_item(self, char)
  if char == "]" then return close(self) end
  return begin_value(self, char)
end

function STEP.first_key(self, char)
  if char == "}" then return close(self) end
  return begin_key(self, char)
end

function STEP.colon(self, char)
  if char ~= ":" then return unexpected(self, char) end
  self.expect = "value"
  return true
end

function STEP.after_item(self, char)
  if char == "]" then return close(self) end
  if char ~= "," then return unexpected(self, char) end
  self.path[#self.stack] = self.path[#self.stack] + 1
  self.expect = "value"
  return true
end

function STEP.after_member(self, char)
  if char == "}" then return close(self) end
  if char ~= "," then return unexpected(self, char) end
  self.expect = "key"
  return true
end

-- One step from a byte on: where the next one begins; false when the text is refused.
local function step(self, bytes, from)
  if self.token == "text" then return in_text(self, bytes, from) end
  if self.token then return in_word(self, bytes, from) end
  local at = bytes:find("[^ \t\r\n]", from)
  if not at then return #bytes + 1 end
  self.at = self.size + at
  if bytes:byte(at) == 34 and TAKES_TEXT[self.expect] then
    local next_at = plain_text(self, bytes, at)
    if next_at ~= nil then return next_at end
  end
  return STEP[self.expect](self, bytes:sub(at, at)) and at + 1
end

local function refused(self)
  return nil, self.refusal[1], self.refusal[2]
end

local function answer(self)
  if self.refusal and #self.found == 0 then return refused(self) end
  return self.found
end

--- Takes the next bytes and gives what they complete. What stands before a mistake is given first; from the next call
--- on every one refuses. Does not yield.
---@param bytes string
---@return weir.wire.Found[]|nil found in order, often none
---@return string|nil message
---@return string|nil code `invalid`: no JSON; `limit`: too long or too deep
function Reader:push(bytes)
  self.found = {}
  if self.refusal then return refused(self) end
  if self.size + #bytes > self.max_bytes then
    refuse(self, ("the text has more than %d bytes"):format(self.max_bytes), "limit")
    return answer(self)
  end
  local from = 1
  self.at = self.size + 1
  while from and from <= #bytes do from = step(self, bytes, from) end
  self.size = self.size + #bytes
  return answer(self)
end

--- Says that the text has ended, which completes a number or a name that stands alone. Does not yield.
---@return weir.wire.Found[]|nil found one or none
---@return string|nil message
---@return string|nil code as for `push`; `invalid` too when the text stops in the middle
function Reader:finish()
  self.found = {}
  if self.refusal then return refused(self) end
  self.at = self.size + 1
  if self.token == "word" then end_token(self) end
  if self.expect ~= "done" and not self.refusal then
    refuse(self, ("the text ends in the middle, after %d bytes"):format(self.size))
  end
  if self.refusal then return refused(self) end
  return self.found
end

return M
