--- The tools that an MCP server says it has, checked: names, sizes, schemas. What does not fit is left out, and the log
--- says why; a schema that only weir cannot check is kept, and the server checks what it is given.
---
--- Parameters marked with `x-mcp-header` go into headers as well, for what stands between: revision 2026-07-28,
--- "Streamable HTTP". Pure; never yields.

local json = require "weir.native.json"
local messages = require "weir.mcp.messages"
local schema = require "weir.schema"

local M = {}

local NAME = "^[%w_.-]+$"
local NAME_BYTES = 128
local DESCRIPTION_BYTES = 64 * 1024
local SCHEMA_BYTES = 256 * 1024
local DEPTH = 32 -- of properties with headers
local TOKEN = "^[%w!#$%%&'*+.^_`|~-]+$"
local HEADER_TYPES = { string = true, integer = true, boolean = true }

---@class weir.mcp.Tool
---@field name string
---@field title string|nil
---@field description string
---@field parameters table    JSON Schema of its arguments
---@field output table|nil    JSON Schema of its structured result
---@field annotations table   hints of the server, not to be trusted
---@field validate weir.Validator|nil of the arguments; nil when weir cannot read the schema
---@field validate_output weir.Validator|nil
---@field headers { path: string[], name: string }[] parameters that go into headers

-- Marks of headers -------------------------------------------------------------------------------------

local function refuse_mark(place, what)
  return nil, ("%s: x-mcp-header %s"):format(#place > 0 and table.concat(place, ".") or "the schema", what)
end

local function note_mark(node, place, found)
  local name, kind = node["x-mcp-header"], node.type
  if #place == 0 or not found.is_reachable then return refuse_mark(place, "is for properties only") end
  if type(name) ~= "string" or not name:find(TOKEN) then return refuse_mark(place, "is no name of a header") end
  if not HEADER_TYPES[kind] then return refuse_mark(place, "is for string, integer and boolean only") end
  if found.seen[name:lower()] then return refuse_mark(place, ("has the name '%s' a second time"):format(name)) end
  found.seen[name:lower()] = true
  found[#found + 1] = { path = table.move(place, 1, #place, 1, {}), name = name }
  return true
end

local visit

local function visit_properties(properties, place, found)
  for name, inner in pairs(properties) do
    place[#place + 1] = tostring(name)
    local ok, why = visit(inner, place, found)
    place[#place] = nil
    if not ok then return nil, why end
  end
  return true
end

-- What is below any other keyword cannot be found in the arguments by its path.
local function visit_rest(node, place, found)
  local was = found.is_reachable
  found.is_reachable = false
  for keyword, inner in pairs(node) do
    if keyword ~= "properties" and type(inner) == "table" then
      local ok, why = visit(inner, place, found)
      if not ok then return nil, why end
    end
  end
  found.is_reachable = was
  return true
end

function visit(node, place, found)
  if type(node) ~= "table" then return true end
  if #place > DEPTH then return refuse_mark(place, "lies too deep") end
  if node["x-mcp-header"] ~= nil then
    local ok, why = note_mark(node, place, found)
    if not ok then return nil, why end
  end
  if messages.is_object(node.properties) then
    local ok, why = visit_properties(node.properties, place, found)
    if not ok then return nil, why end
  end
  return visit_rest(node, place, found)
end

--- The parameters of a schema that go into headers.
---@param parameters table
---@return { path: string[], name: string }[]|nil
---@return string|nil why the marks make the tool invalid
function M.marks(parameters)
  local found = { seen = {}, is_reachable = true }
  local ok, why = visit(parameters, {}, found)
  if not ok then return nil, why end
  return table.move(found, 1, #found, 1, {})
end

local function at_path(arguments, path)
  local value = arguments
  for _, name in ipairs(path) do
    if type(value) ~= "table" then return nil end
    value = value[name]
  end
  return value
end

local function text_of(value)
  if type(value) == "string" then return value end
  if type(value) == "boolean" then return tostring(value) end
  local whole = type(value) == "number" and math.tointeger(value)
  if whole and whole >= -(1 << 53) and whole <= 1 << 53 then return ("%d"):format(whole) end
end

local function encoded(text)
  local is_plain = text:find "^[\x20-\x7E\t]+$" and not text:find "^%s" and not text:find "%s$" and not text:find "^=%?base64%?.*%?=$"
  if is_plain then return text end
  return "=?base64?" .. require("weir.native.digest").to_base64(text) .. "?="
end

--- The headers that go with a call.
---@param tool weir.mcp.Tool
---@param arguments table
---@return table<string, string>
function M.headers(tool, arguments)
  local headers = {}
  for _, mark in ipairs(tool.headers) do
    local text = text_of(at_path(arguments, mark.path))
    if text then headers["mcp-param-" .. mark.name] = encoded(text) end
  end
  return headers
end

-- Tools -------------------------------------------------------------------------------------------------

-- Servers name the dialect that their library writes; what tools say is common to all of them.
local function compile(given)
  local copy = {}
  for name, value in pairs(given) do copy[name] = value end
  copy["$schema"] = nil
  local ok, validate, why = pcall(schema.compile, copy)
  if not ok then return nil, tostring(validate) end
  return validate, why
end

local function check_schema(given, what)
  if not messages.is_object(given) then return nil, ("its %s is no object"):format(what) end
  if given.type ~= "object" then return nil, ("its %s is not of type object"):format(what) end
  local text, why = json.encode(given, { max_bytes = SCHEMA_BYTES })
  if not text then return nil, ("its %s: %s"):format(what, why) end
  return true
end

local function check_text(given, what, limit)
  if given == nil or given == json.null then return true end
  if type(given) ~= "string" then return nil, ("its %s is no text"):format(what) end
  if #given > limit then return nil, ("its %s has more than %d bytes"):format(what, limit) end
  return true
end

local function first_problem(raw)
  if type(raw.name) ~= "string" or not raw.name:find(NAME) or #raw.name > NAME_BYTES then
    return ("its name is not 1 to %d of A-Z a-z 0-9 _ - ."):format(NAME_BYTES)
  end
  for _, check in ipairs {
    { check_text(raw.title, "title", DESCRIPTION_BYTES) }, { check_text(raw.description, "description", DESCRIPTION_BYTES) },
    { check_schema(raw.inputSchema, "inputSchema") }, { raw.outputSchema == nil or check_schema(raw.outputSchema, "outputSchema") },
  } do
    if not check[1] then return check[2] or "its outputSchema does not fit" end
  end
end

local function text_or(value, other)
  return type(value) == "string" and value or other
end

--- Checks what a server says of one tool.
---@param raw any
---@param about { marks: boolean, note: fun(tool: string, what: string) } marks: wrong marks of headers make it invalid;
---   note: hears what weir cannot check
---@return weir.mcp.Tool|nil
---@return string|nil why
function M.check(raw, about)
  if not messages.is_object(raw) then return nil, "it is no object" end
  local problem = first_problem(raw)
  if problem then return nil, problem end
  local marks, why = M.marks(raw.inputSchema)
  if not marks and about.marks then return nil, why end
  local tool = { name = raw.name, title = text_or(raw.title), description = text_or(raw.description, ""), parameters = raw.inputSchema,
    output = raw.outputSchema, annotations = messages.object(raw.annotations), headers = marks or {} }
  tool.validate, why = compile(raw.inputSchema)
  if not tool.validate then about.note(raw.name, "its arguments are not checked here: " .. why) end
  if raw.outputSchema then
    tool.validate_output, why = compile(raw.outputSchema)
    if not tool.validate_output then about.note(raw.name, "its structured output is not checked here: " .. why) end
  end
  return tool
end

-- Results -----------------------------------------------------------------------------------------------

local function is_text(value) return type(value) == "string" end

local SHAPES = {
  text = function(block) return is_text(block.text) end,
  image = function(block) return is_text(block.data) and is_text(block.mimeType) end,
  audio = function(block) return is_text(block.data) and is_text(block.mimeType) end,
  resource_link = function(block) return is_text(block.uri) end,
  resource = function(block)
    local resource = messages.object(block.resource)
    return is_text(resource.uri) and (is_text(resource.text) or is_text(resource.blob))
  end,
}

local function check_content(content)
  if content == nil then return true end
  if type(content) ~= "table" or not (json.is_list(content) or next(content) == nil) then return nil, "content is no list" end
  for index, block in ipairs(content) do
    local shape = messages.is_object(block) and SHAPES[block.type]
    if not messages.is_object(block) or not is_text(block.type) or shape and not shape(block) then
      return nil, ("content[%d] is no block of content"):format(index - 1)
    end
  end
  return true
end

---@class weir.mcp.Result
---@field content table[]   blocks {type = "text", text} | {type = "image"|"audio", data, mimeType} | {type = "resource_link", uri}
---   | {type = "resource", resource}, and others that a server may have
---@field structured any|nil
---@field is_error boolean  the tool says that it did not work; content tells the model why

--- Checks the result of a call.
---@param raw table
---@param tool weir.mcp.Tool|nil
---@return weir.mcp.Result|nil
---@return string|nil why
---@return string|nil code `failed`, `invalid` (structured output that its own schema refuses)
function M.result(raw, tool)
  local ok, why = check_content(raw.content)
  if not ok then return nil, why, "failed" end
  if raw.isError ~= nil and type(raw.isError) ~= "boolean" then return nil, "isError is no boolean", "failed" end
  if raw.content == nil and raw.structuredContent == nil then return nil, "it has no content", "failed" end
  local result = { content = json.list(raw.content or {}), structured = raw.structuredContent, is_error = raw.isError == true }
  if tool and tool.validate_output and not result.is_error then
    if result.structured == nil then return nil, "its structured output is missing", "invalid" end
    local fits, errors = tool.validate_output(result.structured, "structured output")
    if not fits then return nil, errors[1].message, "invalid" end
  end
  return result
end

return M
