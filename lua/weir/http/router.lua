--- Routes are data; this finds the one that is meant, and reads what it takes.
---
---     { method = "POST", path = "/api/runs/{id}/signal", role = "run", doc = "...", accepts = "application/json",
---       query = { wait = schema }, body = schema, answers = { [202] = { schema = ..., doc = "..." } }, handler = function(call) ... end }
---
--- role: who may (see weir.http.access), `public`, or `signed` where the handler checks a signature over the raw body.
--- accepts: the one content type of a body (or a list); a route without it takes no body. query, body: JSON Schemas; a
--- parameter or a field that they do not name is refused.

local json = require "weir.native.json"
local problem = require "weir.http.problem"
local schema_of = require "weir.schema"
local suggest = require "weir.suggest"

local M = {}

local BODY_DEPTH = 64

---@class weir.Route
---@field method string
---@field path string       with `{name}` for a segment
---@field role "public"|"signed"|"read"|"run"|"decide"|"admin"
---@field accepts string|string[]|nil
---@field query table<string, table>|nil
---@field body table|nil
---@field is_raw boolean|nil the handler reads the body itself
---@field limit_status integer|nil what answers `limit`; 429 where it is left out
---@field needs_body boolean|nil a body that is not there is no {}: any JSON is taken
---@field answers table<integer, { doc: string, schema: table|nil, type: string|nil }>
---@field doc string
---@field refusal nil|fun(problem: table): table makes something else of the problem details of a refusal
---@field handler fun(call: weir.Call): integer|nil, any, table<string, string>|nil

---@class weir.Router
local Router = {}
Router.__index = Router

local function set(list)
  local is = {}
  for _, name in ipairs(type(list) == "table" and list or { list }) do is[name] = true end
  return is
end

local function compiled(schema, where)
  if schema == nil then return nil end
  local check, message = schema_of.compile(schema, { trusted = true })
  if not check then error(("route %s: %s"):format(where, message), 0) end
  return check
end

local function prepare(route)
  local where = route.method .. " " .. route.path
  route.is_accepted = route.accepts and set(route.accepts)
  route.check_body = not route.is_raw and compiled(route.body, where) or nil
  route.check_query = {}
  for name, schema in pairs(route.query or {}) do route.check_query[name] = compiled(schema, where) end
end

local function place(node, route)
  local names = {}
  for part in route.path:gmatch "/([^/]*)" do
    local name = part:match "^{(.+)}$"
    if name then
      names[#names + 1] = name
      node.any = node.any or { literal = {} }
      node = node.any
    else
      node.literal[part] = node.literal[part] or { literal = {} }
      node = node.literal[part]
    end
  end
  route.names = names
  node.methods = node.methods or {}
  if node.methods[route.method] then error(("route %s %s stands there twice"):format(route.method, route.path), 0) end
  node.methods[route.method] = route
end

--- A router.
---@param routes weir.Route[]
---@return weir.Router
function M.new(routes)
  local self = setmetatable({ routes = routes, root = { literal = {} } }, Router)
  for _, route in ipairs(routes) do
    prepare(route)
    place(self.root, route)
  end
  return self
end

local function walk(node, segments, at, values)
  local segment = segments[at]
  if segment == nil then return node.methods and node end
  local literal = node.literal[segment]
  local found = literal and walk(literal, segments, at + 1, values)
  if found then return found end
  if not node.any or segment == "" then return nil end
  values[#values + 1] = segment
  found = walk(node.any, segments, at + 1, values)
  if not found then values[#values] = nil end
  return found
end

local function allowed(methods)
  local names = {}
  for name in pairs(methods) do names[#names + 1] = name end
  if methods.GET then names[#names + 1] = "HEAD" end
  table.sort(names)
  return table.concat(names, ", ")
end

--- The route of a method and a path.
---@param method string
---@param segments string[]
---@return weir.Route|nil
---@return table params by name; or the refusal to be raised
function Router:find(method, segments)
  local values = {}
  local node = walk(self.root, segments, 1, values)
  if not node then return nil, problem.new(404, "not_found", "there is no such path; /api/openapi.json lists them") end
  local route = node.methods[method] or method == "HEAD" and node.methods.GET
  if not route then
    local err = problem.new(405, "invalid", "this path does not take %s", method)
    err.headers = { Allow = allowed(node.methods) }
    return nil, err
  end
  local params = {}
  for index, name in ipairs(route.names) do params[name] = values[index] end
  return route, params
end

-- What a request brings ------------------------------------------------------------------------------

local READERS = { integer = function(text) return math.tointeger(text:find "^%-?%d+$" and tonumber(text) or nil) end,
  number = function(text) return text:find "^%-?%d+%.?%d*$" and tonumber(text) or nil end,
  boolean = function(text)
    if text == "true" then return true end
    if text == "false" then return false end
  end }

local function value_of(text, schema)
  local read = READERS[schema.type]
  local value = read and read(text)
  if value == nil then return text end
  return value
end

local function refuse(message, details)
  local err = problem.new(422, "invalid", "%s", message)
  err.details = details
  error(err, 0)
end

--- The query as the route takes it. Raises what answers with 422.
---@param route weir.Route
---@param given table<string, string>
---@return table<string, any>
function M.query(route, given)
  local query = {}
  for name, text in pairs(given) do
    local check = route.check_query[name]
    if not check then
      local names = {}
      for known in pairs(route.check_query) do names[#names + 1] = known end
      refuse(("the query gives '%s', which is not known here%s"):format(name, suggest.hint(name, names)))
    end
    local value = value_of(text, route.query[name])
    local fits, errors = check(value, name)
    if not fits then refuse(errors[1].message, errors) end
    query[name] = value
  end
  return query
end

local function media_type(given)
  local name, rest = given:match "^%s*([^;%s]+)%s*(.*)$"
  return name and name:lower(), rest
end

-- Only UTF-8 is JSON; another charset that is named is refused before anything is read.
local function check_charset(rest)
  local charset = rest and rest:lower():match 'charset%s*=%s*"?([^";%s]+)'
  if charset and charset ~= "utf-8" then problem.raise(415, "invalid", "charset %s: this server takes utf-8", charset) end
end

--- Whether the body that came is of the type that the route takes. Raises what answers with 415, and 400 for two types.
---@param route weir.Route
---@param given string|nil the header
---@param count integer|nil
---@return string|nil type
function M.content_type(route, given, count)
  if count and count > 1 then problem.raise(400, "invalid", "Content-Type is given more than once") end
  local name, rest = media_type(given or "")
  if not route.is_accepted or not (route.is_accepted["*"] or route.is_accepted[name]) then
    local wanted = type(route.accepts) == "table" and table.concat(route.accepts, " or ") or route.accepts
    problem.raise(415, "invalid", "%s", wanted and ("the body must be %s, got %s"):format(wanted, name or "no Content-Type")
      or "this path takes no body")
  end
  check_charset(rest)
  return name
end

--- The body as the route takes it. Raises what answers with 400 (no JSON) or 422 (it does not fit).
---@param route weir.Route
---@param text string
---@return any
function M.body(route, text)
  local value, message = json.decode(text, { max_depth = BODY_DEPTH })
  if value == nil then problem.raise(400, "invalid", "the body is not JSON: %s", message) end
  local check = route.check_body
  if check then
    local fits, errors = check(value, "body")
    if not fits then refuse(errors[1].message, errors) end
  end
  return value
end

return M
