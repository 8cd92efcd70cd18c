--- Conversations in a journal. A request shares most of its messages with the request before it, so a journal entry names
--- that one and holds only what is new: an agent of many rounds writes as much as it says, not the square of it. Large
--- messages stand in the blob table by their content, like all large elements of an entry.
---
---   {"turn", key, base, kept, may_use, message...}   the request of the call `key`: the first `kept` messages of what the
---        call `base` (false: none) was asked and answered, and then these; {tokens, usd} that it may use. A message with a
---        long text stands without it, followed by the text: the same element as the output of a tool that gave it

local hash = require "weir.native.hash"
local json = require "weir.native.json"
local store_port = require "weir.port.store"

local M = {}

local LONG = 1024 -- bytes of a text that stands by itself

--- The hash of a message: equal messages have equal ones.
---@param message weir.model.Message
---@return string 32 bytes
function M.hash(message)
  return hash.sha256(assert(store_port.encode(message)), "raw")
end

--- One conversation as a context goes through it.
---@class weir.model.Conversation
---@field key string|nil    of the latest call
---@field hashes string[]   of what it was asked and answered
local Conversation = {}
Conversation.__index = Conversation

---@return weir.model.Conversation
function M.new()
  return setmetatable({ hashes = {} }, Conversation)
end

local function common(a, b)
  local count = 0
  while count < #a and a[count + 1] == b[count + 1] do count = count + 1 end
  return count
end

--- The hashes of the messages of a request. Those that were hashed for the call before are known by their table, as long as
--- nobody has changed it: so each is hashed again, which costs less than sending it.
---@param messages weir.model.Message[]
---@return string[]
function M.hashes(messages)
  local hashes = {}
  for index, message in ipairs(messages) do hashes[index] = M.hash(message) end
  return hashes
end

local function add_message(entry, message)
  local count, text = #entry, message.content
  if #text <= LONG then
    entry[count + 1] = message
    return
  end
  local rest = {}
  for name, value in pairs(message) do rest[name] = value end
  rest.content = nil
  entry[count + 1], entry[count + 2] = rest, text
end

-- Adds the messages that an entry holds.
local function read_messages(entry, messages)
  for index = 6, #entry do
    local element = entry[index]
    if type(element) == "string" then messages[#messages].content = element else messages[#messages + 1] = element end
  end
end

--- The entry that says what a call is asked, to be written before it.
---@param key string
---@param messages weir.model.Message[]
---@param hashes string[]
---@param may_use { tokens: number, usd: number }
---@return table entry
function Conversation:turn(key, messages, hashes, may_use)
  local kept = common(self.hashes, hashes)
  local entry = { "turn", key, kept > 0 and self.key or false, kept, may_use }
  for index = kept + 1, #messages do add_message(entry, messages[index]) end
  return entry
end

--- What a call was asked and answered is where the next one begins.
---@param key string
---@param hashes string[] of the request
---@param answer weir.model.Message
function Conversation:heard(key, hashes, answer)
  local all = table.move(hashes, 1, #hashes, 1, {})
  all[#all + 1] = M.hash(answer)
  self.key, self.hashes = key, all
end

--- The messages of every call of a journal, as far as it tells.
---@param entries table[]
---@return table<string, { messages: weir.model.Message[], answer: weir.model.Message|nil }> calls by key
function M.read(entries)
  local calls = {}
  for _, entry in ipairs(entries) do
    if entry[1] == "turn" then
      local base = entry[3] and calls[entry[3]]
      local messages = json.list {}
      if base then
        table.move(base.messages, 1, math.min(#base.messages, entry[4]), 1, messages)
        if #messages < entry[4] then messages[#messages + 1] = base.answer end
      end
      read_messages(entry, messages)
      calls[entry[2]] = { messages = messages }
    elseif entry[1] == "step" and calls[entry[2]] and entry[4] == "finished" then
      calls[entry[2]].answer = entry[8].message
    end
  end
  return calls
end

return M
