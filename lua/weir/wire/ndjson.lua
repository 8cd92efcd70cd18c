--- Reads NDJSON as its bytes come: one JSON value on each line, empty lines passed over.
---
--- A line ends with LF or CR LF, the last one also with the stream (`finish`). Values are read strictly, as all JSON of
--- weir is. Pure; never yields.

local json = require "weir.native.json"
local lines = require "weir.wire.lines"
local partial = require "weir.wire.partial"

local M = {}

local MAX_BYTES = 1 << 20

---@class weir.wire.LineReader
local Reader = {}
Reader.__index = Reader

--- A reader of values.
---@param options { max_bytes: integer? }|nil max_bytes: what one line may have (1 MiB)
---@return weir.wire.LineReader
function M.reader(options)
  return setmetatable({ lines = lines.new(), max_bytes = options and options.max_bytes or MAX_BYTES, count = 0 }, Reader)
end

local function refuse(self)
  return nil, self.refusal[1], self.refusal[2]
end

-- Adds the value of a line; true when it is refused.
local function read(self, line, values)
  self.count = self.count + 1
  if #line > self.max_bytes then
    self.refusal = { ("line %d has more than %d bytes"):format(self.count, self.max_bytes), "limit" }
  elseif line:find "[^ \t\r]" then
    local value, message, code = json.decode(line, { max_bytes = self.max_bytes })
    if not message then values[#values + 1] = value
    else self.refusal = { ("line %d: %s"):format(self.count, message), code } end
  end
  return self.refusal ~= nil
end

--- Takes the next bytes and gives the values of the lines that they end. Values that stand before a line that is refused
--- are given first; from the next call on every one refuses. Does not yield.
---@param bytes string
---@return any[]|nil values in order, often none
---@return string|nil message
---@return string|nil code `invalid`: a line is no JSON; `limit`: it is too long or too deep
function Reader:push(bytes)
  if self.refusal then return refuse(self) end
  local values = {}
  self.lines:push(bytes, function(line) return read(self, line, values) end)
  if self.lines.size > self.max_bytes then
    self.refusal = { ("line %d has more than %d bytes"):format(self.count + 1, self.max_bytes), "limit" }
  end
  if self.refusal and #values == 0 then return refuse(self) end
  return values
end

-- Whether a text is the beginning of some JSON.
local function is_beginning(text)
  return partial.reader():push(text) ~= nil
end

--- Gives the value of a last line that no line end has ended. Does not yield.
---@return any[]|nil values one or none
---@return string|nil message
---@return string|nil code as for `push`; `closed`: the line stops in the middle of a value
function Reader:finish()
  if self.refusal then return refuse(self) end
  local values, line = {}, self.lines:rest()
  if not read(self, line, values) then return values end
  if self.refusal[2] == "invalid" and is_beginning(line) then self.refusal[2] = "closed" end
  return refuse(self)
end

--- Whether a line has begun that has not ended.
---@return boolean
function Reader:is_inside()
  return self.lines.size > 0
end

return M
