--- Reads YAML as plain data by the YAML 1.2 core schema (https://yaml.org/spec/1.2.2, chapter 10.3):
--- `on`, `yes` and dates are text, keys too; `010` is ten. The events come from libyaml. Refused, each
--- with its line: tags, duplicate keys, keys that are not scalars, several documents, NaN and
--- infinities, and what grows beyond bounds (an alias counts as much as it stands for). Pure.

local json = require "weir.native.json"
local source = require "weir.source"

local M = {}

local NODES_MAX = 100000
local DEPTH_MAX = 64
local BYTES_MAX = 16 * 1024 * 1024

local Reader = {}
Reader.__index = Reader

local function fail(what, mark, code)
  error({ what = what, line = mark and mark.line + 1, column = mark and mark.column + 1, code = code or "invalid" }, 0)
end

local function next_event(self)
  local ok, event = pcall(self.parse)
  if ok then return event end
  local message = tostring(event):gsub("%s+$", "")
  local line = tonumber(message:match("line: (%d+)"))
  local column = tonumber(message:match("column: (%d+)"))
  local what = "is no YAML: " .. message:gsub(" at document: .*", ""):gsub("\n.*", "")
  error({ what = what, line = line, column = column, code = "invalid" }, 0)
end

-- Scalars ----------------------------------------------------------------------------------------

local WORDS = {
  [""] = json.null, ["~"] = json.null, null = json.null, Null = json.null, NULL = json.null,
  ["true"] = true, True = true, TRUE = true, ["false"] = false, False = false, FALSE = false,
}

local function based(text)
  local octal, hexadecimal = text:match("^0o([0-7]+)$"), text:match("^0x(%x+)$")
  if not octal and not hexadecimal then return nil end
  local base, value = octal and 8 or 16, 0
  for digit in (octal or hexadecimal):gmatch "." do
    if value > (math.maxinteger - base + 1) // base then return math.huge end -- no integer holds it
    value = value * base + tonumber(digit, base)
  end
  return value
end

local function number(text)
  if text:find("^%-0+$") then return -0.0 end -- as JSON has it
  if text:find("^[+-]?%d+$") then
    local plain = text:gsub("^%+", "")
    return math.tointeger(tonumber(plain)) or tonumber(plain .. ".0")
  end
  local mantissa, exponent = text:match("^[+-]?([%d.]+)(.*)$")
  if not mantissa or not (mantissa:find("^%.%d+$") or mantissa:find("^%d+%.?%d*$")) then return based(text) end
  if exponent ~= "" and not exponent:find("^[eE][+-]?%d+$") then return based(text) end
  return tonumber((text:gsub("^%+", "")))
end

--- What a plain scalar means in the core schema: itself if it is text.
---@param text string
---@return any
function M.resolve(text)
  if WORDS[text] ~= nil then return WORDS[text] end
  local value = number(text)
  if value == nil then return text end
  return value
end

-- The reader of events ends a text at a zero byte; nothing may be lost in silence.
local function refuse_zero_byte(self, event)
  local first = utf8.offset(self.text, event.start_mark.index + 1)
  local last = utf8.offset(self.text, event.end_mark.index + 1)
  local written = self.text:sub(first, last - 1):gsub("\\\\", "")
  for _, escape in ipairs { "\\0", "\\x00", "\\u0000", "\\U00000000" } do
    if written:find(escape, 1, true) then
      fail("a zero byte in a text is only possible in JSON", event.start_mark)
    end
  end
end

local function scalar(self, event)
  local text = event.value
  if self.may_have_zero and event.style == "DOUBLE_QUOTED" then refuse_zero_byte(self, event) end
  if not event.plain_implicit then return text end
  if text:find("^[+-]?%.[iI]") and text:lower():find("^[+-]?%.inf$") or text:lower() == ".nan" then
    fail(("'%s' is no number that JSON knows; quote it if it is text"):format(text), event.start_mark)
  end
  local value = M.resolve(text)
  if type(value) ~= "number" then return value end
  if value ~= value or value == math.huge or value == -math.huge then
    fail(("'%s' is too large a number"):format(text), event.start_mark)
  end
  return value
end

-- Nodes ------------------------------------------------------------------------------------------

local read_node

local function count(self, amount, mark)
  self.nodes = self.nodes + amount
  if self.nodes > NODES_MAX then fail(("more than %d values, aliases written out"):format(NODES_MAX), mark, "limit") end
end

local function refuse_tag(event)
  if event.tag then fail(("the tag '%s' is not known; leave it out"):format(event.tag), event.start_mark) end
end

local function remember(self, event, value, before)
  if event.anchor then self.anchors[event.anchor] = { value = value, nodes = self.nodes - before } end
end

local function read_key(self, event, value)
  if event.type == "ALIAS" then
    local anchor = self.anchors[event.anchor]
    if anchor and type(anchor.value) == "string" then return anchor.value end
    fail("a key is text", event.start_mark)
  end
  if event.type ~= "SCALAR" then fail("a key is text, not a list or a map", event.start_mark) end
  refuse_tag(event)
  if self.may_have_zero and event.style == "DOUBLE_QUOTED" then refuse_zero_byte(self, event) end
  local key = event.value
  if event.plain_implicit and key == "<<" then
    fail("merge keys ('<<') are no part of YAML 1.2; write the fields out", event.start_mark)
  end
  if value[key] ~= nil then fail(("the key '%s' stands here twice"):format(key), event.start_mark) end
  remember(self, event, key, self.nodes)
  return key
end

local function read_map(self, event, depth)
  local value = {}
  self.sources:mark(value, event.start_mark.line + 1, event.start_mark.column + 1)
  while true do
    local key_event = next_event(self)
    if key_event.type == "MAPPING_END" then return value end
    local key = read_key(self, key_event, value)
    self.sources:mark_field(value, key, key_event.start_mark.line + 1, key_event.start_mark.column + 1)
    value[key] = read_node(self, next_event(self), depth + 1)
  end
end

local function read_list(self, event, depth)
  local value = json.list {}
  self.sources:mark(value, event.start_mark.line + 1, event.start_mark.column + 1)
  while true do
    local item = next_event(self)
    if item.type == "SEQUENCE_END" then return value end
    self.sources:mark_field(value, #value + 1, item.start_mark.line + 1, item.start_mark.column + 1)
    value[#value + 1] = read_node(self, item, depth + 1)
  end
end

local function read_alias(self, event)
  local anchor = self.anchors[event.anchor]
  if not anchor then fail(("nothing before is called '&%s'"):format(event.anchor), event.start_mark) end
  count(self, anchor.nodes, event.start_mark)
  return anchor.value
end

local READ = { MAPPING_START = read_map, SEQUENCE_START = read_list, SCALAR = scalar }

function read_node(self, event, depth)
  if event.type == "ALIAS" then return read_alias(self, event) end
  if depth > DEPTH_MAX then fail(("nested more than %d levels deep"):format(DEPTH_MAX), event.start_mark, "limit") end
  refuse_tag(event)
  local before = self.nodes
  count(self, 1, event.start_mark)
  local value = READ[event.type](self, event, depth)
  remember(self, event, value, before)
  return value
end

local function read_document(self)
  next_event(self) -- STREAM_START
  local event = next_event(self)
  if event.type == "STREAM_END" then return json.null end
  local value = read_node(self, next_event(self), 1)
  next_event(self) -- DOCUMENT_END
  event = next_event(self)
  if event.type ~= "STREAM_END" then fail("a second document; one file holds one", event.start_mark) end
  return value
end

--- Reads one YAML document.
---@param text string
---@param file? string  named in the places
---@return any value            plain data with marked lists; nil if refused
---@return weir.Sources|string  where each value stands; or a message that begins with the place
---@return string? code         invalid, limit
---@return { line: integer?, column: integer? }? where
function M.decode(text, file)
  if type(text) ~= "string" then error("text: a string expected, got a " .. type(text), 2) end
  if #text > BYTES_MAX then return nil, ("larger than %d bytes"):format(BYTES_MAX), "limit" end
  local self = setmetatable({ text = text, nodes = 0, anchors = {}, sources = source.new(file) }, Reader)
  self.may_have_zero = text:find("\\[0xuU]0") ~= nil or text:find("\\0", 1, true) ~= nil
  local ok, result = pcall(function()
    self.parse = require("yaml").parser(text)
    return read_document(self)
  end)
  if ok then return result, self.sources end
  if type(result) ~= "table" then error(result, 0) end
  local place = result.line and ("line %d, column %d: "):format(result.line, result.column or 1) or ""
  return nil, place .. result.what, result.code, { line = result.line, column = result.column }
end

return M
