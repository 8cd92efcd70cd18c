--- Goals over HTTP: what was planned for, by which plans, and what came of them.

local failure = require "weir.failure"
local json = require "weir.native.json"
local memory = require "weir.planning.memory"
local schemas = require "weir.http.schemas"
local view = require "weir.view.goals"

local LIMIT = 100

local function list(call)
  local items, next = view.page(call.host.store, call.query.limit or LIMIT, call.query.cursor)
  return 200, { items = items, next = next or json.null }
end

local function one(call)
  local given = call.params.id
  if not given:find "^g_[0-9a-z]+$" then failure.raise("not_found", "there is no goal '%s'", given:sub(1, 64)) end
  local id, record = memory.find(call.host.store, given)
  return 200, view.shape(call.host.store, id, record)
end

return {
  { method = "GET", path = "/api/goals", role = "read", handler = list, query = { limit = schemas.limit, cursor = schemas.cursor },
    doc = "Goals that steps have planned for, the newest first, with the number of their plans.",
    answers = { [200] = { doc = "A page.", schema = { type = "object" } } } },
  { method = "GET", path = "/api/goals/{id}", role = "read", handler = one,
    doc = "A goal with its plans: their steps, estimates, and what came of them.",
    answers = { [200] = { doc = "The goal.", schema = { type = "object" } }, [404] = { doc = "There is none of this id." } } },
}
