--- Reads server-sent events as their bytes come.
---
--- Source: the WHATWG HTML standard, "Server-sent events" (9.2.6, interpreting an event stream). Bytes may come in any
--- pieces: within CR LF, within a character, within the mark that some put before the first line. An event that its
--- empty line has not ended is none; `is_inside` tells that one has begun. Pure; never yields.

local lines = require "weir.wire.lines"

local M = {}

local MAX_BYTES = 1 << 20
local BOM = "\xEF\xBB\xBF"
local LF, COLON = 10, 58 -- a colon begins a comment

local byte, find, sub = string.byte, string.find, string.sub

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
  if line:byte(1) == COLON then return nil end
  self.size = self.size + #line
  local name, value = line:match "^([^:]+): ?(.*)$"
  local field = FIELDS[name or line]
  if field then field(self, value or "") end
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

-- The commonest event by far is one line of data and an empty line: those that stand whole at the beginning of the bytes.
-- Gives where the first other line begins.
local function take_plain(self, bytes, events)
  local from, id, max_bytes = 1, self.id, self.max_bytes
  while sub(bytes, from, from + 5) == "data: " do
    local at = find(bytes, "\n", from + 6, true)
    if not at or byte(bytes, at + 1) ~= LF or at - from > max_bytes then break end
    events[#events + 1] = { data = sub(bytes, from + 6, at - 1), id = id }
    from = at + 2
  end
  return from
end

local function is_between(self, bytes)
  return self.lines.size == 0 and #self.data == 0 and not self.event and not find(bytes, "\r", 1, true) and not self.lines.skips_lf
end

local function refuse(self)
  return nil, ("an event has more than %d bytes"):format(self.max_bytes), "limit"
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
  if is_between(self, rest) then rest = sub(rest, take_plain(self, rest, events)) end
  self.is_long = self.lines:push(rest, function(line)
    if self.size + #line > self.max_bytes then return true end
    events[#events + 1] = take_line(self, line)
  end) or self.size + self.lines.size > self.max_bytes
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
