--- The description of all routes, made from the routes themselves (OpenAPI 3.1, https://spec.openapis.org/oas/v3.1.0). Pure.

local json = require "weir.native.json"
local problem = require "weir.http.problem"
local schemas = require "weir.http.schemas"

local M = {}

local JSON = "application/json"

local function parameters(route)
  local list = json.list {}
  for name in route.path:gmatch "{(.-)}" do
    list[#list + 1] = { name = name, ["in"] = "path", required = true, schema = { type = "string" } }
  end
  local names = {}
  for name in pairs(route.query or {}) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    list[#list + 1] = { name = name, ["in"] = "query", required = false, schema = route.query[name] }
  end
  return list
end

local function request_body(route)
  if not route.accepts then return nil end
  local content = {}
  for _, media in ipairs(type(route.accepts) == "table" and route.accepts or { route.accepts }) do
    content[media == "*" and "*/*" or media] = { schema = route.body or {} }
  end
  return { required = route.body ~= nil and route.body.required ~= nil, content = content }
end

local function answer(of)
  local shape = { description = of.doc }
  if of.type then
    shape.content = { [of.type] = { schema = { type = "string" } } }
  elseif of.schema then
    shape.content = { [JSON] = { schema = of.schema } }
  end
  return shape
end

local function responses(route)
  local list = { default = { description = "A refusal.", content = { [problem.content_type] = { schema = schemas.ref "Problem" } } } }
  for status, of in pairs(route.answers) do list[tostring(status)] = answer(of) end
  return list
end

local function name_of(route)
  local words = route.path:gsub("[{}]", ""):gsub("[^%w]+", "_"):gsub("^_", ""):gsub("_$", "")
  return route.method:lower() .. "_" .. words
end

local function operation(route)
  local of = { operationId = name_of(route), summary = route.doc, parameters = parameters(route), requestBody = request_body(route),
    responses = responses(route), ["x-weir-role"] = route.role }
  if route.role == "public" or route.role == "signed" then of.security = json.list {} end
  return of
end

--- The description.
---@param routes weir.Route[]
---@return table
function M.of(routes)
  local paths = {}
  for _, route in ipairs(routes) do
    paths[route.path] = paths[route.path] or {}
    paths[route.path][route.method:lower()] = operation(route)
  end
  return { openapi = "3.1.0", info = { title = "weir", version = require "weir.version",
      description = "Runs, approvals, events and documents of one host." }, paths = paths,
    components = { schemas = schemas.components, securitySchemes = { token = { type = "http", scheme = "bearer" } } },
    security = json.list { { token = json.list {} } } }
end

return M
