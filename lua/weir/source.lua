--- Where a value came from: file, line and column of tables and of their fields, so that an error
--- about the normal form points into the file that a person wrote. A table made from another keeps
--- its place through `derive`. Pure; never yields.

local M = {}

---@class weir.Place
---@field file string?
---@field line integer?   from 1
---@field column integer? from 1

---@class weir.Sources
---@field file string|nil
local Sources = { __name = "weir.sources" }
Sources.__index = Sources

--- Makes an empty record of places.
---@param file string|nil  as it is to be shown
---@param fill? fun(self: weir.Sources)  marks the places when one is first asked for
---@return weir.Sources
function M.new(file, fill)
  return setmetatable({ file = file, fill = fill, places = {}, fields = {}, origins = {} }, Sources)
end

--- Says where a table begins.
---@param value table
---@param line integer?
---@param column integer?
---@param file string?  if it is another file
function Sources:mark(value, line, column, file)
  self.places[value] = { file = file or self.file, line = line, column = column }
end

--- Says where a field or an item (by its Lua index) of a table begins.
---@param value table
---@param key string|integer
---@param line integer?
---@param column integer?
function Sources:mark_field(value, key, line, column)
  local fields = self.fields[value]
  if not fields then
    fields = {}
    self.fields[value] = fields
  end
  fields[key] = { file = self.file, line = line, column = column }
end

--- Says that one table was made from another.
---@generic T : table
---@param value T
---@param origin table|nil
---@return T value
function Sources:derive(value, origin)
  if origin and origin ~= value then self.origins[value] = origin end
  return value
end

local function ready(self)
  if not self.fill then return end
  local fill = self.fill
  self.fill = nil
  fill(self)
end

--- The place of a table, its own or that of what it was made from.
---@param value any
---@return weir.Place|nil
function Sources:place(value)
  ready(self)
  while value ~= nil do
    if self.places[value] then return self.places[value] end
    value = self.origins[value]
  end
end

--- The place of a field of a table.
---@param value any
---@param key string|integer
---@return weir.Place|nil
function Sources:field(value, key)
  ready(self)
  while value ~= nil do
    local fields = self.fields[value]
    if fields and fields[key] then return fields[key] end
    value = self.origins[value]
  end
end

--- The nearest known place on the way from `root` along `keys`; indexes among the keys are from 0.
---@param root any
---@param keys (string|integer)[]
---@return weir.Place  at least {file}
function Sources:locate(root, keys)
  local best = self:place(root)
  local value = root
  for _, key in ipairs(keys) do
    if type(value) ~= "table" then break end
    local position = math.type(key) == "integer" and key + 1 or key
    local inner = value[position]
    best = self:field(value, position) or type(inner) == "table" and self:place(inner) or best
    value = inner
  end
  return best or { file = self.file }
end

-- JSON -------------------------------------------------------------------------------------------

-- Positions in a text that a decoder has already accepted: nothing is checked here.
local Scan = {}
Scan.__index = Scan

local function place_of(self, offset)
  while self.next_line and self.next_line <= offset do
    self.line, self.line_start = self.line + 1, self.next_line
    local newline = self.text:find("\n", self.next_line, true)
    self.next_line = newline and newline + 1
  end
  return self.line, offset - self.line_start + 1
end

local function skip(self)
  self.at = self.text:find("[^ \t\r\n]", self.at)
end

local function string_end(text, at)
  repeat
    at = text:find('["\\]', at + 1)
    local is_escape = text:sub(at, at) == "\\"
    if is_escape then at = at + 1 end
  until not is_escape
  return at
end

local scan_value

local function scan_members(self, value, decode)
  local is_object = self.text:sub(self.at, self.at) == "{"
  self.sources:mark(value, place_of(self, self.at))
  self.at = self.at + 1
  local index = 0
  while true do
    skip(self)
    local char = self.text:sub(self.at, self.at)
    if char == "}" or char == "]" then break end
    if char == "," then
      self.at = self.at + 1
      skip(self)
    end
    index = index + 1
    local key = index
    local line, column = place_of(self, self.at)
    if is_object then
      local close = string_end(self.text, self.at)
      key = decode(self.text:sub(self.at, close))
      self.at = self.text:find(":", close, true) + 1
      skip(self)
    end
    self.sources:mark_field(value, key, line, column)
    scan_value(self, value[key], decode)
  end
  self.at = self.at + 1
end

function scan_value(self, value, decode)
  local char = self.text:sub(self.at, self.at)
  if char == "{" or char == "[" then return scan_members(self, value, decode) end
  if char == '"' then
    self.at = string_end(self.text, self.at) + 1
  else
    self.at = self.text:find("[,%]} \t\r\n]", self.at) or #self.text + 1
  end
end

--- Sources of a decoded JSON text; its places are only looked for when one is asked for.
---@param file string|nil
---@param text string    valid JSON
---@param value any      what it decodes to
---@param decode fun(text: string): any
---@return weir.Sources
function M.of_json(file, text, value, decode)
  return M.new(file, function(sources)
    local self = setmetatable({ text = text, at = 1, line = 1, line_start = 1, sources = sources }, Scan)
    local newline = text:find("\n", 1, true)
    self.next_line = newline and newline + 1
    skip(self)
    scan_value(self, value, decode)
  end)
end

return M
