--- What a decision has to be before it counts: its shape, who gives it and for whom, how much it weighs, what was seen, what
--- is answered. Pure.

local json = require "weir.native.json"
local schema = require "weir.schema"

local M = {}

local DECISIONS = { approve = true, reject = true, edit = true }
local NAME_MAX, COMMENT_MAX = 256, 16384 -- bytes

local function is_text(value, bytes_max)
  return type(value) == "string" and #value <= bytes_max and utf8.len(value) ~= nil
end

--- Whether a decision has the right shape, whatever it is about.
---@param decision table {decision, by, answer?, comment?, hash?, via?}
---@return true|nil
---@return string|nil message
---@return string|nil code `invalid`
function M.check_shape(decision)
  if not DECISIONS[decision.decision] then
    return nil, ("decision: approve, reject or edit expected, got '%s'"):format(tostring(decision.decision)), "invalid"
  end
  if not is_text(decision.by, NAME_MAX) or not decision.by:find "%S" then
    return nil, ("by: the name of who decides expected, UTF-8 text of at most %d bytes"):format(NAME_MAX), "invalid"
  end
  if decision.comment ~= nil and not is_text(decision.comment, COMMENT_MAX) then
    return nil, ("comment: UTF-8 text of at most %d bytes expected"):format(COMMENT_MAX), "invalid"
  end
  if decision.decision == "edit" and decision.answer == nil then
    return nil, "an edit has to carry an answer: what stands in the place of what was shown", "invalid"
  end
  return true
end

local function is_among(names, name, groups)
  for _, listed in ipairs(names) do
    local members = groups and groups[listed]
    if not members and listed == name then return true end
    for _, member in ipairs(members or {}) do
      if member == name then return true end
    end
  end
  return false
end

local function may_decide(record, name, groups)
  if record.not_initiator and name == record.initiator then return false end
  return not record.who or is_among(record.who, name, groups)
end

-- The decision that somebody has given, or that was given in their place.
local function voice_of(record, name)
  for _, entry in ipairs(record.given) do
    if entry.by == name or entry.on_behalf_of == name then return entry end
  end
end

--- How much somebody's decision weighs: as the weights say of the person, or else of the groups, the most of them; 1 where
--- they say nothing.
---@param record weir.Approval
---@param name string
---@param groups table<string, string[]>|nil
---@return integer
function M.weight_of(record, name, groups)
  local weights, most = record.weights or {}, nil
  if weights[name] and not (groups and groups[name]) then return weights[name] end
  for listed, weight in pairs(weights) do
    if groups and groups[listed] and is_among({ listed }, name, groups) then most = math.max(most or 0, weight) end
  end
  return most or 1
end

--- How much all who have approved weigh together.
---@param record weir.Approval
---@return integer
function M.weight_given(record)
  local sum = 0
  for _, entry in ipairs(record.given) do sum = sum + (entry.weight or 1) end
  return sum
end

-- For whom a delegate may decide: of those who may themselves and have not yet, the one whose decision weighs most.
local function principal_of(record, by, groups, now_ms)
  local best, most
  for _, one in ipairs(record.delegated or {}) do
    local holds = one.to == by and not (one.until_ms and now_ms >= one.until_ms)
    if holds and may_decide(record, one.by, groups) and not voice_of(record, one.by) then
      local weight = M.weight_of(record, one.by, groups)
      if not most or weight > most then best, most = one.by, weight end
    end
  end
  return best
end

local function refuse_stranger(record, by)
  local who = record.who and table.concat(record.who, ", ") or "anybody else"
  return nil, ("%s may not decide this; %s may"):format(by, who), "denied"
end

local function refuse_second(record, by, entry)
  if entry.by == by then
    return nil, ("%s has decided already; %d different people have to approve"):format(by, record.quorum), "denied"
  end
  return nil, ("%s has decided already in the place of %s"):format(entry.by, by), "denied"
end

--- Whether somebody may decide, and for whom. A name in `who` that is a group stands for its members only. Who may decide
--- anyway speaks for themself; a delegate speaks once, for one of those who asked them to.
---@param record weir.Approval
---@param by string
---@param groups table<string, string[]>|nil
---@param now_ms integer|nil without it nobody decides for others
---@return { weight: integer, on_behalf_of: string|nil }|nil voice
---@return string|nil message
---@return string|nil code `denied`
function M.check_person(record, by, groups, now_ms)
  if record.not_initiator and by == record.initiator then
    return nil, ("%s began the run, so somebody else has to decide"):format(by), "denied"
  end
  local entry = voice_of(record, by)
  if entry then return refuse_second(record, by, entry) end
  if may_decide(record, by, groups) then return { weight = M.weight_of(record, by, groups) } end
  local principal = now_ms and principal_of(record, by, groups, now_ms)
  if not principal then return refuse_stranger(record, by) end
  return { weight = M.weight_of(record, principal, groups), on_behalf_of = principal }
end

local DELEGATIONS_MAX = 100 -- of one question

--- Whether somebody may have another one decide in their place. Nobody passes on what was delegated to them.
---@param record weir.Approval
---@param by string
---@param to string
---@param groups table<string, string[]>|nil
---@return true|nil
---@return string|nil message
---@return string|nil code `invalid`, `denied`, `limit`
function M.check_delegation(record, by, to, groups)
  for _, name in ipairs { by, to } do
    if not is_text(name, NAME_MAX) or not name:find "%S" then
      return nil, ("a name expected, UTF-8 text of at most %d bytes"):format(NAME_MAX), "invalid"
    end
  end
  if by == to then return nil, ("%s decides for themself anyway"):format(by), "invalid" end
  if groups and groups[to] then return nil, ("'%s' is a group; a person decides in the place of another"):format(to), "invalid" end
  local voice, message, code = M.check_person(record, by, groups)
  if not voice then return nil, message, code end
  if record.not_initiator and to == record.initiator then
    return nil, ("%s began the run, so somebody else has to decide"):format(to), "denied"
  end
  if #(record.delegated or {}) >= DELEGATIONS_MAX then
    return nil, ("it has been delegated %d times; that is enough"):format(DELEGATIONS_MAX), "limit"
  end
  return true
end

local function with_defaults(record, decision)
  local answer = decision.answer
  if decision.decision == "reject" and answer == nil then return nil end
  return schema.defaults(record.form, answer)
end

-- Whether an answer fits; the message names all that does not.
local function check_form(form, answer)
  if answer == nil then return nil, "an answer is needed: the form asks for one", "invalid" end
  local validate, wrong = schema.compile(form)
  if not validate then return nil, "the form is no JSON Schema: " .. wrong, "invalid" end
  local fits, errors = validate(answer, "answer")
  if fits then return true end
  local lines = {}
  for index, entry in ipairs(errors) do lines[index] = entry.message end
  return nil, table.concat(lines, "\n"), "invalid"
end

--- The answer of a decision, with the form's defaults filled in.
---@param record weir.Approval
---@param decision table
---@return boolean|nil fits
---@return any answer or the message, which names all that does not fit
---@return string|nil code `invalid`
function M.answer_of(record, decision)
  local answer = decision.answer
  if record.form ~= nil then
    answer = with_defaults(record, decision)
    local is_needed = decision.decision ~= "reject" or answer ~= nil
    local ok, message, code = true, nil, nil
    if is_needed then ok, message, code = check_form(record.form, answer) end
    if not ok then return nil, message, code end
  elseif answer ~= nil and decision.decision ~= "edit" then
    return nil, "nothing was asked for, so there is nothing to answer; an edit may carry an answer", "invalid"
  end
  local encoded, message = json.encode(answer)
  if not encoded then return nil, "answer: " .. message, "invalid" end
  return true, answer
end

--- Whether an approval says the same as those before it: with a quorum all approve one thing.
---@param record weir.Approval
---@param decision string
---@param answer any
---@return true|nil
---@return string|nil message
---@return string|nil code `conflict`
function M.check_agreement(record, decision, answer)
  local first = record.given[1]
  if decision == "reject" or not first then return true end
  if first.decision == decision and json.encode(first.answer, { canonical = true }) == json.encode(answer, { canonical = true }) then
    return true
  end
  local given = first.answer ~= nil and " with the answer " .. json.encode(first.answer) or ""
  return nil, ("%s said '%s'%s; who agrees says the same, who does not rejects"):format(first.by, first.decision, given), "conflict"
end

return M
