--- What a step offers to a model: tools by the names that the model sees, each with the schema of its arguments and whether it
--- has consequences. Where a tool comes from (an agent, a pipeline, an MCP server, a function) is known here and not to the
--- model. The list is made once for a step.

local failure = require "weir.failure"
local json = require "weir.native.json"
local schema = require "weir.schema"
local suggest = require "weir.suggest"

local M = {}

local NAME_MAX = 64 -- characters that every provider takes

---@class weir.Tool
---@field name string            as the model sees it
---@field source "agent"|"pipeline"|"mcp"|"function"
---@field of string              agent, pipeline, or server
---@field tool string|nil        of the server
---@field call function|nil      of a function
---@field description string
---@field parameters table       JSON Schema
---@field has_consequences boolean a person lets each call through that was asked for by what nobody vouches for
---@field is_trusted boolean     what it gives comes from where nobody could have put instructions for the model
---@field approve_if string|nil  condition on its arguments, where the conversation is trusted
---@field sticky boolean|nil     one yes lets later calls of the same run through
---@field options table|nil

local function name_of(text)
  return (text:gsub("[^%w_-]", "_"):sub(1, NAME_MAX))
end

local function parameters_of(declared)
  if declared == nil then return { type = "object" } end
  local whole, message = schema.object(declared)
  if not whole then failure.raise("invalid", "%s", message) end
  return whole
end

local RESOLVE = {}

function RESOLVE.agents(project, name)
  local entry, err = project.registry:lookup("agent", name)
  if not entry then error(err, 0) end
  local module = entry.module
  return { { source = "agent", of = name, name = name, description = module.doc or name, parameters = parameters_of(module.needs),
    has_consequences = module.has_consequences == true, is_trusted = false, options = module.tool_options } }
end

function RESOLVE.pipelines(project, name)
  local definition, err = project:pipeline(name)
  if not definition then error(err, 0) end
  local data = definition.normal
  return { { source = "pipeline", of = name, name = name, description = data.doc or name, parameters = parameters_of(data.input),
    has_consequences = true, is_trusted = false } }
end

-- What a server says of its tools is no reason to trust it: the owner may say that one has no consequences.
local function mcp_tool(server, tool)
  return { source = "mcp", of = server, tool = tool.name, name = server .. "_" .. tool.name, description = tool.description,
    parameters = tool.parameters, has_consequences = true, is_trusted = false }
end

function RESOLVE.mcp(_, rest, tools_of)
  local server, wanted = rest:match "^([^/]+)/(.+)$"
  if not server then failure.raise("invalid", "tool 'mcp/%s': write mcp/SERVER/TOOL, or mcp/SERVER/* for all", rest) end
  local found, names = {}, {}
  for _, tool in ipairs(tools_of(server)) do
    names[#names + 1] = tool.name
    if wanted == "*" or tool.name == wanted then found[#found + 1] = mcp_tool(server, tool) end
  end
  if #found == 0 and wanted ~= "*" then
    failure.raise("not_found", "MCP server '%s' has no tool '%s'%s", server, wanted, suggest.hint(wanted, names))
  end
  return found
end

local function resolve(project, name, tools_of)
  local folder, rest = name:match "^(%a+)/(.+)$"
  if not folder then folder, rest = "agents", name end
  local found = RESOLVE[folder]
  if not found then failure.raise("not_found", "tool '%s': write an agent, agents/NAME, pipelines/NAME or mcp/SERVER/TOOL", name) end
  return found(project, rest, tools_of)
end

-- A tool that is a function of the one who asks.
local function of_function(given)
  if type(given.name) ~= "string" or type(given.call) ~= "function" then
    failure.raise("invalid", "a tool is a name, or a table {name, description, parameters, call = function(ctx, arguments)}")
  end
  return { { source = "function", of = given.name, name = given.name, call = given.call, description = given.description or "",
    parameters = parameters_of(given.parameters), has_consequences = given.has_consequences == true,
    is_trusted = given.is_trusted ~= false } }
end

local OVER = { "approve_if", "sticky", "options", "description", "has_consequences", "is_trusted" }

-- What the owner says goes over what the module says for models.
local function over(own, given)
  local options = {}
  for name, value in pairs(own or {}) do options[name] = value end
  for name, value in pairs(given) do options[name] = value end
  return options
end

local function with(tools, given)
  for _, tool in ipairs(tools) do
    for _, field in ipairs(OVER) do
      if given[field] ~= nil then tool[field] = field == "options" and over(tool.options, given.options) or given[field] end
    end
    if given.name and #tools == 1 then tool.name = given.name end
  end
  return tools
end

local function resolved(project, given, tools_of)
  if type(given) == "string" then return resolve(project, given, tools_of) end
  if given.use then return with(resolve(project, given.use, tools_of), given) end
  return with(of_function(given), given)
end

-- Names that providers take, each once.
local function add(list, seen, tool)
  local base = name_of(tool.name)
  local name, count = base, 1
  while seen[name] do
    count = count + 1
    name = ("%s_%d"):format(base:sub(1, NAME_MAX - 4), count)
  end
  seen[name], tool.name = true, name
  list[#list + 1] = tool
end

--- The tools that are offered. Waits where an MCP server is asked for its own. Raises `not_found`, `invalid`, `unavailable`.
---@param project weir.Project
---@param given any[] names, {use, approve_if, sticky, ...}, or functions {name, description, parameters, call}
---@param tools_of fun(server: string): table[] what an MCP server offers: {name, description, parameters}
---@return weir.Tool[]
function M.all(project, given, tools_of)
  local list, seen = {}, {}
  for _, one in ipairs(given) do
    for _, tool in ipairs(resolved(project, one, tools_of)) do add(list, seen, tool) end
  end
  return list
end

--- Tools as a request has them.
---@param tools weir.Tool[]
---@return table[]
function M.definitions(tools)
  local list = json.list {}
  for index, tool in ipairs(tools) do
    list[index] = { name = tool.name, description = tool.description, parameters = tool.parameters }
  end
  return list
end

--- What is wrong with the arguments of a call, or nil.
---@param tool weir.Tool
---@param call table {name, arguments} or {name, raw, problem}
---@return string|nil
function M.refusal(tool, call)
  if not call.arguments then return ("its arguments are no JSON object: %s"):format(call.problem or "there are none") end
  local validate, message = schema.compile(tool.parameters)
  if not validate then return "the schema of the tool cannot be read: " .. message end
  local fits, errors = validate(call.arguments, "arguments")
  if fits then return nil end
  local messages = {}
  for index, err in ipairs(errors) do messages[index] = err.message end
  return table.concat(messages, "; ")
end

return M
