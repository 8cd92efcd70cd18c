--- Candidates over HTTP: what reflections have proposed, how it did, what became of it.

local candidates = require "weir.candidate"
local failure = require "weir.failure"
local json = require "weir.native.json"
local schemas = require "weir.http.schemas"
local view = require "weir.view.candidates"

local LIMIT = 100

local function list(call)
  local items = json.list {}
  local found = candidates.list(call.host.store, { pipeline = call.query.pipeline, limit = call.query.limit or LIMIT })
  for index = #found, 1, -1 do items[#items + 1] = view.shape(found[index]) end
  return 200, { items = items, next = json.null }
end

local function one(call)
  local id = call.params.id
  if #id ~= 22 or not id:find "^c_[0-9a-z]+$" then failure.raise("not_found", "there is no candidate '%s'", id:sub(1, 60)) end
  return 200, view.shape(candidates.get(call.host.store, id))
end

return {
  { method = "GET", path = "/api/candidates", role = "read", handler = list,
    query = { pipeline = schemas.pipeline_name, limit = schemas.limit },
    doc = "What reflections have proposed, the newest first.",
    answers = { [200] = { doc = "The newest of them.", schema = { type = "object" } } } },
  { method = "GET", path = "/api/candidates/{id}", role = "read", handler = one,
    doc = "A candidate: what it changes, its scores, what the trials took, who approved it, what became of it.",
    answers = { [200] = { doc = "The candidate.", schema = { type = "object" } }, [404] = { doc = "There is none of this id." } } },
}
