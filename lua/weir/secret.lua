--- Secrets: keys and passwords that the host uses for a program without showing them to it. What Lua has is a handle, whose
--- tostring is `secret://NAME`; the value is put in by the host where it is sent (a header of an HTTP request). It stands in
--- no Lua string, record, log or message.
---
--- `secrets` in weir.lua says where each value comes from: { env = "VAR" }, { file = "path" } that nobody else may read, or
--- { command = { "pass", "show", "x" } }, whose first line of output it is. A name that stands not there is the variable of
--- the environment of that name. A value is loaded once, when it is used first.

local gate = require "weir.gate"
local native = require "weir.native.secret"
local variables = require "weir.secret.variables"

local M = {}

local COMMAND_SECONDS = 30
local COMMAND_BYTES = 65536 -- of what it prints

local sources, root = {}, "." -- of weir.lua; and the folder of its paths
local loading = {}            -- gates, by name, of commands under way

--- Takes the setting `secrets` of a project. Reads nothing. Does not wait.
---@param given table<string, { env: string?, file: string?, command: string[]? }>|nil checked
---@param folder string the project's, of which relative paths are told
function M.configure(given, folder)
  sources, root = given or {}, folder
  for name, source in pairs(sources) do
    if source.env then variables.hide(source.env, name) end
  end
end

--- A handle of a secret, whether there is a value for it or not. Raises when the name has other characters than letters,
--- digits and _-./, or more than 128. Does not wait.
---@param name string
---@return weir.SecretHandle
function M.handle(name)
  local handle = native.handle(name)
  if not sources[name] then variables.hide(name, name) end
  return handle
end

--- Whether a value is a handle.
---@param value any
---@return boolean
M.is_handle = native.is_handle

--- A text with `[secret NAME]` in the place of every value that was loaded and has 8 bytes or more. Does not wait.
---@param text string
---@return string
M.redact = native.redact

--- The same for one text that comes in pieces, in which a value may be spread over several: `filter:feed(piece)` gives what
--- may go on by now and holds back what may be the beginning of a value, `filter:finish()` gives the rest. Does not wait.
---@return weir.SecretFilter
M.filter = native.filter

-- Loading -----------------------------------------------------------------------------------------------

local function from_nowhere(handle, name)
  local done, message, code = native.from_environment(handle, name)
  if done then return true end
  if code ~= "not_found" then return nil, message end
  return nil, ("there is no such environment variable and weir.lua's `secrets` does not name it; set %s, or say where it is "
    .. "kept: secrets = { [\"%s\"] = { file = \"...\" } }"):format(name, name)
end

local function from_environment(handle, source)
  local done, message, code = native.from_environment(handle, source.env)
  if done then return true end
  return nil, code == "not_found" and message .. ", which weir.lua names for it; set it" or message
end

local function path_of(file)
  local home = file:match "^~(/.*)$"
  if home then return (os.getenv "HOME" or "") .. home end
  return file:sub(1, 1) == "/" and file or root .. "/" .. file
end

local function from_file(handle, source)
  return native.from_file(handle, path_of(source.file))
end

-- What it prints goes from its pipe into the host; what it says on stderr, which might quote it, to nobody.
local function from_command(handle, source)
  local output <close> = native.collector()
  local errors <close> = native.collector()
  local takers = { stdout = output, stderr = errors }
  local label = ("command '%s'"):format(source.command[1])
  local result, message = require("weir.port.process").run(source.command, { cwd = root, timeout = COMMAND_SECONDS,
    max_bytes = COMMAND_BYTES, take = function(stream, descriptor) return takers[stream]:take(descriptor) end })
  if not result then return nil, message end
  if result.status ~= 0 then
    return nil, ("%s ended with status %d; run it by hand to see why"):format(label, result.status)
  end
  return native.from_collector(handle, output, "the first line of what " .. label .. " prints")
end

local function load_value(handle, name)
  local source = sources[name]
  if not source then return from_nowhere(handle, name) end
  if source.env then return from_environment(handle, source) end
  if source.file then return from_file(handle, source) end
  return from_command(handle, source)
end

-- One at a time by name: those who come meanwhile look again.
local function load_alone(handle, name)
  while loading[name] do loading[name]:wait("the secret " .. name) end
  if native.is_loaded(handle) then return true end
  local own <close> = setmetatable({ gate = gate.new() }, { __close = function(self)
    loading[name] = nil
    self.gate:open()
  end })
  loading[name] = own.gate
  return load_value(handle, name)
end

--- Loads the value of a handle, unless it is there. Waits for a command, 30 seconds at most; blocks as the disk for a file.
---@param handle weir.SecretHandle
---@return true|nil
---@return string? message
---@return string? code `denied`: there is no value, or it may not be used
function M.load(handle)
  if native.is_loaded(handle) then return true end
  local name = native.name(handle)
  local done, message = load_alone(handle, name)
  if done then return true end
  return nil, ("secret '%s': %s"):format(name, message), "denied"
end

local function load_of_list(list)
  for _, part in ipairs(list) do
    if M.is_handle(part) then
      local done, message, code = M.load(part)
      if not done then return nil, message, code end
    end
  end
  return true
end

--- Loads every secret that stands in headers. Waits as `load`.
---@param headers table<string, any>|nil values: strings, handles, lists of both
---@return true|nil
---@return string? message
---@return string? code `denied`
function M.load_of_headers(headers)
  for _, value in pairs(type(headers) == "table" and headers or {}) do
    local done, message, code = load_of_list(type(value) == "table" and value or { value })
    if not done then return nil, message, code end
  end
  return true
end

--- Loads what costs nothing to load (variables and files that weir.lua names), so that it is known from the beginning what
--- is to be kept out of records. What cannot be loaded is told when it is used. Blocks as the disk.
function M.load_known()
  for name, source in pairs(sources) do
    if not source.command then M.load(M.handle(name)) end
  end
end

--- Has the value read again when it is used next, as after a key was changed. The old one is still kept out of texts.
---@param name string
function M.forget(name)
  native.forget(native.handle(name))
end

-- The setting -------------------------------------------------------------------------------------------

local KINDS = { env = true, file = true, command = true }
local EXAMPLE = "write where it comes from: { env = \"VAR\" }, { file = \"path\" } or { command = { \"pass\", \"show\", \"x\" } }"

local function is_text(value) return type(value) == "string" and value ~= "" and not value:find("\0", 1, true) end

local function is_command(value)
  if type(value) ~= "table" or not is_text(value[1]) then return false end
  for key, argument in pairs(value) do
    if math.type(key) ~= "integer" or key < 1 or key > #value or type(argument) ~= "string" then return false end
  end
  return true
end

local function source_problem(source)
  if type(source) ~= "table" then return "a table expected; " .. EXAMPLE end
  local kind = next(source)
  if not KINDS[kind] or next(source, kind) ~= nil then return "exactly one of env, file and command expected; " .. EXAMPLE end
  if kind == "command" then
    return not is_command(source.command) and "command: a program and its arguments expected, such as { \"pass\", \"show\", \"x\" }"
  end
  return not is_text(source[kind]) and kind .. ": a text expected"
end

--- Checks the setting `secrets`. What somebody wrote in the wrong place may be a key: no message quotes a value.
---@param value any
---@return table|nil
---@return string? wrong
function M.check(value)
  if type(value) ~= "table" then return nil, "a table expected, such as { OPENAI_API_KEY = { env = \"OPENAI_API_KEY\" } }" end
  for name, source in pairs(value) do
    if type(name) ~= "string" then return nil, "each secret has a name; " .. EXAMPLE end
    if not pcall(native.handle, name) then return nil, "a name has 1 to 128 letters, digits or any of _-./" end
    local problem = source_problem(source)
    if problem then return nil, ("%s: %s"):format(name, problem) end
  end
  return value
end

--- The setting as people may see it: of a command the program only.
---@param value table<string, table>
---@return table<string, string> by name, such as "file ~/.keys/openai"
function M.shown(value)
  local shown = {}
  for name, source in pairs(value) do
    local kind = next(source)
    shown[name] = ("%s %s"):format(kind, kind == "command" and source.command[1] or source[kind])
  end
  return shown
end

return M
