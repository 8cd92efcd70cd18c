--- Reads server-sent events as their bytes come.
---
--- Source: the WHATWG HTML standard, "Server-sent events" (9.2.6, interpreting an event stream). Bytes may come in any
--- pieces: within CR LF, within a character, within the mark that some put before the first line. An event that its
--- empty line has not ended is none; `is_inside` tells that one has begun. Pure; never yields.

local lines = require "weir.wire.lines"

local byte, find, sub = string.byte, string.find, string.sub

local M = {}

local MAX_BYTES = 1 << 20
local BOM = "\xEF\xBB\xBF"
local LF, SPACE = 10, 32
local DATA = "data: "

---@class weir.wire.Event
---@field event string|nil its type; nil is "message"
---@field data string      its lines of data, joined by LF
---@field id string|nil    the last id that the stream has given

---@class weir.wire.EventReader
---@field retry_ms integer|nil how long the other side asks to wait before coming back
local Reader = {}
Reader.__index = Reader

--- A reader of events.
---@param options { max_bytes: integer? }|nil max_bytes: what one event may have (1 MiB)
---@return weir.wire.EventReader
function M.reader(options)
  return setmetatable({ lines = lines.new { cr = true }, max_bytes = options and options.max_bytes or MAX_BYTES,
    data = {}, size = 0, head = "" }, Reader)
end

local FIELDS = {}

function FIELDS.data(self, value)
  self.data[#self.data + 1] = value
end

function FIELDS.event(self, value)
  self.event = value ~= "" and value or nil
end

function FIELDS.id(self, value)
  if not value:find("\0", 1, true) then self.id = value end
end

function FIELDS.retry(self, value)
  if value:find "^%d+$" and #value < 16 then self.retry_ms = math.tointeger(tonumber(value)) end
end

-- The event that an empty line ends; nothing when it has no data.
local function dispatch(self)
  local data, event = self.data, self.event
  self.event, self.size = nil, 0
  local count = #data
  if count == 0 then return nil end
  self.data = {}
  return { event = event, data = count == 1 and data[1] or table.concat(data, "\n"), id = self.id }
end

local function take_line(self, line)
  if line == "" then return dispatch(self) end
  local colon = find(line, ":", 1, true)
  if colon == 1 then return nil end -- a comment
  self.size = self.size + #line
  local field = FIELDS[colon and sub(line, 1, colon - 1) or line]
  if field then field(self, colon and sub(line, byte(line, colon + 1) == SPACE and colon + 2 or colon + 1) or "") end
end

-- Bytes without the mark at the very beginning; nil while too few have come to tell.
local function without_mark(self, bytes)
  if not self.head then return bytes end
  bytes = self.head .. bytes
  if #bytes < #BOM and bytes == BOM:sub(1, #bytes) then
    self.head = bytes
    return nil
  end
  self.head = nil
  return bytes:sub(1, #BOM) == BOM and bytes:sub(#BOM + 1) or bytes
end

local function refuse(self)
  return nil, ("an event has more than %d bytes"):format(self.max_bytes), "limit"
end

-- Takes the events at `from` that are one line of data and an empty one, each ended by LF, as nearly all are.
-- Gives where the first begins that is not so, or not whole.
local function take_plain(self, bytes, from, events)
  local count, id = #events, self.id
  while sub(bytes, from, from + #DATA - 1) == DATA do
    local at = find(bytes, "\n", from, true)
    if not at or byte(bytes, at + 1) ~= LF or at - from > self.max_bytes then break end
    count = count + 1
    events[count] = { data = sub(bytes, from + #DATA, at - 1), id = id }
    from = at + 2
  end
  return from
end

-- Takes bytes line by line; true when an event was too long.
local function take_lines(self, bytes, events)
  return self.lines:push(bytes, function(line)
    if self.size + #line > self.max_bytes then return true end
    events[#events + 1] = take_line(self, line)
  end) or self.size + self.lines.size > self.max_bytes
end

-- Bytes that have no CR: whatever is not plain goes line by line up to the next empty line.
local function take_all(self, bytes, events)
  local from = 1
  while from <= #bytes do
    if not self:is_inside() then from = take_plain(self, bytes, from, events) end
    local _, to = find(bytes, "\n\n", from, true)
    to = to or #bytes
    if from <= to and take_lines(self, sub(bytes, from, to), events) then return true end
    from = to + 1
  end
  return false
end

--- Takes the next bytes and gives the events that they complete. Events that stand before one that is too long are
--- given first; from the next call on every one refuses. Does not yield.
---@param bytes string
---@return weir.wire.Event[]|nil events in order, often none
---@return string|nil message
---@return string|nil code `limit`: an event is too long
function Reader:push(bytes)
  if self.is_long then return refuse(self) end
  local events = {}
  local rest = without_mark(self, bytes)
  if not rest then return events end
  local take = (self.lines.skips_lf or find(rest, "\r", 1, true)) and take_lines or take_all
  self.is_long = take(self, rest, events)
  if self.is_long and #events == 0 then return refuse(self) end
  return events
end

--- Says whether the stream may end here: an event that has not ended is dropped, one that was too long is refused.
---@return true|nil
---@return string|nil message
---@return string|nil code `limit`
function Reader:finish()
  if self.is_long then return refuse(self) end
  return true
end

--- Whether an event has begun that has not ended.
---@return boolean
function Reader:is_inside()
  return #self.data > 0 or self.event ~= nil or self.lines.size > 0
end

return M
