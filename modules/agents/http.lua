--- Makes one HTTP request, to hosts that the definition allows.

local json = require "weir.json"

local M = {
  kind = "agent", name = "http", api = 1, has_consequences = true,
  tool_options = { addresses = "public" }, -- a model does not reach into the house
  doc = "Makes one HTTP request",
  needs = { url = "string", method = "string?", headers = "object?", body = "any?" },
  gives = { status = "integer", headers = "object", body = "any" },
  options = {
    hosts = "string[]?",                 -- names that may be asked, "*.example.org" for all below one; without, any
    method = { type = "string", default = "GET" },
    headers = "object?",                 -- sent with every request, the input's over these
    secrets = "object?",                 -- headers with secrets, such as { authorization = "Bearer {API_KEY}" }; needs `hosts`
    json = { type = "boolean", default = false },       -- sends a table as JSON, reads the answer as JSON
    accept = { type = "string", default = "2xx" },      -- statuses that are no failure: "2xx", "2xx,404", "any"
    timeout = "number?",                 -- seconds in all
    max_bytes = { type = "integer", minimum = 0, default = 67108864 },
    addresses = { enum = { "any", "public", "loopback" }, default = "any" },
  },
}

local function host_of(url)
  local authority = type(url) == "string" and url:match("^[Hh][Tt][Tt][Pp][Ss]?://([^/?#\\]+)")
  if not authority then return nil end
  local host = authority:gsub("^.*@", "")
  return (host:match("^%[[^%]]*%]") or host:match("^[^:]*")):lower()
end

local function matches(host, pattern)
  pattern = pattern:lower()
  local below = pattern:match("^%*(%..+)$")
  if below then return #host > #below and host:sub(-#below) == below end
  return host == pattern
end

local function allowed(host, hosts)
  if not hosts then return true end
  for _, pattern in ipairs(hosts) do
    if matches(host, pattern) then return true end
  end
  return false
end

local function headers_of(ctx, input)
  local headers = {}
  if ctx.options.json then headers["accept"] = "application/json" end
  for _, from in ipairs({ ctx.options.headers or {}, input.headers or {} }) do
    for name, value in pairs(from) do headers[name:lower()] = value end
  end
  return headers
end

-- "Bearer {API_KEY}" as the parts of a header: texts and handles.
local function parts_of(ctx, text)
  local parts, from = {}, 1
  for before, name, after in text:gmatch "()%{([%w_./-]+)%}()" do
    if before > from then parts[#parts + 1] = text:sub(from, before - 1) end
    parts[#parts + 1] = ctx:secret(name)
    from = after
  end
  if from <= #text then parts[#parts + 1] = text:sub(from) end
  return parts
end

-- They go over all other headers, and nowhere but to the hosts that the definition names.
local function add_secrets(ctx, headers)
  local secrets = ctx.options.secrets
  if not secrets then return true end
  if not ctx.options.hosts then return nil, "http: the option 'secrets' needs 'hosts', so that no url takes them to anybody else" end
  for name, text in pairs(secrets) do
    if type(text) ~= "string" then return nil, ("http: secrets.%s must be a text such as 'Bearer {API_KEY}'"):format(name) end
    headers[name:lower()] = parts_of(ctx, text)
  end
  return true
end

local function body_of(ctx, input, headers)
  local body = input.body
  if type(body) == "string" or body == nil then return body, nil end
  if not ctx.options.json then
    return nil, "http: body must be a string; set the option 'json' to send a table"
  end
  headers["content-type"] = headers["content-type"] or "application/json"
  return json.encode(body)
end

local function status_fits(status, accept)
  if accept == "any" then return true end
  for form in accept:gmatch("[^,%s]+") do
    if ("%d"):format(status):find("^" .. form:gsub("x", "%%d") .. "$") then return true end
  end
  return false
end

local QUOTED = 200 -- bytes of an answer that a message quotes

local function shown(body)
  local line = body:sub(1, QUOTED):gsub("[\128-\191]*[\192-\255]?[\128-\191]*$", ""):gsub("[%c%s]+", " ")
  return line == "" and "" or ": " .. line
end

local function request_of(ctx, input)
  local host = host_of(input.url)
  if not host then
    return nil, ("http: url must begin with http:// or https:// and name a host, got '%s'"):format(tostring(input.url)),
      "invalid"
  end
  if not allowed(host, ctx.options.hosts) then
    return nil, ("http: host '%s' is not among the option 'hosts' (%s)")
      :format(host, table.concat(ctx.options.hosts, ", ")), "denied"
  end
  local headers = headers_of(ctx, input)
  local added, why = add_secrets(ctx, headers)
  if not added then return nil, why, "invalid" end
  local body, message = body_of(ctx, input, headers)
  if message then return nil, message, "invalid" end
  return {
    method = (input.method or ctx.options.method):upper(), url = input.url, headers = headers, body = body,
    timeout = ctx.options.timeout, max_bytes = ctx.options.max_bytes, addresses = ctx.options.addresses,
    hosts = ctx.options.hosts, -- a redirect could lead to a host that is not allowed
  }
end

--- Makes one request. Waits for the whole answer.
---@param ctx weir.Context
---@param input { url: string, method: string?, headers: table<string, string>?, body: any }
---@return { status: integer, headers: table<string, string>, body: any }?  with `json` the body is decoded;
---  header names are in lower case. Three redirects are followed, where `hosts` is set to one of these only.
---@return string? message
---@return string? code  failed (a status that is not accepted), invalid (url, body, an answer that is no JSON),
---  denied (host, secret), and those of ctx:http: unavailable, timeout, limit
function M.execute(ctx, input)
  local request, message, code = request_of(ctx, input)
  if not request then return nil, message, code end
  local answer
  answer, message, code = ctx:http(request)
  if not answer then return nil, message, code end
  local body = answer.body or ""
  if not status_fits(answer.status, ctx.options.accept) then
    return nil, ("http: %s %s answered %d%s"):format(request.method, input.url, answer.status, shown(body)), "failed"
  end
  if ctx.options.json and body ~= "" then
    body, message = json.decode(body)
    if body == nil then
      return nil, ("http: %s %s did not answer with JSON: %s"):format(request.method, input.url, message), "invalid"
    end
  end
  return { status = answer.status, headers = answer.headers, body = body }
end

return M
