--- /api/approvals: what waits for a person, and a person's decision.

local approval = require "weir.approval"
local approval_view = require "weir.view.approval"
local chosen_of = require "weir.approval.chosen"
local door = require "weir.http.door"
local failure = require "weir.failure"
local json = require "weir.native.json"
local problem = require "weir.http.problem"
local schemas = require "weir.http.schemas"
local shape = require "weir.view.shape"
local waking = require "weir.run.waking"

local LIMIT, MANY = 100, 1000
local LINK = { type = "object", required = { "url", "for", "expires_at" }, properties = { url = { type = "string" },
  ["for"] = { type = "string" }, expires_at = { type = "string", format = "date-time" } } }
local SNAPSHOT = { type = "string", pattern = "^[0-9]{1,18}$" }
local HASH = { type = "string", pattern = "^[0-9a-f]{64}$" }

local function pending(call, where, limit, after, as_of)
  local query = { run = where.run, pipeline = where.pipeline, step = where.step, limit = limit, after = after, as_of = as_of }
  local found, message, code = approval.pending(call.host.store, query)
  if not found then failure.raise(code or "failed", "%s", message) end
  return found
end

-- The pages of a list show one moment, if each is asked for with the snapshot of the first.
local function list(call)
  local query, store = call.query, call.host.store
  local limit = query.limit or LIMIT
  local as_of = query.snapshot and chosen_of.moment(store, query.snapshot) or chosen_of.now(store)
  local found = pending(call, query, limit, query.cursor, as_of)
  local items = json.list {}
  for index, record in ipairs(found) do items[index] = approval_view.shape(record) end
  return 200, { items = items, next = #found == limit and found[#found].id or json.null,
    snapshot = tostring(as_of) }
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

local function time_ms(text, field)
  if text == nil then return nil end
  local ms, message = require("weir.run.kinds.sleep").parse_time(text)
  if not ms then failure.raise("invalid", "%s: %s", field, message) end
  return ms
end

local function delegate(call)
  local asked, body = find(call), call.body
  local given = { by = person(call), to = body.to, until_ms = time_ms(body["until"], "until"), via = "http" }
  local record, message, code, winner = door.detached(function()
    return approval.delegate(call.host.store, asked.id, given, { groups = call.host.project.settings.groups })
  end)
  if not record then refuse(asked, message, code, winner) end
  return 200, approval_view.shape(record)
end

-- A link is another one's decision, so that only the owner of the host makes it for somebody else.
local function link(call)
  local asked, body = find(call), call.body
  local named = body["for"] or call.who.name
  if named ~= call.who.name and not call.who.may.admin then
    problem.raise(403, "denied", "%s may not make a link for '%s'", call.who.name, named:sub(1, 60))
  end
  local made = door.detached(function()
    return require("weir.approval.link").make(call.host.store, asked.id,
      { by = named, expires = body.expires, made_by = call.who.name, via = "http" }, { groups = call.host.project.settings.groups })
  end)
  return 201, { url = (call.host.http.url or "") .. "/decide/" .. made.token, ["for"] = made.by, expires_at = shape.time(made.expires_ms) }
end

local function outcome(record, state, code)
  if not record then return { decision = json.null, error = { code = code, message = state } } end
  return { decision = record.decision or json.null, error = json.null }
end

-- Those that are named, or all that fit; never one that came later.
local function chosen(call)
  local body = call.body
  if body.of and not body.where and not body.snapshot then return body.of end
  if body.where and body.snapshot and not body.of then
    return chosen_of.all(call.host.store, body.where, chosen_of.moment(call.host.store, body.snapshot), MANY)
  end
  problem.raise(422, "invalid", "either 'of', the approvals with their hashes, or 'where' with the 'snapshot' of its list is needed")
end

-- Each is decided by itself: who was faster with one does not keep the others from being decided.
local function decide_many(call)
  local body, records = call.body, chosen(call)
  local items, by = json.list {}, person(call)
  door.detached(function()
    for index, asked in ipairs(records) do
      local given = { decision = body.decision, by = by, comment = body.comment, hash = asked.hash, via = "http" }
      items[index] = outcome(waking.decide(call.host.engine, asked.id, given))
      items[index].id = asked.id
    end
  end)
  return 200, { items = items, next = json.null }
end

return {
  { method = "GET", path = "/api/approvals", role = "read", handler = list, doc = "Lists what waits for a decision, in order of ids.",
    query = { run = schemas.word, pipeline = schemas.pipeline_name, step = schemas.step, limit = schemas.limit,
      cursor = schemas.cursor, snapshot = SNAPSHOT },
    answers = { [200] = { doc = "A page.", schema = schemas.page "Approval" } } },
  { method = "POST", path = "/api/approvals", role = "decide", accepts = "application/json", handler = decide_many,
    doc = "Decides several: those `of` which id and hash are given, or all that fit `where` as of the `snapshot` of their list: "
      .. "what was asked later is not among them.",
    body = schemas.object({ decision = { type = "string", enum = { "approve", "reject" } }, comment = schemas.comment, by = schemas.word,
      where = schemas.object { run = schemas.word, pipeline = schemas.pipeline_name, step = schemas.step },
      snapshot = SNAPSHOT, of = { type = "array", minItems = 1, maxItems = MANY,
        items = schemas.object({ id = schemas.word, hash = HASH }, { "id", "hash" }) } }, { "decision" }),
    answers = { [200] = { doc = "What became of each.", schema = schemas.page "Outcome" } } },
  { method = "GET", path = "/api/approvals/{id}", role = "read", handler = show, doc = "One approval, decided or not.",
    answers = { [200] = { doc = "The approval.", schema = schemas.ref "Approval" } } },
  { method = "POST", path = "/api/approvals/{id}", role = "decide", accepts = "application/json", handler = decide,
    doc = "Decides. `hash` is that of what was shown: if something else is asked now, the decision is refused.",
    body = schemas.object({ decision = { type = "string", enum = { "approve", "reject", "edit" } }, answer = {}, comment = schemas.comment,
      hash = HASH, by = schemas.word }, { "decision" }),
    answers = { [200] = { doc = "It is on disk; `missing` says how many more have to approve.", schema = schemas.ref "Approval" },
      [409] = { doc = "Somebody was first: `approval` is what was decided. Or something else is asked now.",
        schema = schemas.ref "Problem" } } },
  { method = "POST", path = "/api/approvals/{id}/delegate", role = "decide", accepts = "application/json", handler = delegate,
    doc = "Has another person decide in the place of whoever asks, as well as that one, `until` a time or for as long as it is asked.",
    body = schemas.object({ to = schemas.word, ["until"] = { type = "string", format = "date-time" }, by = schemas.word }, { "to" }),
    answers = { [200] = { doc = "It is on disk.", schema = schemas.ref "Approval" } } },
  { method = "POST", path = "/api/approvals/{id}/links", role = "decide", accepts = "application/json", handler = link,
    doc = "Makes a link with which one person may decide once. `expires`: seconds, at most 30 days; a day where it is left out.",
    body = schemas.object { ["for"] = schemas.word, expires = { type = "number", minimum = 1, maximum = 30 * 86400 } },
    answers = { [201] = { doc = "The link is shown this once.", schema = LINK } } },
}
