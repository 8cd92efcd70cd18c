--- The log of a host: a line of JSON for each record on stderr, or on a terminal a line for people. What was
--- registered as secret never reaches it, wherever in a record it stands. Does not wait.
---
--- A record is {time, level, message} and its fields. Control bytes are escaped, so that a record is one line and
--- nothing in it moves a cursor.

local clock = require "weir.port.clock"
local json = require "weir.native.json"
local secret = require "weir.native.secret"
local settings = require "weir.settings"
local visible = require "weir.text.visible"

local M = {}

local SECRET_MIN = 6   -- bytes; a shorter text is in too many others
local TEXT_MAX = 8192  -- bytes of one text of a record
local DEPTH_MAX = 8
local MASK = "[secret]"
local OWN = { time = true, level = true, message = true }
local COLOURS = { debug = "2", info = "36", warn = "33", error = "31" }

local RANK = {}
for index, name in ipairs(settings.levels) do RANK[name] = index end

-- Secrets -------------------------------------------------------------------------------------------

local secrets, longest_first = {}, {}

--- Registers a text that no record may show, nor may it be kept in a history. One shorter than 6 bytes is not registered.
---@param value string
---@return boolean registered
function M.secret(value)
  if type(value) ~= "string" or #value < SECRET_MIN then return false end
  if secrets[value] then return true end
  secrets[value] = true
  longest_first[#longest_first + 1] = value
  table.sort(longest_first, function(a, b) return #a > #b end)
  return true
end

--- A text with `[secret]` in the place of every registered secret, and `[secret NAME]` in that of every loaded one.
---@param text string
---@return string
function M.redact(text)
  text = secret.redact(text)
  for _, value in ipairs(longest_first) do
    local from, to = text:find(value, 1, true)
    while from do
      text = text:sub(1, from - 1) .. MASK .. text:sub(to + 1)
      from, to = text:find(value, from + #MASK, true)
    end
  end
  return text
end

-- Records -------------------------------------------------------------------------------------------

local function plain_text(text)
  text = M.redact(text)
  if #text > TEXT_MAX then text = ("%s... (%d bytes)"):format(visible.head(text, TEXT_MAX), #text) end
  if not utf8.len(text) then text = text:gsub("[\128-\255]", function(byte) return ("\\x%02x"):format(byte:byte()) end) end
  return text
end

local function plain(value, depth)
  local kind = type(value)
  if kind == "string" then return plain_text(value) end
  if kind == "number" or kind == "boolean" or value == json.null then
    if value ~= value or value == math.huge or value == -math.huge then return tostring(value) end
    return value
  end
  if kind ~= "table" then return tostring(value) end
  if depth > DEPTH_MAX then return "..." end
  local copy = json.is_list(value) and json.list {} or {}
  for name, inner in next, value do
    copy[type(name) == "string" and plain_text(name) or #copy + 1] = plain(inner, depth + 1)
  end
  return copy
end

local function record_of(level, message, fields)
  local record = plain(fields or {}, 1)
  for name in pairs(OWN) do
    if record[name] ~= nil then record[name], record["_" .. name] = nil, record[name] end
  end
  record.time, record.level, record.message = clock.rfc3339(clock.wall_ms()), level, plain_text(message)
  return record
end

local function escaped(char)
  return ("\\u%04x"):format(utf8.codepoint(char))
end

-- JSON lets DEL and the control characters above ASCII stand as they are.
local function encoded(value)
  local text = json.encode(value, { canonical = true }) or '"(not to be written as JSON)"'
  return (text:gsub("\127", escaped):gsub("\xC2[\x80-\x9F]", escaped))
end

-- time, level and message come first, since people look at it too.
local function json_line(record)
  local parts = { '"time":' .. encoded(record.time), '"level":' .. encoded(record.level), '"message":' .. encoded(record.message) }
  local names = {}
  for name in pairs(record) do
    if not OWN[name] then names[#names + 1] = tostring(name) end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local value = record[name]
    if value == nil then value = record[math.tointeger(name)] end
    parts[#parts + 1] = encoded(name) .. ":" .. encoded(value)
  end
  return "{" .. table.concat(parts, ",") .. "}\n"
end

local function shown(value)
  if type(value) == "string" and value:find "^[%w%._/:@+-]+$" then return value end
  return visible.plain(encoded(value))
end

-- A piece of a file stands below the line, as it is.
local function below(excerpt)
  local lines = {}
  for line in tostring(excerpt):gmatch "[^\n]+" do lines[#lines + 1] = "    " .. visible.plain(line) .. "\n" end
  return table.concat(lines)
end

local function human_line(self, record)
  local level = ("%-5s"):format(record.level)
  if self.has_colours then level = ("\27[%sm%s\27[0m"):format(COLOURS[record.level], level) end
  local parts = { os.date "%H:%M:%S", level, visible.plain(record.message) }
  local names = {}
  for name in pairs(record) do
    if not OWN[name] and name ~= "excerpt" then names[#names + 1] = name end
  end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  for _, name in ipairs(names) do parts[#parts + 1] = ("%s=%s"):format(name, shown(record[name])) end
  return table.concat(parts, " ") .. "\n" .. (record.excerpt and below(record.excerpt) or "")
end

---@class weir.Log
---@field level string the least level that is written
---@field counts table<string, integer> records by level, those that are not written too
local Log = {}
Log.__index = Log

--- Writes a record, if its level is not below the log's. Never raises.
---@param level "debug"|"info"|"warn"|"error"
---@param message string
---@param fields table<string, any>|nil plain data
function Log:record(level, message, fields)
  self.counts[level] = self.counts[level] + 1
  if RANK[level] < RANK[self.level] then return end
  local ok, line = pcall(function()
    local record = record_of(level, message, fields)
    return self.is_human and human_line(self, record) or json_line(record)
  end)
  if not ok then line = '{"level":"error","message":"a record could not be written"}\n' end
  self.write(line)
end

for _, level in ipairs(settings.levels) do
  Log[level] = function(self, message, fields) return self:record(level, message, fields) end
end

--- A log.
---@param options { level: string|nil, write: (fun(line: string))|nil, human: boolean|nil, colours: boolean|nil }|nil level:
---   default info; write: default stderr; human: lines for people instead of JSON
---@return weir.Log
function M.new(options)
  options = options or {}
  local counts = {}
  for _, level in ipairs(settings.levels) do counts[level] = 0 end
  return setmetatable({ level = options.level or "info", counts = counts, is_human = options.human, has_colours = options.colours,
    write = options.write or function(line)
      io.stderr:write(line)
      io.stderr:flush()
    end }, Log)
end

return M
