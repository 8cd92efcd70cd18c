--- /api/workspace: the documents that runs share. ETag is a document's version; If-Match makes a write a compare-and-set.

local clock = require "weir.port.clock"
local door = require "weir.http.door"
local failure = require "weir.failure"
local json = require "weir.native.json"
local problem = require "weir.http.problem"
local schemas = require "weir.http.schemas"
local target = require "weir.http.target"
local workspace = require "weir.workspace"

local LIMIT = 100

local function view_of(call)
  local kind, place = workspace.parse_scope(call.params.scope)
  return workspace.view(call.host.store, { run = place.run, pipeline = place.pipeline, scope = kind,
    author = call.who.name:sub(1, 64) })
end

local or_null = require("weir.value").or_null

local function shape(document)
  return { name = document.name, scope = document.scope, version = document.version, value = document.value, type = or_null(document.type),
    tags = json.list(document.tags or {}), author = or_null(document.author), run = or_null(document.run), step = or_null(document.step),
    at = document.at_ms and clock.rfc3339(document.at_ms) or json.null }
end

local function tag(version) return ('"%d"'):format(version) end

local function missing(call)
  failure.raise("not_found", "there is no document '%s' in %s", call.params.name, call.params.scope)
end

local function list(call)
  local query = call.query
  local limit = query.limit or LIMIT
  local found = view_of(call):list { prefix = query.prefix, type = query.type, tag = query.tag, limit = limit, after = query.cursor }
  local items = json.list {}
  for index, document in ipairs(found) do items[index] = shape(document) end
  return 200, { items = items, next = #found == limit and found[#found].name or json.null }
end

local function get(call)
  local found = view_of(call):get(call.params.name)
  if not found then missing(call) end
  local etag = tag(found.version)
  if call.request:header "if-none-match" == etag then return 304, nil, { ETag = etag } end
  return 200, shape(found), { ETag = etag }
end

-- The version that has to be there: of `If-Match: "3"`; 0 of `If-None-Match: *`; nil when nothing is said.
local function expected(call)
  local match, none = call.request:header "if-match", call.request:header "if-none-match"
  if none and none ~= "*" then problem.raise(400, "invalid", "If-None-Match: of a write only '*' is known") end
  if match and none then problem.raise(400, "invalid", "give If-Match or If-None-Match, not both") end
  if none then return 0 end
  if not match then return nil end
  local version = match:match '^"(%d+)"$'
  if not version or #version > 18 then problem.raise(400, "invalid", "If-Match: the ETag of a document expected, such as \"3\"") end
  return math.tointeger(tonumber(version))
end

local function commit(view, is_conditional)
  local ok, raised = pcall(door.detached, function() workspace.commit(view) end)
  if ok then return end
  local err = failure.of(raised)
  if err.code == "conflict" and is_conditional then err.status = 412 end
  error(err, 0)
end

local function put(call)
  local version, name = expected(call), call.params.name
  local view = view_of(call)
  view:post(name, call.body, { type = call.query.type, ttl = call.query.ttl, version = version })
  commit(view, version ~= nil)
  local found = view:get(name)
  if not found then missing(call) end -- somebody has deleted it since
  return version == 0 and 201 or 200, shape(found), { ETag = tag(found.version),
    Location = ("/api/workspace/%s/%s"):format(target.encode(call.params.scope), target.encode(name)) }
end

local function delete(call)
  local version, view = expected(call), view_of(call)
  if not view:delete(call.params.name, { version = version }) and version == nil then missing(call) end
  commit(view, version ~= nil)
  return 204
end

local PATH = "/api/workspace/{scope}/{name}"
local TOO_LARGE = 422 -- a name or a value that is too large stays so: not to be sent again later
local DOCUMENT = schemas.ref "Document"

return {
  { method = "GET", path = "/api/workspace/{scope}", role = "read", handler = list,
    doc = "Lists the documents of a scope (`run:ID`, `pipeline:NAME`, `project`), without their values.",
    query = { prefix = schemas.word, type = schemas.word, tag = schemas.word, limit = schemas.limit, cursor = schemas.cursor },
    answers = { [200] = { doc = "A page.", schema = schemas.page "Document" } } },
  { method = "GET", path = PATH, role = "read", limit_status = TOO_LARGE, handler = get, doc = "A document; ETag is its version.",
    answers = { [200] = { doc = "The document.", schema = DOCUMENT }, [304] = { doc = "It is the version of If-None-Match." } } },
  { method = "PUT", path = PATH, role = "run", limit_status = TOO_LARGE, accepts = "application/json", handler = put, body = {},
    needs_body = true,
    doc = "Writes a document. With If-Match only in the place of that version, with `If-None-Match: *` only where there is none.",
    query = { type = schemas.word, ttl = { type = "string", maxLength = 40 } },
    answers = { [200] = { doc = "It is on disk.", schema = DOCUMENT }, [201] = { doc = "It is new.", schema = DOCUMENT },
      [412] = { doc = "There is another version.", schema = schemas.ref "Problem" } } },
  { method = "DELETE", path = PATH, role = "run", limit_status = TOO_LARGE, handler = delete,
    doc = "Deletes a document; If-Match as for PUT.",
    answers = { [204] = { doc = "It is gone." }, [412] = { doc = "There is another version.", schema = schemas.ref "Problem" } } },
}
