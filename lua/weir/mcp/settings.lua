--- What fits the setting `mcp`: servers of tools by name. Pure; never yields.

local suggest = require "weir.suggest"
local value_of = require "weir.value"

local M = {}

local NAME = "^%a[%w_-]*$"
local NAME_BYTES = 64
local VARIABLE = "^[^=\0]+$"
local TOKEN = "^[%w!#$%%&'*+.^_`|~-]+$"
local OWN_HEADERS = { accept = true, ["content-type"] = true, ["content-length"] = true, host = true, connection = true,
  ["transfer-encoding"] = true, ["last-event-id"] = true }
local ERAS = { modern = true, legacy = true }

local function text(value, what)
  if type(value) == "string" and value ~= "" and not value:find("\0", 1, true) then return true end
  return nil, ("%s: a text expected, got %s"):format(what, value_of.show(value))
end

local function list_of_texts(value, what)
  if type(value) ~= "table" or #value == 0 then
    return nil, ("%s: a list of texts expected, the program first, got %s"):format(what, value_of.show(value))
  end
  local count = 0
  for key, one in pairs(value) do
    count = count + 1
    if math.type(key) ~= "integer" then return nil, ("%s: a list expected; '%s' has no place in it"):format(what, tostring(key)) end
    local ok, why = text(one, ("%s[%d]"):format(what, key))
    if not ok and one ~= "" then return nil, why end
  end
  if count ~= #value then return nil, what .. ": a list without holes expected" end
  return true
end

local function seconds(value, what)
  if type(value) == "number" and value > 0 and value < math.huge then return true end
  return nil, ("%s: seconds above 0 expected, got %s"):format(what, value_of.show(value))
end

local function variable(name, value, what)
  if type(name) == "number" then
    if type(value) == "string" and value:find(VARIABLE) then return true end
    return nil, ("%s: a name that stands alone is a variable to hand down, got %s"):format(what, value_of.show(value))
  end
  if type(name) ~= "string" or not name:find(VARIABLE) then
    return nil, ("%s: '%s' is no name of a variable"):format(what, tostring(name))
  end
  if type(value) ~= "string" or value:find("\0", 1, true) then
    return nil, ("%s.%s: a text expected, got %s"):format(what, name, value_of.show(value))
  end
  if value:find "^secret://" then
    return nil, ("%s.%s: a secret goes into headers only; let `%s` stand alone to hand down the host's variable"):format(what, name, name)
  end
  return true
end

local function header(name, value, what)
  if type(name) ~= "string" or not name:find(TOKEN) then return nil, ("%s: '%s' is no name of a header"):format(what, tostring(name)) end
  local lower = name:lower()
  if OWN_HEADERS[lower] or lower:find "^mcp%-" then return nil, ("%s.%s: weir sets this header itself"):format(what, name) end
  for _, part in ipairs(type(value) == "table" and value or { value }) do
    if type(part) ~= "string" or part:find "[%c]" then
      return nil, ("%s.%s: a text on one line expected, or a list of texts of which some are secret://NAME, got %s"):format(what, name,
        value_of.show(part))
    end
  end
  return true
end

local function each(check)
  return function(value, what)
    if type(value) ~= "table" then return nil, ("%s: a table expected, got %s"):format(what, value_of.show(value)) end
    for name, one in pairs(value) do
      local ok, why = check(name, one, what)
      if not ok then return nil, why end
    end
    return true
  end
end

local function url(value, what)
  if type(value) == "string" and value:find "^https?://[^/%s@]+[^%s@]*$" then return true end
  return nil, ("%s: a URL such as https://example.org/mcp expected, without a user in it, got %s"):format(what, value_of.show(value))
end

local function era(value, what)
  if ERAS[value] then return true end
  return nil, ("%s: modern or legacy expected, got %s"):format(what, value_of.show(value))
end

local FIELDS = { command = list_of_texts, env = each(variable), cwd = text, url = url, headers = each(header), era = era, timeout = seconds,
  open_timeout = seconds }
local OF_COMMAND, OF_URL = { "env", "cwd" }, { "headers" }

local function check_fields(server, what)
  for name, value in pairs(server) do
    local check = FIELDS[name]
    if not check then
      return nil, ("%s: there is no field '%s'%s; there are %s"):format(what, tostring(name), suggest.hint(name, value_of.names(FIELDS)),
        table.concat(value_of.names(FIELDS), ", "))
    end
    local ok, why = check(value, what .. "." .. name)
    if not ok then return nil, why end
  end
  return true
end

local function check_server(server, what)
  if type(server) ~= "table" then return nil, ("%s: a table expected, got %s"):format(what, value_of.show(server)) end
  local ok, why = check_fields(server, what)
  if not ok then return nil, why end
  if (server.command == nil) == (server.url == nil) then return nil, what .. ": either `command` or `url` expected" end
  for _, name in ipairs(server.command and OF_URL or OF_COMMAND) do
    if server[name] ~= nil then
      return nil, ("%s.%s: only a server with a %s has it"):format(what, name, server.command and "url" or "command")
    end
  end
  return true
end

--- Checks the setting.
---@param value any
---@return table<string, weir.mcp.Settings>|nil
---@return string|nil message
---@return boolean|nil is_whole the message names the setting itself
function M.check(value)
  if type(value) ~= "table" then return nil, ("a table of servers by name expected, got %s"):format(value_of.show(value)) end
  for name in pairs(value) do
    if type(name) ~= "string" or not name:find(NAME) or #name > NAME_BYTES then
      return nil, ("'%s' is no name of a server: a letter, then letters, digits, _ and -, %d at most"):format(tostring(name), NAME_BYTES)
    end
  end
  for _, name in ipairs(value_of.names(value)) do
    local ok, why = check_server(value[name], "mcp." .. name)
    if not ok then return nil, why, true end
  end
  return value
end

return M
