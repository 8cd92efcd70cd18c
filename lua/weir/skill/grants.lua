--- What the host does for a skill while it runs, as far as its manifest says so and a person has let it: reads of files,
--- requests, questions to a model, tools, the time. The skill asks over its pipe; every request is checked here, against the manifest,
--- whatever the skill has checked. Functions get one argument of plain data and give a value, or nil, message, code.

local files = require "weir.port.files"
local glob = require "weir.port.glob"

local M = {}

local BYTES = 512 << 10 -- of a file or an answer: both have to fit a frame
local SECONDS = 20      -- of one request

local function refuse(message, ...) return nil, message:format(...), "denied" end
local function wrong(message) return nil, message, "invalid" end

local function matcher(patterns)
  local compiled = {}
  for index, pattern in ipairs(patterns) do compiled[index] = assert(glob.compile(pattern)) end
  return function(path)
    for _, matches in ipairs(compiled) do
      if matches(path) then return true end
    end
    return false
  end
end

local MAKE = {}

function MAKE.files(ctx, grant, add)
  local is_granted = matcher(grant.read)
  add("read", function(path)
    if type(path) ~= "string" or path == "" or path:find "%z" then return wrong "read: a path, relative to the project, expected" end
    if path:sub(1, 1) == "/" or ("/" .. path .. "/"):find("/../", 1, true) or ("/" .. path .. "/"):find("/./", 1, true) then
      return refuse("read: '%s' is no plain path below the project", path:sub(1, 200))
    end
    if not is_granted(path) then return refuse("read: '%s' is not among the files that were granted", path:sub(1, 200)) end
    local real, message, code = files.below(ctx.root, path)
    if not real then return nil, message, code end
    return files.read(real, { max_bytes = BYTES, root = ctx.root })
  end)
end

local function has(list, value)
  for _, one in ipairs(list) do
    if one == value then return true end
  end
  return false
end

local function texts(given)
  local headers = {}
  if given == nil then return headers end
  if type(given) ~= "table" then return nil end
  for name, value in pairs(given) do
    if type(name) ~= "string" or type(value) ~= "string" then return nil end
    headers[name] = value
  end
  return headers
end

function MAKE.http(ctx, grant, add)
  local methods = grant.methods or { "GET" }
  add("http", function(asked)
    if type(asked) ~= "table" or type(asked.url) ~= "string" then return wrong "http: a table with url expected" end
    local method = asked.method == nil and "GET" or asked.method
    if not has(methods, method) then return refuse("http: the method %s was not granted", tostring(method):sub(1, 40)) end
    local headers = texts(asked.headers)
    if not headers then return wrong "http: headers are texts by name" end
    if asked.body ~= nil and type(asked.body) ~= "string" then return wrong "http: the body is a text" end
    return ctx:http { url = asked.url, method = method, headers = headers, body = asked.body, timeout = SECONDS, max_bytes = BYTES,
      hosts = grant.hosts, addresses = grant.addresses or "public" }
  end)
end

function MAKE.chat(ctx, grant, add)
  local left = grant.calls
  add("chat", function(asked)
    if type(asked) ~= "table" or type(asked.prompt) ~= "string" then return wrong "chat: a table with prompt expected" end
    if asked.system ~= nil and type(asked.system) ~= "string" then return wrong "chat: system is a text" end
    if left == 0 then return nil, ("chat: a model was asked %d times, as often as was granted"):format(grant.calls), "limit" end
    left = left - 1
    local response = ctx:chat { prompt = asked.prompt, system = asked.system }
    return { text = response.message.content }
  end)
end

function MAKE.tools(ctx, grant, add)
  add("tool", function(asked)
    if type(asked) ~= "table" or type(asked.name) ~= "string" then return wrong "tool: a table with name and input expected" end
    if not has(grant, asked.name) then return refuse("tool: '%s' was not granted", asked.name:sub(1, 200)) end
    return ctx:tool(asked.name, asked.input or {})
  end)
end

function MAKE.clock(ctx, _, add)
  add("now", function() return ctx:now() end)
end

-- The names that each grant gives to the skill's `ctx`.
M.methods = { files = { "read" }, http = { "http" }, chat = { "chat" }, tools = { "tool" }, clock = { "now" } }

--- The functions that a skill may call.
---@param ctx weir.Context of the step that uses the skill
---@param grants table|nil of its manifest
---@return table<string, fun(argument: any): any, string?, string?>
function M.functions(ctx, grants)
  local functions = {}
  for name, grant in pairs(grants or {}) do
    MAKE[name](ctx, grant, function(method, body) functions[method] = body end)
  end
  return functions
end

return M
