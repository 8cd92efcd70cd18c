--- Approvals: questions that a person answers before a run goes on.
---
--- A question that waits is one record of the store's space `approvals`, a decided one is one of `decisions`.
--- Deciding is the move from the one to the other in one transaction that names the version it saw, so of all
--- who decide at once exactly one is first, and the others are told who. What is asked is one text, the action:
--- canonical JSON. It is hashed, kept, shown and decided as it stands, and all that a record says of the
--- question is read from it. Nothing here knows how a run waits.

local clock = require "weir.port.clock"
local json = require "weir.native.json"
local question = require "weir.approval.question"
local records = require "weir.approval.records"

local M = {}

local PENDING, DECIDED = question.pending, question.decided
local ID, ID_LENGTH = question.id_pattern, question.id_length
local LIMIT, PAGE = 100, 50 -- of records that may be large
local whole, read, not_found, settle, lost_to = records.whole, records.read, records.not_found, records.settle, records.lost_to

---@class weir.Approval
---@field id string                    `a_` and 20 characters
---@field action string                what is asked: canonical JSON
---@field hash string                  SHA-256 of the action, 64 hexadecimal digits
---@field run string                   this and the next seven stand in the action
---@field pipeline string
---@field version string               of the definition
---@field step string
---@field title string|nil
---@field show any                     what the person sees
---@field form table|boolean|nil       JSON Schema of the answer
---@field input any                    of the step that waits to be let through
---@field kind "approval"|"in_doubt"   in_doubt: whether a step that may have happened did
---@field who string[]|nil             people and groups that may decide; nil: anybody
---@field not_initiator boolean|nil    who began the run may not decide
---@field initiator string|nil
---@field quorum integer               how many different people have to approve, from 1; with weights, how much they weigh
---@field weights table<string, integer>|nil  by person or group; whoever is not named weighs 1
---@field ladder weir.ApprovalLadder|nil  what happens while nobody decides
---@field delegated { by: string, to: string, until_ms: integer|nil, at_ms: integer, via: string }[]|nil  who decides for whom
---@field world any                    what was so when it was asked, and has to be so when the run goes on
---@field first_lsn integer            place in the store's order at which it was asked
---@field asked_ms integer             since 1970, as every time here
---@field due_ms integer|nil           from then on nobody can approve any more
---@field on_timeout "reject"|"approve"|"fail"|nil
---@field given weir.Given[]           every decision that was given, in order
---@field decision "approve"|"edit"|"reject"|"timeout"|"cancelled"|nil  nil: it is pending
---@field at_ms integer|nil            when it was decided; the last four only then
---@field by string|nil                who gave the decision that counted; nil after a timeout or a cancellation
---@field comment string|nil           that person's, or why it was cancelled
---@field answer any

---@class weir.Given
---@field by string
---@field on_behalf_of string|nil      who had delegated it
---@field weight integer|nil           nil: 1
---@field decision "approve"|"edit"|"reject"
---@field answer any
---@field comment string|nil
---@field hash string                  of the action that was decided
---@field via string                   the door it came through: cli, api, ...
---@field at_ms integer

M.id, M.action, M.ask = question.id, question.action, question.ask

-- Reading ------------------------------------------------------------------------------------------

local function by_prefix(store, prefix)
  local fits = {}
  for _, space in ipairs { PENDING, DECIDED } do
    local rows, message, code = store:scan(space, { prefix = prefix, limit = 2 })
    if not rows then return nil, message, code end
    for _, row in ipairs(rows) do fits[#fits + 1] = { row, space } end
  end
  if #fits == 0 then return not_found(prefix) end
  if #fits > 1 then
    return nil, ("'%s' fits more than one approval, such as %s and %s; give more of the id"):format(prefix, fits[1][1].key,
      fits[2][1].key), "invalid"
  end
  local row, space = fits[1][1], fits[1][2]
  local record, message, code = whole(row.key, row.value, row.version)
  return record, record and (space == PENDING and "pending" or "decided") or message, code
end

--- One approval. Does not wait.
---@param store weir.Store
---@param given string its id, or the beginning of it
---@return weir.Approval|nil
---@return "pending"|"decided"|string state or the message
---@return string|nil code `not_found`, `invalid` (no id, or the beginning of several), `corrupt`, `unavailable`
function M.get(store, given)
  if not given:find(ID) or #given > ID_LENGTH then
    return nil, ("'%s' is no approval: an id such as a_1b2c..., or the beginning of one, expected"):format(given), "invalid"
  end
  if #given < ID_LENGTH then return by_prefix(store, given) end
  for _, at in ipairs { { PENDING, "pending" }, { DECIDED, "decided" } } do
    local record, message, code = read(store, at[1], given)
    if record then return record, at[2] end
    if code ~= "not_found" then return nil, message, code end
  end
  return not_found(given)
end

local CHOSEN_BY = { "run", "pipeline", "step", "kind" }

local function fits(record, query)
  for _, name in ipairs(CHOSEN_BY) do
    if query[name] and record[name] ~= query[name] then return false end
  end
  return not query.as_of or record.first_lsn <= query.as_of
end

--- Approvals that wait, in order of their ids. Does not wait.
---@param store weir.Store
---@param query { run: string?, pipeline: string?, step: string?, kind: string?, as_of: integer?, limit: integer?, after: string? }|nil
---   as_of: only those that had been asked by that place in the store's order, see `store:lsn`; limit: default 100;
---   after: the last id of the page before
---@return weir.Approval[]|nil fewer than the limit: there are no more
---@return string|nil message
---@return string|nil code `corrupt`, `unavailable`
function M.pending(store, query)
  query = query or {}
  local limit, after, found = query.limit or LIMIT, query.after, {}
  while #found < limit do
    local rows, message, code = store:scan(PENDING, { after = after, limit = PAGE })
    if not rows then return nil, message, code end
    for _, row in ipairs(rows) do
      local record
      record, message, code = whole(row.key, row.value, row.version)
      if not record then return nil, message, code end
      if #found < limit and fits(record, query) then found[#found + 1] = record end
    end
    if #rows < PAGE then break end
    after = rows[#rows].key
  end
  return found
end

-- Deciding -----------------------------------------------------------------------------------------

local function with_voice(record, decision, answer, voice, now_ms)
  local given = json.list {}
  for index, entry in ipairs(record.given) do given[index] = entry end
  given[#given + 1] = { by = decision.by, decision = decision.decision, comment = decision.comment, answer = answer,
    hash = record.hash, via = decision.via or "api", at_ms = now_ms, on_behalf_of = voice.on_behalf_of,
    weight = voice.weight ~= 1 and voice.weight or nil }
  return given
end

local function is_past(record, now_ms)
  return record.due_ms ~= nil and now_ms >= record.due_ms
end

local function judge_voice(record, decision, groups, now_ms)
  local rules = require "weir.approval.rules"
  if decision.hash and decision.hash ~= record.hash then
    return nil, ("what you were shown is not what is asked now (hash %s); look again with `weir approvals`"):format(record.hash),
      "conflict"
  end
  local voice, message, code = rules.check_person(record, decision.by, groups, now_ms)
  if not voice then return nil, message, code end
  local ok, answer
  ok, answer, code = rules.answer_of(record, decision)
  if not ok then return nil, answer, code end
  ok, message, code = rules.check_agreement(record, decision.decision, answer)
  if not ok then return nil, message, code end
  local given = with_voice(record, decision, answer, voice, now_ms)
  if decision.decision ~= "reject" and rules.weight_given { given = given } < record.quorum then return { given = given } end
  return { given = given, decision = decision.decision, at_ms = now_ms }
end

local function timeout_at(now_ms)
  return { decision = "timeout", at_ms = now_ms }
end

---@class weir.DecideOptions
---@field groups table<string, string[]>|nil people by group, as in the project's settings
---@field now_ms integer|nil   default: the clock
---@field operations (fun(decided: weir.Approval): table[])|nil gives what `store:batch` commits with the decision, which
---   may be that nobody decided in time. An operation that is refused refuses the decision
---@field always (fun(): table[])|nil the same, also with a voice that does not decide it yet

local function both(options)
  if not options.operations and not options.always then return nil end
  return function(record)
    local list = {}
    local function add(more)
      for _, operation in ipairs(more and more(record) or {}) do list[#list + 1] = operation end
    end
    add(record.decision and options.operations)
    add(options.always)
    return list
  end
end

--- Gives one person's decision. The first that is committed wins; whoever is later is told who was first. Past its
--- due time the default holds, and whoever comes first writes it down. Waits until it is on disk.
---@param store weir.Store
---@param id string whole
---@param decision { decision: "approve"|"reject"|"edit", by: string, answer: any, comment: string?, hash: string?, via: string? }
---   hash: of what was shown to the person; via: default "api"
---@param options weir.DecideOptions|nil
---@return weir.Approval|nil
---@return "decided"|"open"|string state open: more people have to approve; or the message
---@return integer|string|nil missing how many more, or how much weight; or the code: `not_found`, `conflict` (decided before, past its
---   due time, another hash, another answer than those before), `denied`, `invalid`, and those of `store:batch`
---@return weir.Approval|nil winner the decision that came before, with `conflict`
function M.decide(store, id, decision, options)
  options = options or {}
  local ok, message, code = require("weir.approval.rules").check_shape(decision)
  if not ok then return nil, message, code end
  local now_ms = options.now_ms or clock.wall_ms()
  local record, winner
  record, message, code, winner = settle(store, id, function(pending)
    if is_past(pending, now_ms) then return timeout_at(now_ms) end
    return judge_voice(pending, decision, options.groups, now_ms)
  end, both(options))
  if not record then return nil, message, code, winner end
  if record.decision == "timeout" then return lost_to(record) end
  if record.decision then return record, "decided" end
  return record, "open", record.quorum - require("weir.approval.rules").weight_given(record)
end

--- Has somebody decide in another one's place, as well as that one. Waits until it is on disk, and in the audit trail.
---@param store weir.Store
---@param id string whole
---@param given { by: string, to: string, until_ms: integer|nil, via: string? } by: who may decide; until_ms: from then on not
---   any more, nil for as long as it is asked
---@param options { groups: table|nil, now_ms: integer|nil }|nil
---@return weir.Approval|nil
---@return string|nil message
---@return string|nil code `denied` (by may not decide), `invalid`, `limit`, `conflict` (decided before), `not_found`, and those
---   of `store:batch`
---@return weir.Approval|nil winner
function M.delegate(store, id, given, options)
  options = options or {}
  local now_ms, via = options.now_ms or clock.wall_ms(), given.via or "api"
  if given.until_ms and given.until_ms <= now_ms then return nil, "until: a time that is still to come expected", "invalid" end
  return settle(store, id, function(record)
    local ok, message, code = require("weir.approval.rules").check_delegation(record, given.by, given.to, options.groups)
    if not ok then return nil, message, code end
    local list = json.list {}
    for _, one in ipairs(record.delegated or {}) do
      if one.by ~= given.by or one.to ~= given.to then list[#list + 1] = one end
    end
    list[#list + 1] = { by = given.by, to = given.to, until_ms = given.until_ms, at_ms = now_ms, via = via }
    return { delegated = list }
  end, function()
    return { require("weir.audit").operation { by = given.by, via = via, action = "delegate", what = id, from = given.by, to = given.to } }
  end)
end

--- Ends a question whose time is up: decision `timeout`. Waits until it is on disk.
---@param store weir.Store
---@param id string
---@param now_ms integer|nil default: the clock
---@param options { operations: function? }|nil as of `decide`
---@return weir.Approval|nil
---@return string|nil message
---@return string|nil code `invalid` (it is not due yet), `conflict` (decided before), `not_found`, and those of `store:batch`
---@return weir.Approval|nil winner
function M.expire(store, id, now_ms, options)
  now_ms = now_ms or clock.wall_ms()
  return settle(store, id, function(record)
    if is_past(record, now_ms) then return timeout_at(now_ms) end
    local due = record.due_ms and "before " .. clock.rfc3339(record.due_ms) or "at all: it has no time limit"
    return nil, ("it does not run out %s"):format(due), "invalid"
  end, options and options.operations)
end

--- Takes a question back: decision `cancelled`. Waits until it is on disk.
---@param store weir.Store
---@param id string
---@param reason string
---@param now_ms integer|nil default: the clock
---@param options { operations: function? }|nil as of `decide`
---@return weir.Approval|nil
---@return string|nil message
---@return string|nil code `conflict` (decided before), `not_found`, and those of `store:batch`
---@return weir.Approval|nil winner
function M.cancel(store, id, reason, now_ms, options)
  now_ms = now_ms or clock.wall_ms()
  return settle(store, id, function() return { decision = "cancelled", comment = reason, at_ms = now_ms } end,
    options and options.operations)
end

-- What came of it ----------------------------------------------------------------------------------

local RESULT = { approve = "approve", edit = "approve", reject = "reject" }
local DEFAULT = { approve = "approve", reject = "reject" }

--- What a decided approval means to its step. An edit approves; after a timeout the question's `on_timeout` is
--- what counts, and nobody stands in `by`.
---@param record weir.Approval decided
---@return { decision: "approve"|"reject"|"timeout", by: string?, comment: string?, answer: any, at: string }|nil
---   `timeout`: nothing, or `fail`, was said for that case; at: RFC 3339
---@return string|nil message
---@return string|nil code `cancelled`, `invalid` (it is pending)
function M.result(record)
  if record.decision == nil then return nil, ("approval %s waits for a decision"):format(record.id), "invalid" end
  if record.decision == "cancelled" then return nil, record.comment, "cancelled" end
  return { decision = RESULT[record.decision] or DEFAULT[record.on_timeout] or "timeout", by = record.by,
    comment = record.comment, answer = record.answer, at = clock.rfc3339(record.at_ms) }
end

--- An approval as lines for a person, made from the action that is hashed: nothing in it can move the cursor, turn
--- the direction of writing, hide, or look like a line of weir's own; what is too long is cut and says so.
---@param record weir.Approval
---@return string[]
function M.lines(record)
  return require("weir.approval.view").lines(record)
end

return M
