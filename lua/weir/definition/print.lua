--- Writes a normal form as YAML or JSON. The same definition gives the same text; what is written
--- reads back equal through `weir.definition.load`, but for zero bytes in YAML, which the reader
--- refuses. Pure; never yields.

local form = require "weir.definition.form"
local json = require "weir.native.json"
local value_of = require "weir.value"
local yaml = require "weir.definition.yaml"

local M = {}

local FLOW_WIDTH = 72 -- a list of words no wider is written on one line

-- Scalars ----------------------------------------------------------------------------------------

-- Words that readers of older YAML take for true and false.
local OLD_WORDS = { y = true, n = true, yes = true, no = true, on = true, off = true }

local function needs_escape(code)
  return code < 0x20 or code >= 0x7F and code <= 0x9F or code == 0x2028 or code == 0x2029 or code == 0xFEFF
    or code == 0xFFFE or code == 0xFFFF or code == 0xA0
end

local function has_escapes(text)
  for _, code in utf8.codes(text) do
    if needs_escape(code) then return true end
  end
  return false
end

local ESCAPES = { [0x09] = "\\t", [0x0A] = "\\n", [0x0D] = "\\r", [0x22] = '\\"', [0x5C] = "\\\\" }

local function quoted(text)
  local parts = { '"' }
  for _, code in utf8.codes(text) do
    parts[#parts + 1] = ESCAPES[code] or needs_escape(code) and ("\\u%04x"):format(code) or utf8.char(code)
  end
  parts[#parts + 1] = '"'
  return table.concat(parts)
end

local function is_plain(text)
  if not text:find("^[%w_$/\x80-\xff]") or text:find("[ \t]$") then return false end
  if text:find("[:#`\\\n\t]") or text:find("^%d%d%d%d%-") then return false end
  return not OLD_WORDS[text:lower()] and yaml.resolve(text) == text and not has_escapes(text)
end

local function scalar(value)
  if type(value) == "string" then return is_plain(value) and value or quoted(value) end
  return assert(json.encode(value))
end

local function key_text(key)
  return key == "on" and key or scalar(key)
end

-- Text of several lines as a literal block, where YAML keeps it unchanged.
local function is_block(text)
  if not text:find("\n", 1, true) or text:find("^[ \n]") or text:find("\n\n$") then return false end
  if text:find("\n +\n") or text:find("\n +$") then return false end
  return not has_escapes((text:gsub("\n", "")))
end

local function block(text, indent)
  local marker = text:sub(-1) == "\n" and "|" or "|-"
  local lines = {}
  for line in text:gsub("\n$", ""):gmatch("([^\n]*)\n?") do
    lines[#lines + 1] = line == "" and "" or indent .. line
  end
  if lines[#lines] == "" then lines[#lines] = nil end
  return marker .. "\n" .. table.concat(lines, "\n")
end

-- Lists and objects ------------------------------------------------------------------------------

local emit

-- Known fields in their order, then the others by name; of a trigger its watcher first.
local function ordered_names(value, def)
  local known, others, taken = {}, {}, {}
  for _, name in ipairs(form.order[def] or {}) do
    if value[name] ~= nil then
      known[#known + 1] = name
      taken[name] = true
    end
  end
  for _, name in ipairs(value_of.names(value)) do
    if not taken[name] then others[#others + 1] = name end
  end
  if def == "trigger" then known, others = others, known end
  return table.move(others, 1, #others, #known + 1, known)
end

local function flow_list(value)
  local parts, width = {}, 0
  for index = 1, #value do
    local item = value[index]
    if type(item) == "table" then return nil end
    if type(item) == "string" and not (item:find("^%a[%w_-]*$") and is_plain(item)) then return nil end
    parts[index] = scalar(item)
    width = width + #parts[index] + 2
  end
  return width <= FLOW_WIDTH and "[" .. table.concat(parts, ", ") .. "]" or nil
end

local function is_inline(value)
  return type(value) ~= "table" or next(value) == nil
end

local function inline(value, indent)
  if type(value) == "table" then return json.is_list(value) and "[]" or "{}" end
  if type(value) == "string" and is_block(value) then return block(value, indent) end
  return scalar(value)
end

local function emit_list(out, value, indent, def)
  for index = 1, #value do
    local item = value[index]
    if is_inline(item) then
      out[#out + 1] = ("%s- %s"):format(indent, inline(item, indent .. "  "))
    else
      local first = #out + 1
      emit(out, item, indent .. "  ", def)
      out[first] = indent .. "- " .. out[first]:sub(#indent + 3)
    end
  end
end

local function emit_field(out, name, value, indent, def)
  local key = indent .. key_text(name) .. ":"
  if is_inline(value) then
    out[#out + 1] = key .. " " .. inline(value, indent .. "  ")
    return
  end
  local flow = json.is_list(value) and flow_list(value)
  if flow then
    out[#out + 1] = key .. " " .. flow
    return
  end
  out[#out + 1] = key
  emit(out, value, indent .. "  ", def)
end

function emit(out, value, indent, def)
  if json.is_list(value) then return emit_list(out, value, indent, def) end
  for _, name in ipairs(ordered_names(value, def)) do
    emit_field(out, name, value[name], indent, form.child(def, name))
  end
end

local function to_yaml(data)
  local out = {}
  emit(out, data, "", "pipeline")
  return table.concat(out, "\n") .. "\n"
end

local function to_json(data)
  return assert(json.encode(data, { indent = 2 })) .. "\n"
end

local WRITE = { yaml = to_yaml, json = to_json }

--- Writes a normal form.
---@param data table    the normal form
---@param format "yaml"|"json"
---@return string text  ends in a newline
function M.print(data, format)
  local write = WRITE[format]
  if not write then error(("format: yaml or json expected, got '%s'"):format(tostring(format)), 2) end
  return write(data)
end

return M
