--- Server-sent events as MCP servers send them, read as their bytes come.
---
--- Source: the WHATWG HTML standard, "Server-sent events". Lines end with LF, CR LF or CR; the bytes may be split
--- anywhere. An event that no empty line has ended is none. Pure; never yields.

local M = {}

---@class weir.mcp.Event
---@field data string
---@field event string|nil its type
---@field id string|nil the last id that the stream has given

---@class weir.mcp.EventReader
---@field id string|nil        the last id that the stream has given
---@field retry_ms integer|nil how long to wait before coming back
local Reader = {}
Reader.__index = Reader

--- A reader of events.
---@param options { max_bytes: integer } of one event
---@return weir.mcp.EventReader
function M.reader(options)
  return setmetatable({ max_bytes = options.max_bytes, rest = {}, rest_size = 0, data = {}, size = 0 }, Reader)
end

local FIELDS = {}

function FIELDS.data(self, value)
  self.data[#self.data + 1] = value
  self.size = self.size + #value + 1
end

function FIELDS.event(self, value) self.event = value end

function FIELDS.id(self, value)
  if not value:find("\0", 1, true) then self.id = value end
end

function FIELDS.retry(self, value)
  if value:find "^%d+$" and #value < 10 then self.retry_ms = math.tointeger(tonumber(value)) end
end

local function take_line(self, line, events)
  if line ~= "" then
    local name, value = line:match "^([^:]*):? ?(.*)$"
    if FIELDS[name] then FIELDS[name](self, value) end
    return
  end
  if #self.data > 0 then events[#events + 1] = { data = table.concat(self.data, "\n"), event = self.event, id = self.id } end
  self.data, self.size, self.event = {}, 0, nil
end

-- The bytes up to the last end of a line; a CR at the very end may be half of one.
local function whole_lines(self, bytes)
  local last = bytes:match "^.*()[\r\n]"
  if last == #bytes and bytes:byte(last) == 13 then last = bytes:sub(1, -2):match "^.*()[\r\n]" end
  self.rest[#self.rest + 1] = last and bytes:sub(1, last) or bytes
  if not last then
    self.rest_size = self.rest_size + #bytes
    return ""
  end
  local text, rest = table.concat(self.rest), bytes:sub(last + 1)
  self.rest, self.rest_size = { rest }, #rest
  return text
end

--- Takes the next bytes and gives the events that they complete.
---@param bytes string
---@return weir.mcp.Event[]|nil events in order, often none
---@return string|nil message
---@return string|nil code `limit`: an event is too long
function Reader:push(bytes)
  local events = {}
  for line in whole_lines(self, bytes):gsub("\r\n?", "\n"):gmatch "([^\n]*)\n" do take_line(self, line, events) end
  if self.size + self.rest_size > self.max_bytes then
    return nil, ("an event has more than %d bytes"):format(self.max_bytes), "limit"
  end
  return events
end

return M
