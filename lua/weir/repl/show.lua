--- Values as a person reads them: keys sorted, integers and floats told apart, limits, circles marked. Looks only at
--- what is there (raw access): no code of a value's metatable is called. Pure; never yields.

local visible = require "weir.text.visible"

local M = {}

local WIDTH, DEPTH, ITEMS, TEXT, BYTES = 80, 6, 60, 2000, 65536

local KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then true until
  while]]):gmatch "%S+" do KEYWORDS[word] = true end

local ORDER = { number = 1, string = 2, boolean = 3 }

-- What a value says of itself in a line; for tables that the library made.
local lines = setmetatable({}, { __mode = "k" })

--- Has tables with a metatable shown by a function of the library.
---@param meta table the metatable
---@param line fun(value: table): string
function M.by(meta, line)
  lines[meta] = line
end

local function number(value)
  if math.type(value) == "integer" then return tostring(value) end
  if value ~= value then return "nan" end
  if value == math.huge then return "inf" end
  if value == -math.huge then return "-inf" end
  local text = ("%.14g"):format(value)
  if tonumber(text) ~= value then text = ("%.17g"):format(value) end
  return text:find "[%.eE]" and text or text .. ".0"
end

local ESCAPES = { ["\n"] = "\\n", ["\t"] = "\\t", ["\r"] = "\\r", ['"'] = '\\"', ["\\"] = "\\\\", ["\0"] = "\\0" }

local function quoted(text, limit)
  local cut = #text > limit
  local shown = cut and visible.head(text, limit) or text
  shown = shown:gsub('[%c"\\]', function(char) return ESCAPES[char] or ("\\x%02x"):format(char:byte()) end)
  if utf8.len(shown) then
    shown = visible.plain(shown)
  else
    shown = shown:gsub("[\128-\255]", function(char) return ("\\x%02x"):format(char:byte()) end)
  end
  return cut and ('"%s"... (%d bytes)'):format(shown, #text) or ('"%s"'):format(shown)
end

local function place(body)
  local info = debug.getinfo(body, "S")
  if info.what == "C" then return "function (in C)" end
  return ("function (%s:%d)"):format(info.short_src, info.linedefined)
end

local function key_text(key)
  if type(key) == "string" and key:find "^[%a_][%w_]*$" and not KEYWORDS[key] then return key end
  if type(key) == "string" then return "[" .. quoted(key, 200) .. "]" end
  if type(key) == "number" then return "[" .. number(key) .. "]" end
  if type(key) == "table" or type(key) == "userdata" then return ("[%s]"):format(type(key)) end
  return "[" .. tostring(key) .. "]"
end

local function sorted_keys(value, count)
  local keys = {}
  for key in next, value do
    if not (math.type(key) == "integer" and key >= 1 and key <= count) then keys[#keys + 1] = key end
  end
  table.sort(keys, function(a, b)
    local left, right = ORDER[type(a)] or 9, ORDER[type(b)] or 9
    if left ~= right then return left < right end
    if left <= 2 then return a < b end
    return key_text(a) < key_text(b)
  end)
  return keys
end

-- The length of the list at the beginning, by raw access.
local function list_length(value)
  local count = 0
  while rawget(value, count + 1) ~= nil do count = count + 1 end
  return count
end

local render

local function spend(state, text)
  state.left = state.left - #text
  return text
end

local function parts_of(state, value, depth)
  local count = list_length(value)
  local parts, shown = {}, 0
  local function add(text)
    shown = shown + 1
    parts[shown] = text
  end
  for index = 1, count do
    if shown >= state.items or state.left <= 0 then break end
    add(render(state, rawget(value, index), depth + 1))
  end
  local keys = sorted_keys(value, count)
  for _, key in ipairs(keys) do
    if shown >= state.items or state.left <= 0 then break end
    add(spend(state, key_text(key)) .. " = " .. render(state, rawget(value, key), depth + 1))
  end
  local more = count + #keys - shown
  if more > 0 then add(("... and %d more"):format(more)) end
  return parts
end

local function join(state, parts, depth)
  if #parts == 0 then return "{}" end
  local one = "{ " .. table.concat(parts, ", ") .. " }"
  if utf8.len(one) and utf8.len(one) + 2 * depth <= state.width and not one:find "\n" then return one end
  local indent = ("  "):rep(depth + 1)
  return "{\n" .. indent .. table.concat(parts, ",\n" .. indent) .. "\n" .. ("  "):rep(depth) .. "}"
end

local function table_text(state, value, depth)
  local meta = debug.getmetatable(value)
  if meta and lines[meta] then return spend(state, lines[meta](value)) end
  if state.open[value] then return "<circle>" end
  if depth >= state.depth then return next(value) == nil and "{}" or "{...}" end
  state.open[value] = true
  local text = join(state, parts_of(state, value, depth), depth)
  state.open[value] = nil
  return text
end

local function userdata_text(value)
  local meta = debug.getmetatable(value)
  local name = type(meta) == "table" and rawget(meta, "__name")
  return ("userdata (%s)"):format(type(name) == "string" and name or "of no name")
end

function render(state, value, depth)
  local kind = type(value)
  if kind == "table" then return table_text(state, value, depth) end
  if kind == "string" then return spend(state, quoted(value, state.text)) end
  if kind == "number" then return spend(state, number(value)) end
  if kind == "function" then return spend(state, place(value)) end
  if kind == "userdata" then return spend(state, value == require("weir.native.json").null and "null" or userdata_text(value)) end
  return spend(state, kind == "thread" and "coroutine" or tostring(value))
end

--- A value as text.
---@param value any
---@param options { width: integer?, depth: integer?, items: integer?, text: integer?, bytes: integer? }|nil width: columns,
---   default 80; depth: tables in one another, 6; items: of a table, 60; text: bytes of a string, 2000; bytes: of all, 65536
---@return string
function M.value(value, options)
  options = options or {}
  local state = { width = options.width or WIDTH, depth = options.depth or DEPTH, items = options.items or ITEMS,
    text = options.text or TEXT, left = options.bytes or BYTES, open = {} }
  return render(state, value, 0)
end

--- Several values, as an expression gives them.
---@param values table packed
---@param options table|nil as of `value`
---@return string
function M.values(values, options)
  local parts = {}
  for index = 1, values.n do parts[index] = M.value(values[index], options) end
  return table.concat(parts, "\n")
end

return M
