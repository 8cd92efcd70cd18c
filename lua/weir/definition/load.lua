--- Loads a definition: a file or text in Lua, YAML or JSON, or a value, becomes a checked normal form,
--- or all its errors with their places. Never yields, unless the given `load_lua` does.

local build = require "weir.definition.build"
local check = require "weir.definition.check"
local hash = require "weir.native.hash"
local json = require "weir.native.json"
local normal = require "weir.definition.normal"
local source = require "weir.source"
local value_of = require "weir.value"

local M = {}

local BYTES_MAX = 16 * 1024 * 1024
local FORMATS = { lua = "lua", yaml = "yaml", yml = "yaml", json = "json" }

local function one(file, message, code, where)
  local entry = { file = file, code = code or "invalid", message = message }
  if where then entry.line, entry.column = where.line, where.column end
  return nil, { entry }
end

local function without_place(message)
  return (message:gsub("^line %d+, column %d+: ", ""))
end

-- A Lua error message says file and line at its start.
local function lua_error(file, message)
  local text = tostring(message)
  local where, line, rest = text:match("^(.-):(%d+): (.*)$")
  if not where then return one(file, text) end
  return one(where, rest, "invalid", { line = tonumber(line) })
end

local function run_lua(file, text)
  local chunk, message = load(text, "@" .. file, "t")
  if not chunk then error(message, 0) end
  return chunk()
end

local function unfinished(value, file)
  local place = { line = value.line or nil }
  return one(value.file or file, build.label(value) .. " is unfinished: its table {...} is missing", "invalid", place)
end

local function describe(value)
  if value == nil then return "nothing" end
  if build.is_node(value) then return "a " .. (value.kind or value.type) end
  return "a " .. type(value)
end

local function read_lua(file, text, options)
  local ok, value, message = pcall(options.load_lua or run_lua, file, text)
  if not ok then return lua_error(file, value) end
  if value == nil and message then return lua_error(file, message) end
  local sources = source.new(file)
  if build.is_unfinished(value) then return unfinished(value, file) end
  local is_definition = build.is_node(value) and (value.type == "pipeline" or value.type == "flow")
  if not is_definition and (type(value) ~= "table" or build.is_node(value)) then
    local place = build.is_node(value) and value or nil
    local what = "returns %s; a definition file returns weir.pipeline or weir.flow"
    return one(file, what:format(describe(value)), "invalid", place)
  end
  return value, sources
end

local function read_yaml(file, text)
  local value, sources, code, where = require("weir.definition.yaml").decode(text, file)
  if value == nil then return one(file, without_place(sources), code, where) end
  return value, sources
end

local function read_json(file, text)
  local value, message, code, where = json.decode(text)
  if value == nil then return one(file, without_place(message), code, where) end
  return value, source.of_json(file, text, value, json.decode)
end

local READ = { lua = read_lua, yaml = read_yaml, json = read_json }

local function read_file(file)
  local handle, message = io.open(file, "rb")
  if not handle then
    local code = message:find("No such file") and "not_found" or "unavailable"
    return one(file, message:gsub("^.-: ", "", 1), code)
  end
  local text, why = handle:read(BYTES_MAX + 1)
  handle:close()
  if why then return one(file, why, "unavailable") end
  return text or ""
end

---@class weir.Definition
---@field kind "pipeline"|"flow"
---@field name string
---@field file string|nil
---@field normal table          the normal form; a flow's has no groups
---@field version string|nil    of a declared pipeline: SHA-256 of its canonical normal form, hexadecimal;
---   of a flow nil: whoever knows its sources fills it in
---@field body function|nil     a flow's program
---@field sources weir.Sources  where what stands

-- Something with one field wrong need not be told wrong in the same field twice.
local function merged(errors, more)
  local told = {}
  for _, entry in ipairs(errors) do told[("%s:%s"):format(entry.line, entry.field)] = true end
  for _, entry in ipairs(more) do
    if not told[("%s:%s"):format(entry.line, entry.field)] then errors[#errors + 1] = entry end
  end
  check.sort(errors)
  return errors
end

local function finish(value, sources, options)
  local is_flow = build.is_node(value) and value.type == "flow"
  local data, errors, mended = normal.pipeline(value, sources)
  local checked = data or mended
  local more = checked and check.check(checked, sources, { modules = options.modules, flow = is_flow }) or {}
  errors = merged(errors or {}, more)
  if #errors > 0 then return nil, errors end
  local definition = { kind = is_flow and "flow" or "pipeline", name = data.name, file = sources.file }
  definition.normal, definition.sources = data, sources
  local version, message, code = M.version(data)
  if not version then return one(sources.file, message, code, sources:place(data)) end
  if is_flow then
    definition.body = value.body
  else
    definition.version = version
  end
  return definition
end

--- The version of a declared pipeline: the SHA-256 of its canonical normal form.
---@param data table  normal form
---@return string|nil hexadecimal
---@return string? message  what in it no file can hold: text that is not UTF-8, or nested too deep
---@return string? code     invalid
function M.version(data)
  local text, message = json.encode(data, { canonical = true })
  if text then return hash.sha256(text) end
  return nil, "cannot be written down: " .. message, "invalid"
end

local function format_of(file, options)
  if options.format then return FORMATS[options.format] end
  return FORMATS[(file:match("%.(%w+)$") or ""):lower()]
end

local function unreadable(text)
  if #text > BYTES_MAX then return ("is larger than %d bytes"):format(BYTES_MAX), "limit" end
  if text:sub(1, 4) == "\27Lua" then return "is compiled Lua; a definition is source text" end
  local _, wrong_at = utf8.len(text)
  if wrong_at then return ("is not valid UTF-8 at byte %d"):format(wrong_at) end
  if not text:find("%S") then return "is empty; a definition is expected" end
end

---@class weir.LoadOptions
---@field text string|nil      instead of reading the file
---@field format string|nil    lua, yaml, json; instead of the extension
---@field load_lua nil|fun(file: string, text: string): any  runs a Lua definition and gives what it
---   returns (raises, or gives nil and a message); without it the text runs with the global environment
---@field modules weir.Lookup|nil  see `check.check`

--- Loads a definition from a file, or from text under a file's name.
---@param file string  its extension tells the format: .lua, .yaml, .yml, .json
---@param options? weir.LoadOptions
---@return weir.Definition|nil
---@return weir.DefinitionError[]? errors  all of them; codes invalid, not_found, limit, unavailable
function M.load(file, options)
  if type(file) ~= "string" then error("file: a string expected, got a " .. type(file), 2) end
  options = options or {}
  local format = format_of(file, options)
  if not format then return one(file, "is no .lua, .yaml, .yml or .json file") end
  local text, errors = options.text, nil
  if not text then text, errors = read_file(file) end
  if not text then return nil, errors end
  local wrong, code = unreadable(text)
  if wrong then return one(file, wrong, code) end
  local value, sources = READ[format](file, text, options)
  if value == nil then return nil, sources end
  return finish(value, sources, options)
end

--- Makes a definition of a value: what `weir.pipeline` or `weir.flow` built, or plain data such as a
--- planner's.
---@param value weir.Node|table
---@param options? { file: string?, modules: weir.Lookup? }
---@return weir.Definition|nil
---@return weir.DefinitionError[]? errors
function M.value(value, options)
  options = options or {}
  if build.is_unfinished(value) then return unfinished(value, options.file) end
  if build.is_node(value) and value.type ~= "pipeline" and value.type ~= "flow" then
    return one(value.file, "a pipeline or a flow expected, got " .. describe(value), "invalid", value)
  end
  if type(value) ~= "table" then return one(options.file, "a pipeline expected, got " .. value_of.show(value)) end
  return finish(value, source.new(options.file), options)
end

return M
