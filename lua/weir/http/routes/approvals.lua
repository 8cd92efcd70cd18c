--- /api/approvals: what waits for a person, and a person's decision.

local approval = require "weir.approval"
local approval_view = require "weir.view.approval"
local door = require "weir.http.door"
local failure = require "weir.failure"
local json = require "weir.native.json"
local problem = require "weir.http.problem"
local schemas = require "weir.http.schemas"
local waking = require "weir.run.waking"

local LIMIT = 100

local function list(call)
  local query = call.query
  local limit = query.limit or LIMIT
  local found, message, code = approval.pending(call.host.store, { run = query.run, pipeline = query.pipeline, limit = limit,
    after = query.cursor })
  if not found then failure.raise(code or "failed", "%s", message) end
  local items = json.list {}
  for index, record in ipairs(found) do items[index] = approval_view.shape(record) end
  return 200, { items = items, next = #found == limit and found[#found].id or json.null }
end

local function find(call)
  local record, state, code = approval.get(call.host.store, call.params.id)
  if record and record.id == call.params.id then return record end
  if record or code == "invalid" then failure.raise("not_found", "there is no approval '%s'", call.params.id:sub(1, 60)) end
  failure.raise(code or "failed", "%s", state)
end

local function show(call)
  return 200, approval_view.shape(find(call))
end

-- People decide under the name of their token; the owner of the host may say for whom.
local function person(call)
  local by = call.body.by
  if by == nil or by == call.who.name then return call.who.name end
  if not call.who.may.admin then problem.raise(403, "denied", "%s may not decide for '%s'", call.who.name, by:sub(1, 60)) end
  return by
end

local function refuse(record, message, code, winner)
  local err = failure.new(code or "failed", "%s", message)
  err.run, err.step = record.run, record.step
  err.extra = winner and { approval = approval_view.shape(winner) } or nil
  error(err, 0)
end

local function decide(call)
  local asked, body = find(call), call.body
  local given = { decision = body.decision, by = person(call), answer = body.answer, comment = body.comment, hash = body.hash,
    via = "http" }
  local record, state, more, winner = door.detached(function() return waking.decide(call.host.engine, asked.id, given) end)
  if not record then refuse(asked, state, more, winner) end
  local answer = approval_view.shape(record)
  if state == "open" then answer.missing = more end
  return 200, answer
end

return {
  { method = "GET", path = "/api/approvals", role = "read", handler = list, doc = "Lists what waits for a decision, in order of ids.",
    query = { run = schemas.word, pipeline = schemas.pipeline_name, limit = schemas.limit, cursor = schemas.cursor },
    answers = { [200] = { doc = "A page.", schema = schemas.page "Approval" } } },
  { method = "GET", path = "/api/approvals/{id}", role = "read", handler = show, doc = "One approval, decided or not.",
    answers = { [200] = { doc = "The approval.", schema = schemas.ref "Approval" } } },
  { method = "POST", path = "/api/approvals/{id}", role = "decide", accepts = "application/json", handler = decide,
    doc = "Decides. `hash` is that of what was shown: if something else is asked now, the decision is refused.",
    body = schemas.object({ decision = { type = "string", enum = { "approve", "reject", "edit" } }, answer = {}, comment = schemas.comment,
      hash = { type = "string", pattern = "^[0-9a-f]{64}$" }, by = schemas.word }, { "decision" }),
    answers = { [200] = { doc = "It is on disk; `missing` says how many more have to approve.", schema = schemas.ref "Approval" },
      [409] = { doc = "Somebody was first: `approval` is what was decided. Or something else is asked now.",
        schema = schemas.ref "Problem" } } },
}
