--- Skills over HTTP: what was learned, how its calls went, where it came from.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local json = require "weir.native.json"
local view = require "weir.view.skills"

local function shown(row)
  row.at, row.at_ms = clock.rfc3339(row.at_ms), nil
  return row
end

local function list(call)
  local items = json.list {}
  for index, row in ipairs(view.rows(call.host.store)) do items[index] = shown(row) end
  return 200, { items = items, next = json.null }
end

local function one(call)
  local name = call.params.name
  local whole = name:find "^[a-z][a-z0-9_]*$" and #name <= 64 and view.whole(call.host.store, name)
  if not whole then failure.raise("not_found", "there is no skill '%s'", name:sub(1, 64)) end
  for _, version in ipairs(whole.versions) do shown(version) end
  return 200, whole
end

return {
  { method = "GET", path = "/api/skills", role = "read", handler = list,
    doc = "Skills that serve or are on trial, and how their calls went.",
    answers = { [200] = { doc = "All of them.", schema = { type = "object" } } } },
  { method = "GET", path = "/api/skills/{name}", role = "read", handler = one,
    doc = "A skill: its versions with their trials, what it was let do, where it came from.",
    answers = { [200] = { doc = "The skill.", schema = { type = "object" } }, [404] = { doc = "There is none of this name." } } },
}
