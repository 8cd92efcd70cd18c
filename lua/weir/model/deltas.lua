--- The pieces of a streamed answer, put together to one response.
---
--- A delta is { text }, { reasoning }, { refusal }, { usage } or { tool_call = { index, id?, name?, arguments? } }, where
--- `arguments` is a piece of text. Providers number tool calls from 0, from 1 or not at all, and send them in pieces or
--- whole: `numbering` gives each piece its place. Pure; never yields.

local growing = require "weir.text.growing"
local json = require "weir.native.json"

local M = {}

-- Numbering ----------------------------------------------------------------------------------------

---@class weir.model.Numbering
local Numbering = {}
Numbering.__index = Numbering

--- Tells the pieces of several tool calls apart.
---@return weir.model.Numbering
function M.numbering()
  return setmetatable({ by_index = {}, by_id = {}, count = 0 }, Numbering)
end

local function begin(self, index, id)
  self.count = self.count + 1
  if index then self.by_index[index] = { place = self.count, id = id } end
  if id then self.by_id[id] = self.count end
  return self.count
end

local function by_index(self, index, id)
  local known = self.by_index[index]
  if not known or id and known.id and id ~= known.id then return begin(self, index, id) end -- some say 0 of every call
  known.id = known.id or id
  return known.place
end

--- The place of a piece among the tool calls of an answer.
---@param index integer|nil as the provider numbers it
---@param id string|nil
---@param name string|nil a piece with a name begins a call, where there is no index and no id
---@return integer place from 1
function Numbering:place(index, id, name)
  if id == "" then id = nil end
  if index then return by_index(self, index, id) end
  if id and self.by_id[id] then return self.by_id[id] end
  if id or name and name ~= "" or self.count == 0 then return begin(self, nil, id) end
  return self.count
end

-- Putting together ---------------------------------------------------------------------------------

---@class weir.model.Collector
---@field usage table|nil
local Collector = {}
Collector.__index = Collector

--- Takes deltas and makes a response of them.
---@param options { first_call: integer? }|nil first_call: the number of the first tool call in ids that
---   are made up for calls which came without one (1)
---@return weir.model.Collector
function M.collector(options)
  return setmetatable({ text = growing.new(), reasoning = growing.new(), refusal = growing.new(), calls = {},
    first_call = options and options.first_call or 1 }, Collector)
end

local function add_call(self, piece)
  local index = piece.index or math.max(1, #self.calls)
  if index < 1 or index > #self.calls + 1 then error(("tool call %d comes before call %d"):format(index, #self.calls + 1), 3) end
  local call = self.calls[index]
  if not call then
    call = { arguments = growing.new() }
    self.calls[index] = call
  end
  if piece.id and piece.id ~= "" then call.id = call.id or piece.id end
  if piece.name and piece.name ~= "" then call.name = call.name or piece.name end
  if piece.arguments then call.arguments:add(piece.arguments) end
end

local function add_usage(self, usage)
  self.usage = self.usage or {}
  for name, count in pairs(usage) do self.usage[name] = count end
end

--- Takes a delta. Later usage goes over earlier. `restart` takes back the text after so many bytes, and all tool calls.
---@param delta table
function Collector:add(delta)
  if delta.text then self.text:add(delta.text) end
  if delta.reasoning then self.reasoning:add(delta.reasoning) end
  if delta.refusal then self.refusal:add(delta.refusal) end
  if delta.tool_call then add_call(self, delta.tool_call) end
  if delta.usage then add_usage(self, delta.usage) end
  if delta.restart then
    self.text:cut(delta.restart)
    self.calls = {}
  end
end

--- The text that has come.
---@return string
function Collector:text_so_far()
  return self.text:whole()
end

--- The arguments of a tool call from their text. No text at all is no arguments.
---@param text string
---@return table|nil arguments
---@return string|nil problem for the model, which is to call again
function M.arguments(text)
  if not text:find "[^ \t\r\n]" then return {} end
  local value, message = json.decode(text)
  if message then return nil, "the arguments are no JSON: " .. message end
  if type(value) ~= "table" or json.is_list(value) or value == json.null then return nil, "the arguments must be a JSON object" end
  return value
end

local function call_of(self, call, place)
  local text = call.arguments:whole()
  local arguments, problem = M.arguments(text)
  local id = call.id or ("call_%d"):format(self.first_call + place - 1)
  if arguments then return { id = id, name = call.name or "", arguments = arguments } end
  return { id = id, name = call.name or "", raw = text, problem = problem }
end

local function calls_of(self)
  if #self.calls == 0 then return nil end
  local calls = {}
  for place, call in ipairs(self.calls) do calls[place] = call_of(self, call, place) end
  return json.list(calls)
end

local function unless_empty(text)
  return text.size > 0 and text:whole() or nil
end

--- How many bytes have come, of text, reasoning, a refusal and the arguments of tool calls.
---@return integer
function Collector:size()
  local size = self.text.size + self.reasoning.size + self.refusal.size
  for _, call in ipairs(self.calls) do size = size + call.arguments.size end
  return size
end

--- Whether there is neither text nor a tool call nor a refusal; reasoning alone says nothing.
---@return boolean
function Collector:is_empty()
  return self.text.size == 0 and #self.calls == 0 and self.refusal.size == 0
end

--- The response as far as it has come.
---@param fields { finish: string?, model: string?, id: string? }
---@return table response message, finish, usage, model, id
function Collector:response(fields)
  local calls = calls_of(self)
  local finish = fields.finish or "stop"
  if calls and finish == "stop" then finish = "tool_calls" end
  return {
    message = { role = "assistant", content = self:text_so_far(), reasoning = unless_empty(self.reasoning),
      refusal = unless_empty(self.refusal), tool_calls = calls },
    finish = finish, usage = self.usage or {}, model = fields.model, id = fields.id,
  }
end

--- How many tool calls the messages of a conversation hold: ids that are made up go on from there.
---@param messages table[]
---@return integer
function M.count_calls(messages)
  local count = 0
  for _, message in ipairs(messages) do count = count + #(message.tool_calls or {}) end
  return count
end

return M
