--- Completion: what may stand where the cursor is. Looks at fields by raw access, so that no code of a value runs.

local M = {}

local MOST = 200
local CHAIN = 8 -- tables of `__index` that are followed
local KEYWORDS = { "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local", "nil", "not", "or",
  "repeat", "return", "then", "true", "until", "while" }

-- What fields a value has: itself, then what its metatables name as tables.
local function holders(value)
  local list = {}
  local holder = value
  for _ = 1, CHAIN do
    if type(holder) == "table" then list[#list + 1] = holder end
    local meta = debug.getmetatable(holder)
    holder = type(meta) == "table" and rawget(meta, "__index") or nil
    if type(holder) ~= "table" then break end
  end
  return list
end

local function field(value, name)
  for _, holder in ipairs(holders(value)) do
    local found = rawget(holder, name)
    if found ~= nil then return found end
  end
end

local function walk(environment, path)
  local value = environment
  for name in path:gmatch "[^.:]+" do
    value = field(value, name)
    if value == nil then return nil end
  end
  return value
end

local function finish(found, prefix)
  local list, seen = {}, {}
  for _, name in ipairs(found) do
    if name:sub(1, #prefix) == prefix and not seen[name] then
      seen[name] = true
      list[#list + 1] = name
    end
  end
  table.sort(list)
  return table.move(list, 1, math.min(#list, MOST), 1, {})
end

local function names_of(value, only_functions)
  local found = {}
  for _, holder in ipairs(holders(value)) do
    for name, inner in next, holder do
      local is_name = type(name) == "string" and name:find "^[%a_][%w_]*$"
      if is_name and (not only_functions or type(inner) == "function") then found[#found + 1] = name end
    end
  end
  return found
end

local function globals(environment, prefix)
  local found = names_of(environment, false)
  table.move(KEYWORDS, 1, #KEYWORDS, #found + 1, found)
  local list = finish(found, prefix)
  if prefix:sub(1, 1) == "_" then return list end
  local plain = {}
  for _, name in ipairs(list) do
    if name:sub(1, 1) ~= "_" then plain[#plain + 1] = name end
  end
  return plain
end

local function of_path(environment, path, separator, prefix, special)
  local value = walk(environment, path)
  if value == nil then return {} end
  if special[value] then return finish(special[value](), prefix) end
  return finish(names_of(value, separator == ":"), prefix)
end

-- The word before the cursor that stands in quotes, and the quote is open.
local function in_quotes(before)
  local open
  local at = 1
  while at <= #before do
    local char = before:sub(at, at)
    if open and char == "\\" then
      at = at + 1
    elseif open and char == before:sub(open, open) then
      open = nil
    elseif not open and (char == '"' or char == "'") then
      open = at
    end
    at = at + 1
  end
  return open and before:sub(open + 1)
end

--- What may stand at a cursor.
---@param environment table
---@param text string
---@param cursor integer|nil bytes before it; default: all
---@param options { special: table<table, fun(): string[]>, texts: fun(prefix: string): string[],
---   calls: table<string, table> } special: names of fields of tables that make them when asked; texts: what may stand in
---   quotes; calls: the methods of what a function gives
---@return integer from bytes before the word that is completed
---@return string[] candidates whole words
function M.at(environment, text, cursor, options)
  local before = text:sub(1, cursor or #text)
  local quoted = in_quotes(before)
  if quoted then return #before - #quoted, finish(options.texts(quoted), quoted) end
  local path, separator, prefix = before:match "([%a_][%w_.:]*)([.:])([%w_]*)$"
  if path then return #before - #prefix, of_path(environment, path, separator, prefix, options.special) end
  local call, method = before:match "([%a_][%w_]*)%b():([%w_]*)$"
  if call and options.calls[call] then return #before - #method, finish(names_of(options.calls[call], true), method) end
  if before:find "[.:][%w_]*$" and not before:find "%.%.[%w_]*$" then return #before, {} end
  prefix = before:match "[%a_][%w_]*$" or ""
  if prefix == "" and before:find "%S$" and before:find "[%w_%)%]\"']$" then return #before, {} end
  return #before - #prefix, globals(environment, prefix)
end

return M
