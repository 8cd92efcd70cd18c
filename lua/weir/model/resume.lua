--- Going on after a stream that broke, without giving out any text twice.
---
--- `retry` asks the same again and compares what comes with what has been given out: only what is beyond goes out. Where the
--- two part, a consumer that can take text back is told so, { restart = BYTES }: its text after so many bytes, and every
--- tool call that had begun, is taken back; what follows replaces it. For other consumers the attempt fails, and what was
--- given out stays. `continue` gives a model the text so far as the beginning of its answer and adds what it says; what the
--- model repeats of that text is left out. Structured output and calls of tools are asked for again under both, because
--- half of one cannot be continued.
---
--- Reasoning that differs is no reason to stop: no more of it goes out. Waits where the calls wait.

local errors = require "weir.model.errors"
local growing = require "weir.text.growing"

local M = {}

local ATTEMPTS = 2
local REPEATED = 16 -- bytes at least by which an answer must overlap the text before it to count as a repetition
local GO_ON = "Your answer was cut off. Continue it exactly where it ends. Repeat nothing of it and add no remark."
local PARTED = {}   -- raised within a call whose answer parts from what was given out

-- What has been given out --------------------------------------------------------------------------

-- How many bytes of `piece` stand at `from` (0-based) of the text.
local function common(text, from, piece)
  local most = math.min(#piece, #text - from)
  if text:sub(from + 1, from + most) == piece:sub(1, most) then return most end
  local low, high = 0, most
  while low + 1 < high do
    local middle = (low + high) // 2
    if text:sub(from + 1, from + middle) == piece:sub(1, middle) then low = middle else high = middle end
  end
  return low
end

-- The place at or before `at` where a character begins.
local function char_start(text, at)
  while at > 0 and at < #text and text:byte(at + 1) & 0xC0 == 0x80 do at = at - 1 end
  return at
end

---@class weir.model.GivenOut
local Given = {}
Given.__index = Given

local function new_given(emit, can_roll_back)
  return setmetatable({ emit = emit, can_roll_back = can_roll_back, text = growing.new(), reasoning = growing.new(),
    refusal = growing.new(), calls = {} }, Given)
end

function Given:is_empty()
  return self.text.size == 0 and #self.calls == 0 and self.refusal.size == 0
end

local function new_call(id, name) return { id = id, name = name, arguments = growing.new() } end

local function give_call(self, piece)
  local call = self.calls[piece.index]
  if not call then
    call = new_call(piece.id, piece.name)
    self.calls[piece.index] = call
  end
  call.id, call.name = call.id or piece.id, call.name or piece.name
  if piece.arguments then call.arguments:add(piece.arguments) end
  self.emit { tool_call = piece }
end

-- One attempt at the same request -----------------------------------------------------------------

local FIELDS = { "text", "reasoning", "refusal" }

local Attempt = {}
Attempt.__index = Attempt

local function new_attempt(given)
  return setmetatable({ given = given, at = { text = 0, reasoning = 0, refusal = 0 }, calls = {}, own = {},
    compares = not given:is_empty() or given.reasoning.size > 0 }, Attempt)
end

-- Takes back what was given out from a place on; the calls of this attempt that were passed over go out now.
local function restart(self, at)
  local given = self.given
  if not given.can_roll_back then error(PARTED, 0) end
  given.text:cut(at)
  given.calls = {}
  given.emit { restart = at }
  self.restarted = true
  for _, piece in ipairs(self.own) do give_call(given, piece) end
end

local function give_text(self, field, piece)
  self.given[field]:add(piece)
  self.at[field] = self.given[field].size
  self.given.emit { [field] = piece }
end

-- Text that has been given out already is passed over; what is beyond goes out.
local function take_text(self, field, piece)
  local known = self.given[field]
  if self.at[field] >= known.size then return give_text(self, field, piece) end
  local text = known:whole()
  local same = common(text, self.at[field], piece)
  self.at[field] = self.at[field] + same
  if same == #piece then return end
  if self.at[field] < #text then
    local parted = self.at[field]
    local at = char_start(text, parted)
    restart(self, at)
    return give_text(self, field, text:sub(at + 1, parted) .. piece:sub(same + 1))
  end
  give_text(self, field, piece:sub(same + 1))
end

local function take_reasoning(self, piece)
  if self.is_silent then return end
  local known = self.given.reasoning
  local same = self.at.reasoning < known.size and common(known:whole(), self.at.reasoning, piece) or 0
  self.at.reasoning = self.at.reasoning + same
  if same == #piece then return end
  if self.at.reasoning < known.size then self.is_silent = true else give_text(self, "reasoning", piece:sub(same + 1)) end
end

-- The call of this attempt that has the place, with how far it has been compared.
local function own_call(self, piece)
  local call = self.calls[piece.index]
  if not call then
    call = { at = 0 }
    self.calls[piece.index] = call
  end
  return call
end

local function take_call(self, piece)
  local known, own = self.given.calls[piece.index], own_call(self, piece)
  if not self.compares then return give_call(self.given, piece) end
  self.own[#self.own + 1] = piece
  if self.restarted or not known then return give_call(self.given, piece) end
  local text, arguments = known.arguments:whole(), piece.arguments or ""
  local same = own.at < #text and common(text, own.at, arguments) or 0
  own.at = own.at + same
  local is_parted = piece.name and known.name and piece.name ~= known.name or same < #arguments and own.at < #text
  if is_parted then return restart(self, self.at.text) end
  if same == #arguments then return end
  own.at = own.at + #arguments - same
  give_call(self.given, { index = piece.index, arguments = arguments:sub(same + 1) })
end

-- Nothing was given out with which a first answer could part: its text goes out as it comes.
local function take_first(self, delta)
  local given, at = self.given, self.at
  for index = 1, #FIELDS do
    local field = FIELDS[index]
    local piece = delta[field]
    if piece then
      given[field]:add(piece)
      at[field] = given[field].size
    end
  end
  given.emit(delta)
end

function Attempt:take(delta)
  if not self.compares and not delta.tool_call then return take_first(self, delta) end
  if delta.usage then self.given.emit { usage = delta.usage } end
  if delta.text then take_text(self, "text", delta.text) end
  if delta.refusal then take_text(self, "refusal", delta.refusal) end
  if delta.reasoning then take_reasoning(self, delta.reasoning) end
  if delta.tool_call then take_call(self, delta.tool_call) end
end

-- Whoever has seen a call goes on to know it by the id it had.
local function keep_ids(self, response)
  if self.restarted then return end
  for place, call in ipairs(response.message.tool_calls or {}) do
    local known = self.given.calls[place]
    if known and known.id then call.id = known.id end
  end
end

local function is_short(self)
  if self.restarted then return false end
  local given = self.given
  if self.at.text < given.text.size then return true end
  for place, call in ipairs(given.calls) do
    if not self.calls[place] or self.calls[place].at < call.arguments.size and self.compares then return true end
  end
  return false
end

-- The answer is whole: it may be shorter than what was given out.
function Attempt:finish(response)
  if self.compares and is_short(self) then restart(self, self.at.text) end
  keep_ids(self, response)
  return response
end

-- One attempt at the rest -------------------------------------------------------------------------

-- Text that the model may be repeating is held back for as long as all of it stands somewhere in the text before.
local Rest = {}
Rest.__index = Rest

local function new_rest(given)
  return setmetatable({ given = given, before = given.text:whole(), held = "", at = 1, kept = growing.new() }, Rest)
end

local function give_rest(self, text)
  if text == "" then return end
  self.kept:add(text)
  self.given.text:add(text)
  self.given.emit { text = text }
end

-- The longest end of the text before with which what is held begins.
local function overlap(before, held)
  for size = math.min(#before, #held), 1, -1 do
    if (size >= REPEATED or size == #before) and before:sub(-size) == held:sub(1, size) then return size end
  end
  return 0
end

local function release(self)
  local held = self.held
  self.held, self.is_decided = "", true
  give_rest(self, held:sub(overlap(self.before, held) + 1))
end

local function may_repeat(self)
  if self.before:sub(self.at, self.at + #self.held - 1) == self.held then return true end
  self.at = self.before:find(self.held, self.at, true)
  return self.at ~= nil
end

function Rest:take(delta)
  if delta.text and self.is_decided then give_rest(self, delta.text)
  elseif delta.text then
    self.held = self.held .. delta.text
    if not may_repeat(self) then release(self) end
  end
  if delta.reasoning then self.given.reasoning:add(delta.reasoning) end
  if delta.tool_call then give_call(self.given, delta.tool_call) end
  local others = { reasoning = delta.reasoning, refusal = delta.refusal, usage = delta.usage }
  if next(others) then self.given.emit(others) end
end

function Rest:finish(response)
  if not self.is_decided then release(self) end
  response.message.content = self.given.text:whole()
  return response
end

-- The request for the rest: the text so far stands as what the model has said.
local function request_for_rest(request, text, prefill)
  local copy = {}
  for name, value in pairs(request) do copy[name] = value end
  copy.messages = table.move(request.messages, 1, #request.messages, 1, {})
  copy.messages[#copy.messages + 1] = { role = "assistant", content = text }
  if not prefill then copy.messages[#copy.messages + 1] = { role = "user", content = GO_ON } end
  return copy
end

-- Attempts ----------------------------------------------------------------------------------------

local function packed(...) return table.pack(...) end

-- Makes a call; an answer that parts from what was given out is a cut like any other.
local function try(attempt, call, request)
  local function emit(delta) attempt:take(delta) end
  local ok, result = pcall(function()
    local found = packed(call(request, emit))
    if found[1] then attempt:finish(found[1]) end
    return found
  end)
  if ok then return table.unpack(result, 1, 4) end
  if result ~= PARTED then error(result, 0) end
  return errors.refuse("cut", "asked again, the model gave another answer than the one it had begun", { parted = true })
end

local function can_go_on(detail, given)
  if not detail or detail.at_once then return false end
  local first = errors.actions(detail)[1]
  return first == "resume" or first == "retry" and not given:is_empty()
end

local function with_text(detail, given)
  if detail and given.text.size > 0 then detail.text = given.text:whole() end
  return detail
end

local function next_attempt(given, request, options)
  local may_continue = options.policy == "continue" and given.text.size > 0 and #given.calls == 0 and not request.schema
  if not may_continue then return new_attempt(given), request end
  return new_rest(given), request_for_rest(request, given.text:whole(), options.prefill), options.continue_with
end

--- Makes a call and, where its stream breaks, goes on as the policy says. Waits.
---@param call fun(request: table, emit: fun(delta: table)): table?, string?, string?, table? asks a model
---@param request table see the contract of model modules
---@param emit fun(delta: table) takes what goes out: deltas, each text once; may wait
---@param options { policy: "retry"|"continue"|"none"|nil, attempts: integer?, can_roll_back: boolean?, prefill: boolean?,
---   continue_with: function?, again: (fun(detail: weir.model.Detail, attempt: integer): boolean)? }|nil
---   policy: retry; attempts: how often to go on (2); can_roll_back: the consumer knows `restart`; prefill: the model goes on
---   from an assistant's message at the end by itself; continue_with: asks the model that continues, else `call`; again: may
---   wait, and says whether to go on
---@return table|nil response with `resumed`, a list of the details of what broke, if anything did
---@return string|nil message
---@return string|nil code
---@return weir.model.Detail|nil detail its `text` is what was given out
function M.call(call, request, emit, options)
  options = options or {}
  local given = new_given(emit, options.can_roll_back)
  local attempt, asked, ask = new_attempt(given), request, nil
  local broken = {}
  while true do
    local response, message, code, detail = try(attempt, ask or call, asked)
    if response then
      response.resumed = broken[1] and broken or nil
      return response
    end
    local count = #broken + 1
    local is_last = options.policy == "none" or count > (options.attempts or ATTEMPTS) or not can_go_on(detail, given)
    if is_last or options.again and not options.again(detail, count) then return nil, message, code, with_text(detail, given) end
    broken[count] = detail
    attempt, asked, ask = next_attempt(given, request, options)
  end
end

return M
