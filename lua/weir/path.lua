--- Paths into StepData, and values that contain them.
---
--- A path is the part of JSONPath (RFC 9535) that points at one thing or at all things beside one
--- another: `$`, names (`.name`, `['any name']`), 0-based indexes (negative ones count from the end)
--- and wildcards (`.*`, `[*]`). A final `?` makes it optional. `"$.a.b"` alone keeps the type of what
--- it finds; `"text with ${a.b}"` writes it as text. Text that was looked up is never scanned again.
--- Everything is compiled to closures once. Pure; never yields.

local json = require "weir.native.json"

local M = {}

local math_type = math.type

local ANY = true -- the wildcard among segments; names are strings, indexes integers
local SHOWN = 8  -- names listed in "what is there"
local DEPTH_MAX = 64

local Path = { __name = "weir.path" }
Path.__index = Path

-- Scanning ---------------------------------------------------------------------------------------

local ESCAPES = {
  b = "\b", t = "\t", n = "\n", f = "\f", r = "\r", ["/"] = "/", ["\\"] = "\\", ["'"] = "'", ['"'] = '"',
}

local function scan_unicode(text, at)
  local hex = text:match("^u(%x%x%x%x)", at)
  if not hex then return nil, "an escape such as \\n or \\u00e9 expected", at end
  local code = tonumber(hex, 16)
  if code >= 0xDC00 and code < 0xE000 then return nil, "half of a surrogate pair", at end
  if code < 0xD800 or code >= 0xE000 then return utf8.char(code), at + 5 end
  local low = tonumber(text:match("^\\u(%x%x%x%x)", at + 5) or "0", 16)
  if low < 0xDC00 or low >= 0xE000 then return nil, "half of a surrogate pair", at end
  return utf8.char(0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)), at + 11
end

--- Reads a quoted string of RFC 9535 at `at`, which stands on its quote. Shared with `weir.condition`.
---@param text string
---@param at integer
---@return string|nil value
---@return integer|string next_at  or what is wrong
---@return integer? wrong_at
function M.scan_string(text, at)
  local quote, parts, start = text:sub(at, at), {}, at
  local plain = quote == "'" and "^[^'\\\0-\31]+" or '^[^"\\\0-\31]+'
  at = at + 1
  while true do
    local run = text:match(plain, at)
    if run then
      parts[#parts + 1] = run
      at = at + #run
    end
    local char = text:sub(at, at)
    if char == quote then return table.concat(parts), at + 1 end
    if char ~= "\\" then return nil, ("text without its closing %s"):format(quote), start end
    local escaped = text:sub(at + 1, at + 1)
    local is_other_quote = (escaped == "'" or escaped == '"') and escaped ~= quote
    if ESCAPES[escaped] and not is_other_quote then
      parts[#parts + 1] = ESCAPES[escaped]
      at = at + 2
    else
      local value, after, wrong_at = scan_unicode(text, at + 1)
      if not value then return nil, after, wrong_at end
      parts[#parts + 1] = value
      at = after
    end
  end
end

local NAME = "^[%a_\x80-\xff][%w_\x80-\xff]*"

local function scan_index(text, at)
  local digits = text:match("^%-?%d+", at)
  local is_plain = digits == "0" or digits:find("^%-?[1-9]")
  local index = is_plain and math.tointeger(tonumber(digits))
  if not index or math.abs(index) > (1 << 53) - 1 then
    return nil, "an index is a whole number without leading zeros", at
  end
  return index, at + #digits
end

local function scan_selector(text, at)
  local char = text:sub(at, at)
  if char == "*" then return ANY, at + 1 end
  if char == "'" or char == '"' then return M.scan_string(text, at) end
  if text:find("^%-?%d", at) then return scan_index(text, at) end
  if char == "?" then return nil, "filters are no part of paths; write a condition instead", at end
  return nil, "an index, '*' or a quoted name expected", at
end

local function scan_bracket(text, at)
  local selector, after, wrong_at = scan_selector(text, text:find("%S", at) or at)
  if selector == nil then return nil, after, wrong_at end
  after = text:find("%S", after) or after
  local char = text:sub(after, after)
  if char == "]" then return selector, after + 1 end
  if char == ":" then return nil, "slices are no part of paths", after end
  if char == "," then return nil, "only one name or index goes between the brackets", after end
  return nil, "']' expected", after
end

local function scan_dot(text, at)
  if text:sub(at, at) == "*" then return ANY, at + 1 end
  if text:sub(at, at) == "." then return nil, "'..' is no part of paths; name each level", at end
  local name = text:match(NAME, at)
  if name then return name, at + #name end
  return nil, "a name or '*' expected", at
end

--- Reads the segments of a query after its `$`. Shared with `weir.condition`.
---@param text string
---@param at integer
---@return (string|integer|true)[]|nil segments  true stands for a wildcard
---@return integer|string next_at                or what is wrong
---@return integer? wrong_at
function M.scan_segments(text, at)
  local segments = {}
  while true do
    local char = text:sub(at, at)
    local segment, after, wrong_at
    if char == "." then
      segment, after, wrong_at = scan_dot(text, at + 1)
    elseif char == "[" then
      segment, after, wrong_at = scan_bracket(text, at + 1)
    else
      return segments, at
    end
    if segment == nil then return nil, after, wrong_at end
    if #segments == DEPTH_MAX then return nil, ("more than %d levels"):format(DEPTH_MAX), at end
    segments[#segments + 1] = segment
    at = after
  end
end

-- Reading ----------------------------------------------------------------------------------------

local function child(value, segment)
  if type(value) ~= "table" then return nil end
  if math_type(segment) ~= "integer" then return value[segment] end
  if segment >= 0 then return value[segment + 1] end
  return value[#value + segment + 1]
end

local function sorted_names(value)
  local names = {}
  for name in pairs(value) do
    if type(name) == "string" then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

local function each_child(value, visit)
  if type(value) ~= "table" then return end
  if json.is_list(value) then
    for index = 1, #value do visit(value[index]) end
  else
    for _, name in ipairs(sorted_names(value)) do visit(value[name]) end
  end
end

--- Collects what the segments from `from` on find below `value`, in order (objects by sorted name).
---@param value any
---@param segments (string|integer|true)[]
---@param from? integer
---@param found? any[]
---@return any[] found
function M.nodes(value, segments, from, found)
  found, from = found or {}, from or 1
  local segment = segments[from]
  if segment == nil then
    found[#found + 1] = value
  elseif segment == ANY then
    each_child(value, function(inner) M.nodes(inner, segments, from + 1, found) end)
  else
    local inner = child(value, segment)
    if inner ~= nil then M.nodes(inner, segments, from + 1, found) end
  end
  return found
end

local function shown_names(value)
  local names = sorted_names(value)
  if #names == 0 then return "is empty" end
  local more = #names > SHOWN and (" and %d more"):format(#names - SHOWN) or ""
  return "has " .. table.concat(names, ", ", 1, math.min(#names, SHOWN)) .. more
end

local function what_is_there(value)
  if value == json.null then return "is null" end
  if type(value) == "string" then return "is text" end
  if type(value) ~= "table" then return "is the " .. type(value) .. " " .. tostring(value) end
  if json.is_list(value) then return ("is a list of %d"):format(#value) end
  return shown_names(value)
end

local function spelled(segments, count)
  local parts = { "$" }
  for index = 1, count do
    local segment = segments[index]
    if segment == ANY then
      parts[#parts + 1] = "[*]"
    elseif math_type(segment) == "integer" then
      parts[#parts + 1] = ("[%d]"):format(segment)
    elseif segment:find(NAME .. "$") then
      parts[#parts + 1] = "." .. segment
    else
      parts[#parts + 1] = ("['%s']"):format(segment:gsub("['\\]", "\\%0"))
    end
  end
  return table.concat(parts)
end

local function missing(self, root)
  if self.optional then return nil end
  local value, depth = root, 0
  while true do
    local segment = self.segments[depth + 1]
    local inner = segment ~= ANY and child(value, segment) or nil
    if inner == nil then break end
    value, depth = inner, depth + 1
  end
  local message = "path '%s' finds nothing: %s %s"
  return nil, message:format(self.text, spelled(self.segments, depth), what_is_there(value)), "not_found"
end

local function read_chain(self)
  local segments, count = self.segments, #self.segments
  return function(root)
    local value = root
    for index = 1, count do
      value = child(value, segments[index])
      if value == nil then return missing(self, root) end
    end
    return value
  end
end

-- The most common path is read for every item of a map.
local function read_one(self)
  local first = self.segments[1]
  if type(first) ~= "string" then return read_chain(self) end
  return function(root)
    local value
    if type(root) == "table" then value = root[first] end
    if value ~= nil then return value end
    return missing(self, root)
  end
end

-- What stands before the first wildcard has to be there; of what lies behind it, what is there.
local function read_many(self, wildcard)
  local segments = self.segments
  return function(root)
    local value = root
    for index = 1, wildcard - 1 do
      value = child(value, segments[index])
      if value == nil then return missing(self, root) end
    end
    if type(value) ~= "table" then return missing(self, root) end
    return json.list(M.nodes(value, segments, wildcard))
  end
end

local function reader(self)
  for index, segment in ipairs(self.segments) do
    if segment == ANY then return read_many(self, index) end
  end
  if #self.segments == 1 then return read_one(self) end
  return read_chain(self)
end

local function new_path(text, segments, optional)
  local self = setmetatable({ text = text, segments = segments, optional = optional }, Path)
  self.root = type(segments[1]) == "string" and segments[1] or nil
  self.read = reader(self)
  return self
end

---@class weir.Path
---@field text string      as written
---@field root string|nil  the first name: which entry of StepData it needs; nil for `$` or `$.*`
---@field optional boolean written with a final `?`
---@field segments (string|integer|true)[]
---@field read fun(root: table): any, string?, string?

--- Looks the path up. Never yields.
---@param root table  StepData, or any plain data
---@return any value  nil if nothing is there; for a path with a wildcard a list, which may be empty
---@return string? message  what the path is and what is there instead; absent for an optional path
---@return string? code     not_found
function Path:get(root)
  return self.read(root)
end

Path.__call = Path.get

local function refuse(text, what, at)
  return nil, ("path '%s', column %d: %s"):format(text:sub(1, 200), at, what), "invalid"
end

local function finish(text, prefix, body, offset)
  local segments, after, wrong_at = M.scan_segments(body, offset)
  if not segments then return refuse(text, after, wrong_at - prefix) end
  local optional = body:sub(after, after) == "?"
  if optional then after = after + 1 end
  if after <= #body then
    local hint = "'.', '[' or the end expected"
    if body:sub(after, after) == "-" then hint = hint .. " (a name with '-' is written ['like-this'])" end
    return refuse(text, hint, after - prefix)
  end
  return new_path(text, segments, optional)
end

--- Compiles a path such as `$.read.text`, `$.list.files[0]`, `$.parts[*].title`, `$.maybe?`.
---@param text string
---@return weir.Path|nil path  call it, or `path:get(root)`
---@return string? message     with the column
---@return string? code        invalid
function M.compile(text)
  if type(text) ~= "string" then error("text: a string expected, got a " .. type(text), 2) end
  if text:sub(1, 1) ~= "$" then return refuse(text, "'$' expected", 1) end
  return finish(text, 0, text, 2)
end

-- Inside `${...}` the `$.` is left out: `a.b` stands for `$.a.b`.
local function compile_inner(inner)
  if inner:find("^%s*$") then return nil, "path '${}': a name expected between the braces", "invalid" end
  if inner:sub(1, 1) == "$" then return refuse(inner, "no '$' needed inside ${}", 1) end
  if inner:sub(1, 1) == "[" then return finish(inner, 1, "$" .. inner, 2) end
  return finish(inner, 2, "$." .. inner, 2)
end

-- Values -----------------------------------------------------------------------------------------

--- A value as text: a string as it is, everything else as JSON.
---@param value any
---@return string|nil text
---@return string? message
---@return string? code  invalid: not plain data
function M.to_text(value)
  if type(value) == "string" then return value end
  if math_type(value) == "integer" then return ("%d"):format(value) end
  return json.encode(value)
end

local function closing_brace(text, at)
  while true do
    local char_at = text:find("[}'\"]", at)
    if not char_at then return nil end
    if text:sub(char_at, char_at) == "}" then return char_at end
    local value, after = M.scan_string(text, char_at)
    at = value and after or char_at + 1
  end
end

local function refuse_open(text, column)
  local message = "text '%s', column %d: '${' has no '}'; write '$${' for a plain '${'"
  return nil, message:format(text:sub(1, 200), column), "invalid"
end

-- Splits text into literal strings and paths. `at` is where scanning starts, `head` what precedes it.
local function split_text(text, at, head)
  local pieces, literal = {}, { head }
  while true do
    local open = text:find("${", at, true)
    if not open then break end
    if text:sub(open - 1, open - 1) == "$" and open - 1 >= at then
      literal[#literal + 1] = text:sub(at, open - 2) .. "${"
      at = open + 2
    else
      local close = closing_brace(text, open + 2)
      if not close then return refuse_open(text, open) end
      local path, message, code = compile_inner(text:sub(open + 2, close - 1))
      if not path then return nil, message, code end
      literal[#literal + 1] = text:sub(at, open - 1)
      pieces[#pieces + 1] = table.concat(literal)
      pieces[#pieces + 1] = path
      literal, at = {}, close + 1
    end
  end
  literal[#literal + 1] = text:sub(at)
  pieces[#pieces + 1] = table.concat(literal)
  return pieces
end

local function constant(value)
  return function() return value end
end

local function text_of(path, root)
  local value, message, code = path.read(root)
  if value == nil then
    if message then return nil, message, code end
    return ""
  end
  return M.to_text(value)
end

local function joined(pieces)
  return function(root)
    local parts = {}
    for index, piece in ipairs(pieces) do
      if type(piece) == "string" then
        parts[index] = piece
      else
        local text, message, code = text_of(piece, root)
        if not text then return nil, message, code end
        parts[index] = text
      end
    end
    return table.concat(parts)
  end
end

local function refer(state, path, at)
  state.references[#state.references + 1] = { root = path.root, path = path.text, optional = path.optional, at = at }
end

local function owned(read, own)
  return function(root)
    local value, message, code = read(root)
    if type(value) == "table" then return own(value) end
    return value, message, code
  end
end

local function compile_text(text, state, at)
  local first, second = text:sub(1, 1), text:sub(2, 2)
  if first == "$" and second ~= "$" and second ~= "{" then
    local path, message, code = M.compile(text)
    if not path then
      if not text:find("^%$[.%[]") then message = message .. "; write '$$' for a dollar sign" end
      return nil, message, code
    end
    refer(state, path, at)
    return state.own and owned(path.read, state.own) or path.read
  end
  if not text:find("$", 1, true) then return constant(text), nil, nil, true end
  local is_escaped = first == "$" and second == "$"
  local pieces, message, code = split_text(text, is_escaped and 3 or 1, is_escaped and "$" or "")
  if not pieces then return nil, message, code end
  for _, piece in ipairs(pieces) do
    if type(piece) ~= "string" then refer(state, piece, at) end
  end
  if #pieces == 1 then return constant(pieces[1]), nil, nil, true end
  return joined(pieces)
end

local compile_any

local function list_node(nodes)
  return function(root)
    local result = {}
    for index, node in ipairs(nodes) do
      local value, message, code = node(root)
      if value == nil then
        if message then return nil, message, code end
        value = json.null
      end
      result[index] = value
    end
    return json.list(result)
  end
end

local function object_node(names, nodes)
  local count = #names
  return function(root)
    local result = {}
    for index = 1, count do
      local value, message, code = nodes[index](root)
      if value == nil and message then return nil, message, code end
      result[names[index]] = value
    end
    return result
  end
end

local function compile_table(value, state, at, depth)
  if depth > DEPTH_MAX then return nil, ("nested more than %d levels deep"):format(DEPTH_MAX), "invalid" end
  local nodes = {}
  if json.is_list(value) then
    for index = 1, #value do
      local node, message, code = compile_any(value[index], state, ("%s[%d]"):format(at, index - 1), depth + 1)
      if not node then return nil, message, code end
      nodes[index] = node
    end
    return list_node(nodes)
  end
  local names = sorted_names(value)
  for index, name in ipairs(names) do
    local node, message, code = compile_any(value[name], state, at == "" and name or at .. "." .. name, depth + 1)
    if not node then return nil, message, code end
    nodes[index] = node
  end
  return object_node(names, nodes)
end

function compile_any(value, state, at, depth)
  if type(value) == "string" then
    local node, message, code = compile_text(value, state, at)
    if not node and at ~= "" then message = ("%s: %s"):format(at, message) end
    return node, message, code
  end
  if type(value) == "table" then return compile_table(value, state, at, depth) end
  return constant(value)
end

---@class weir.Reference
---@field root string|nil    the entry of StepData that is needed
---@field path string        as written
---@field optional boolean
---@field at string          where in the value, `items[0].text`; "" for the value itself

--- Compiles a value in which strings may be paths (`"$.a.b"`), text with paths (`"n is ${a.n}"`), or
--- plain (`"$$"` at the start and `"$${"` inside stand for `$` and `${`). Tables are built anew at
--- each call; a table that a path found is shared with StepData unless `own` makes another of it.
---@param value any  plain data
---@param own? fun(value: table): table
---@return (fun(root: table): any, string?, string?)|nil evaluate  gives the value; nil alone when an
---   optional path, being the whole value, found nothing (a field is left out, a list gets null,
---   text gets nothing); or nil, message, not_found | invalid
---@return weir.Reference[]|string references  every path in it; or what is wrong
---@return string? code  invalid
function M.compile_value(value, own)
  local state = { references = {}, own = own }
  local node, message, code = compile_any(value, state, "", 1)
  if not node then return nil, message, code end
  return node, state.references
end

return M
