--- Candidates over HTTP: what reflections have proposed, how it did, what became of it.

local candidates = require "weir.candidate"
local failure = require "weir.failure"
local json = require "weir.native.json"
local schemas = require "weir.http.schemas"
local view = require "weir.view.candidates"

local LIMIT = 100

local function list(call)
  local items = json.list {}
  local query, limit = call.query, call.query.limit or LIMIT
  local found = candidates.list(call.host.store, { pipeline = query.pipeline, limit = limit, before = query.cursor })
  for index = #found, 1, -1 do items[#items + 1] = view.shape(found[index]) end
  return 200, { items = items, next = #found == limit and found[1].id or json.null }
end

local function one(call)
  local id = call.params.id
  if #id ~= 22 or not id:find "^c_[0-9a-z]+$" then failure.raise("not_found", "there is no candidate '%s'", id:sub(1, 60)) end
  return 200, view.whole(call.host.store, candidates.get(call.host.store, id))
end

return {
  { method = "GET", path = "/api/candidates", role = "read", handler = list,
    query = { pipeline = schemas.pipeline_name, limit = schemas.limit, cursor = { type = "string", pattern = "^c_[0-9a-z]{1,20}$" } },
    doc = "What reflections have proposed, the newest first.",
    answers = { [200] = { doc = "A page.", schema = { type = "object" } } } },
  { method = "GET", path = "/api/candidates/{id}", role = "read", handler = one,
    doc = "A candidate: what it changes, with the definition `before` and `after`, its scores, "
      .. "what the trials took, who approved it, what became of it.",
    answers = { [200] = { doc = "The candidate.", schema = { type = "object" } }, [404] = { doc = "There is none of this id." } } },
}
