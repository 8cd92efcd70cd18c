--- Values from the command line: the input of a run (--input, and --set over it), an answer (--answer).

local client = require "weir.serve.client"
local failure = require "weir.failure"
local json = require "weir.native.json"
local visible = require "weir.text.visible"

local M = {}

local INPUT_MAX = 16 << 20 -- bytes

local function read_all(handle, what, option)
  local text = handle:read(INPUT_MAX + 1)
  if text and #text > INPUT_MAX then failure.raise("invalid", "%s: %s is larger than %d bytes", option, what, INPUT_MAX) end
  return text or ""
end

local function read_file(path, option)
  local handle, message = io.open(client.path(path), "rb")
  if not handle then failure.raise("invalid", "%s: %s", option, message) end
  local text = read_all(handle, path, option)
  handle:close()
  return text
end

local ADVICE = {
  ["--input"] = "put one text with --set name=text, or a file with --input @FILE",
  ["--decide"] = "write --decide 'STEP={\"decision\": \"reject\"}'",
  ["--signal"] = "a text stands in quotation marks, --signal 'NAME=\"text\"'",
  JSON = "a text stands in quotation marks, '\"text\"', a file is @FILE",
  ["--input-override"] = "set one text with --set name=text, or give a file with --input-override @FILE",
  ["--answer"] = "a text stands in quotation marks, --answer '\"text\"', a file is --answer @FILE",
}

local function decode(text, what, option)
  local value, message = json.decode(text)
  if value == nil then failure.raise("invalid", "%s: %s is not JSON: %s; %s", option, what, message, ADVICE[option]) end
  return value
end

--- The value of --input or --answer: JSON, @FILE, or - for stdin. Raises `invalid`.
---@param given string|nil
---@param option "--input"|"--input-override"|"--answer"|nil for messages; default --input
---@return any
function M.read(given, option)
  option = option or "--input"
  if given == nil then return nil end
  if given == "-" then return decode(read_all(client.stdin(), "stdin", option), "stdin", option) end
  local path = given:match "^@(.+)$"
  if path then return decode(read_file(path, option), path, option) end
  return decode(given, "it", option)
end

local function types_of(schema)
  if type(schema) ~= "table" or schema.type == nil then return {} end
  local types = {}
  for _, name in ipairs(type(schema.type) == "table" and schema.type or { schema.type }) do types[name] = true end
  return types
end

local function json_or_text(text)
  local value = json.decode(text)
  if value == nil then return text end
  return value
end

--- The value that a text stands for under a schema: what the schema says; JSON if it says nothing and the
--- text is JSON; else text. What does not fit stays text, and the schema refuses it.
---@param text string
---@param schema table|boolean|nil
---@return any
function M.value(text, schema)
  local types = types_of(schema)
  if next(types) == nil then return json_or_text(text) end
  if types.string and not next(types, next(types)) then return text end
  local value = json.decode(text)
  local kind = value ~= nil and require("weir.value").kind(value)
  if kind and (types[kind] or kind == "integer" and types.number) then return value end
  if kind == "number" and types.integer and math.tointeger(value) then return value end -- 1.0 is an integer of JSON Schema
  return text
end

local function names_of(path)
  local names = {}
  for name in (path .. "."):gmatch "([^.]*)%." do
    if name == "" then failure.raise("invalid", "--set %s=...: an empty name; a.b=V expected", path) end
    names[#names + 1] = name
  end
  return names
end

local function property(schema, name)
  local properties = type(schema) == "table" and schema.properties
  return properties and properties[name] or nil
end

--- The schema of the value at a path of an input, if the input's schema says.
---@param schema table|nil
---@param path string a.b
---@return table|boolean|nil
function M.schema_at(schema, path)
  for _, name in ipairs(names_of(path)) do schema = property(schema, name) end
  return schema
end

--- What stands on both sides of the `=` of a setting. Raises `invalid`: with `message`, or where it is no UTF-8.
---@param setting string
---@param message string what was expected
---@return string path
---@return string text
function M.sides(setting, message)
  local path, text = setting:match "^([^=]+)=(.*)$"
  if not path then failure.raise("invalid", "--set %s: %s", setting, message) end
  local _, wrong = utf8.len(setting)
  if wrong then failure.raise("invalid", "--set %s: byte %d of it is not UTF-8", visible.utf8(path), wrong) end
  return path, text
end

local function set(input, schema, path, text)
  local names, at = names_of(path), input
  for index = 1, #names - 1 do
    schema = property(schema, names[index])
    if at[names[index]] == nil then at[names[index]] = {} end
    at = at[names[index]]
    if type(at) ~= "table" or json.is_list(at) then
      failure.raise("invalid", "--set %s=...: '%s' is no object", path, table.concat(names, ".", 1, index))
    end
  end
  at[names[#names]] = M.value(text, property(schema, names[#names]))
end

--- The whole input. Raises `invalid`.
---@param given string|nil of --input
---@param settings string[]|nil of --set, `a.b=V` each
---@param schema table|nil of the pipeline's input
---@return any
function M.build(given, settings, schema)
  local input = M.read(given)
  if input == nil then input = {} end
  for _, setting in ipairs(settings or {}) do
    local path, text = M.sides(setting, "name=value expected, such as --set name=Ada")
    if type(input) ~= "table" or json.is_list(input) then failure.raise("invalid", "--set %s: the input is no object", setting) end
    set(input, schema, path, text)
  end
  return input
end

local SAMPLE = { string = "...", integer = "3", number = "0.5", boolean = "true", array = "'[...]'", object = "'{...}'" }

-- `input.name is required (string)` is followed by what to type.
local function advice(entry, schema)
  local name = entry.keyword == "required" and entry.path:match "^input%.([%w_.-]+)$"
  if not name then return "" end
  local inner = schema
  for part in name:gmatch "[^.]+" do inner = property(inner, part) end
  local kind = type(inner) == "table" and type(inner.type) == "string" and inner.type or "string"
  return ("; try --set %s=%s"):format(name, SAMPLE[kind] or "...")
end

--- What is wrong with an input, as an error for the person who typed it.
---@param errors weir.SchemaError[]
---@param schema table|nil
---@return table err {code, message}
function M.refusal(errors, schema)
  local lines = {}
  for index, entry in ipairs(errors) do lines[index] = entry.message .. advice(entry, schema) end
  return failure.new("invalid", "%s", table.concat(lines, "\n"))
end

return M
