--- What is asked: the action, the question's id, the record that is made of it. Part of weir.approval. Pure.

local hash = require "weir.native.hash"
local json = require "weir.native.json"
local ladder = require "weir.approval.ladder"

local M = {
  pending = "approvals", decided = "decisions", timers = "approvals.timers", links = "approvals.links", -- spaces of the store
  id_pattern = "^a_[0-9a-z]*$", id_length = 22,
}

local ACTION_MAX = 8 << 20 -- bytes; a record of the store has 16 MiB

local DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"

local function base36(number, digits)
  local places = {}
  for place = digits, 1, -1 do
    local digit = number % 36 + 1
    places[place] = DIGITS:sub(digit, digit)
    number = number // 36
  end
  return table.concat(places)
end

local TIME_DIGITS = 9 -- of an id that sorts by time, see weir.id

--- The id of a question: the same for the same question, so that a replay asks it again, and another for every
--- other. It begins with the time of its run's id, so that the questions of runs stand in the order of the runs.
---@param run string
---@param key string       where the step stands in the run
---@param visit integer    of the step there, from 1
---@param action_hash string
---@return string id `a_` and 20 characters of [0-9a-z], those that are no time drawn from SHA-256
function M.id(run, key, visit, action_hash)
  local high, low = ("<i8i8"):unpack(hash.sha256(json.encode({ run, key, visit, action_hash }, { canonical = true }), "raw"))
  local time = run:match("^r_(" .. ("[0-9a-z]"):rep(TIME_DIGITS) .. ")")
  return "a_" .. (time or base36(high, TIME_DIGITS)) .. base36(low, M.id_length - 2 - TIME_DIGITS)
end

-- What an action says, and which of it is text that has to be there.
local TEXT = { "pipeline", "version", "run", "step" }
local FIELDS = { pipeline = true, version = true, run = true, step = true, title = true, show = true, form = true, input = true,
  world = true, again = true }

--- What is asked, as one text: what is hashed, kept, shown and decided.
---@param fields { pipeline: string, version: string, run: string, step: string, title: string?, show: any, form: any, input: any,
---   world: any, again: integer? }  form: JSON Schema; input: of a step that is asked about before it runs; world: what has to be
---   so when it goes on; again: how often that was not so
---@return string|nil action canonical JSON: keys sorted, one text for one value
---@return string hash      SHA-256, 64 hexadecimal digits; or the message
---@return string|nil code  `invalid` (not plain data, not UTF-8), `limit`
function M.action(fields)
  for name in pairs(fields) do
    if not FIELDS[name] then error(("an action has no field '%s'"):format(tostring(name)), 2) end
  end
  for _, name in ipairs(TEXT) do
    if type(fields[name]) ~= "string" then error(("action: %s: text expected"):format(name), 2) end
  end
  if fields.title ~= nil and type(fields.title) ~= "string" then error("action: title: text expected", 2) end
  local action, message, code = json.encode(fields, { canonical = true, max_bytes = ACTION_MAX })
  if not action then return nil, ("approval '%s': %s"):format(fields.step, message), code end
  return action, hash.sha256(action)
end

--- What an action says.
---@param action any
---@return table|nil fields as given to `action`
---@return string|nil message
function M.read(action)
  local said, message = nil, "a text of approval.action expected"
  if type(action) == "string" then said, message = json.decode(action) end
  if type(said) ~= "table" then return nil, "action: " .. (message or "an object expected") end
  for name in pairs(said) do
    if not FIELDS[name] then return nil, ("action: no field '%s' is known"):format(tostring(name)) end
  end
  for _, name in ipairs(TEXT) do
    if type(said[name]) ~= "string" then return nil, ("action: %s: text expected"):format(name) end
  end
  return said
end

--- The key of the moment at which something is to happen to a question.
---@param ms integer
---@param id string
---@return string
function M.timer_key(ms, id) return ("%013d/%s"):format(ms, id) end

local ON_TIMEOUT = { reject = true, approve = true, fail = true }
local KINDS = { approval = true, in_doubt = true }

local function check_question(fields, asked)
  local id = fields.id
  if type(id) ~= "string" or #id ~= M.id_length or not id:find(M.id_pattern) then return "id: one of approval.id expected" end
  if fields.hash and fields.hash ~= hash.sha256(fields.action) then return "hash: it is not that of the action" end
  for _, name in ipairs { "run", "pipeline", "step", "title" } do
    if fields[name] ~= nil and fields[name] ~= asked[name] then return ("%s: the action says another one"):format(name) end
  end
  if fields.kind and not KINDS[fields.kind] then return "kind: approval or in_doubt expected" end
  if fields.on_timeout and not ON_TIMEOUT[fields.on_timeout] then return "on_timeout: reject, approve or fail expected" end
  if fields.quorum and (math.type(fields.quorum) ~= "integer" or fields.quorum < 1) then return "quorum: an integer from 1 expected" end
  if fields.due_ms and math.type(fields.due_ms) ~= "integer" then return "due_ms: an integer expected" end
  if math.type(fields.asked_ms) ~= "integer" then return "asked_ms: an integer expected" end
  if fields.not_initiator and not fields.initiator then return "not_initiator: needs an initiator" end
  for name, weight in pairs(fields.weights or {}) do
    if type(name) ~= "string" or math.type(weight) ~= "integer" or weight < 1 then return "weights: integers from 1 by name expected" end
  end
  return nil
end

--- The operations that make a question's record, for `store:batch` together with what else shall happen then.
--- Asked a second time, pending or decided, the batch is refused with `conflict` and changes nothing: `get` has it.
--- Raises when a field is wrong, or says something else than the action.
---@param fields table {id, action, asked_ms}; hash, run, pipeline, step and title only to be compared with the
---   action; who, not_initiator, initiator, quorum, weights, due_ms, on_timeout, kind, ladder as in weir.Approval
---@return table[] operations
function M.ask(fields)
  local asked, wrong = M.read(fields.action)
  wrong = wrong or check_question(fields, asked)
  if wrong then error("approval: " .. wrong, 2) end
  -- Very many may wait at once: what is absent, usual or said by the action takes no bytes.
  local record = { action = fields.action, asked_ms = fields.asked_ms, who = fields.who, initiator = fields.initiator,
    not_initiator = fields.not_initiator or nil, due_ms = fields.due_ms, on_timeout = fields.on_timeout,
    quorum = fields.quorum ~= 1 and fields.quorum or nil, kind = fields.kind ~= "approval" and fields.kind or nil,
    weights = fields.weights, ladder = fields.ladder }
  local operations = { { op = "cas", space = M.pending, key = fields.id, version = 0, value = record },
    { op = "delete", space = M.decided, key = fields.id, version = 0 } }
  local next_ms = ladder.next_ms(fields.ladder, fields.due_ms)
  if next_ms then operations[3] = { op = "put", space = M.timers, key = M.timer_key(next_ms, fields.id), value = 1 } end
  return operations
end

return M
