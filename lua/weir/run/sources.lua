--- What one step reads: the streams of others. Each is read from the stream's own list up to where the reader came to it, or
--- came to it again, and from its channel behind that.
---
--- When a stream takes back what a reader has read already, the reader that has said how (`rewind` in `ctx:items`) goes on
--- from the last item that holds: what it streamed since is compared with what it streams now, what it did as steps since is
--- forgotten. Any other is begun anew and reads again from the first item; what it streams again is left out there as well.

local channel = require "weir.native.channel"
local failure = require "weir.failure"
local native = require "weir.native.scheduler"

local M = {}

-- In a channel: what was read has been taken back; and: the list has something to be read first, for a reader that waits.
local MARK, LOOK = {}, {}

-- One end of a stream ----------------------------------------------------------------------------------

---@class weir.StreamEnd
---@field sources weir.Sources
---@field stream weir.Stream
---@field channel userdata
---@field extra integer          values that the channel took, less the items that the stream has given
---@field marks integer          MARKs and LOOKs in the channel
---@field at integer             items read of the list
---@field history integer|false  items to be read of the list; false: the channel is being read
---@field roll boolean           the reader goes on by itself
local End = {}
End.__index = End

local function new_end(sources, stream, of_channel)
  local self = setmetatable({ sources = sources, stream = stream, channel = of_channel, extra = 0, marks = 0, at = 0, history = false,
    roll = false, valid = false }, End)
  stream.ends = stream.ends or {}
  table.insert(stream.ends, self)
  if stream.count > 0 then self.extra, self.history = -stream.count, stream.count end
  return self
end

-- How many items the reader has been given, in its channel or in the list.
local function given(self)
  return self.channel:stats().accepted - self.extra
end

-- How many of them it has taken.
local function taken(self)
  if self.left_at then return self.left_at end
  if self.history then return self.at end
  return given(self) - (self.channel:stats().count - self.marks)
end

local function is_counted(self)
  local on_full = self.stream.on_full
  return (on_full == "wait" or on_full == "spill") and not self.stream.forgets
end

--- Why items behind some cannot be taken back from the reader; nil: they can.
---@param valid integer
---@return string|nil
function End:refusal(valid)
  local sources = self.sources
  if taken(self) <= valid then return nil end
  if sources.has_finished then return ("step '%s' has read them and has finished"):format(sources.step.name) end
  if sources.scope and sources.step.once then return ("step '%s' has read them and is never started twice"):format(sources.step.name) end
end

local function tell(self, sign)
  self.marks, self.extra = self.marks + 1, self.extra + 1
  self.channel:try_send(sign)
end

local function drain(self)
  repeat local item = self.channel:try_recv() until item == nil
  self.marks = 0
end

--- Takes back the items behind those that hold.
---@param valid integer
---@param before integer items that the stream had given out
function End:take_back(valid, before)
  if self.left_at then return end
  local was = is_counted(self) and taken(self) or before
  drain(self)
  self.extra = self.channel:stats().accepted - valid
  if was <= valid then
    self.at, self.history = was, valid
    tell(self, LOOK)
  elseif self.roll then
    self.history, self.valid = false, valid
    tell(self, MARK)
    self.roll(valid)
  else
    self.sources:begin_anew()
  end
end

-- The next item of the list; nil at its end. What an earlier life did with what has been taken back since is forgotten.
local function from_history(self)
  local index = self.at + 1
  local parts = self.stream.parts
  local before = parts and parts[index]
  if before then self.sources:forget(index, before) end
  if self.at >= self.history then
    self.history = false
    return nil
  end
  self.at = index
  return self.stream.items[index]
end

-- Sources ----------------------------------------------------------------------------------------------

---@class weir.Sources
---@field step table          that reads
---@field run weir.Run
---@field ends table<string, weir.StreamEnd>  by step that streams
---@field order string[]      names in the order of `from`
---@field merge "arrival"|"order"|"zip"
---@field own weir.Stream|nil what the reader streams
---@field scope any           of the attempt that reads
---@field is_anew boolean     it is to be begun anew
---@field has_finished boolean it has its outcome, which rests on what it read
local Sources = {}
Sources.__index = Sources

--- What a step reads.
---@param frame weir.Frame of the group, with `streams`
---@param step table
---@return weir.Sources
function M.new(frame, step)
  local self = setmetatable({ run = frame.run, step = step, order = step.from.steps, merge = step.from.merge or "arrival", ends = {},
    scope = false, is_anew = false, has_finished = false }, Sources)
  for _, name in ipairs(self.order) do
    local stream = frame.streams[name]
    self.ends[name] = new_end(self, stream, stream:subscribe())
  end
  return self
end

--- Everything is read again from its first item, as far as it is kept. Does not wait.
function Sources:restart()
  for _, name in ipairs(self.order) do
    local one = self.ends[name]
    one.roll = false
    if is_counted(one) and not one.left_at then
      if one.history then
        one.at = 0
      else
        one.at, one.history = 0, given(one) - (one.channel:stats().count - one.marks)
      end
    end
  end
end

-- The attempt that has read what does not hold any more ends, and another one is made.
function Sources:begin_anew()
  self.is_anew = true
  if self.scope then self.scope:cancel "what it has read was taken back" end
end

--- Begins an attempt in a scope; makes it again for as long as what it reads is taken back. Waits.
---@param attempt fun(): ... runs the attempt
---@param within fun(body: fun(scope: any): ...): boolean, ... as `task.within`
---@param anew fun() called before it is made again
---@return boolean ok
---@return any ... what the attempt gave, or the error
function Sources:read(attempt, within, anew)
  while true do
    self.is_anew = false
    local results = table.pack(within({}, function(scope)
      self.scope = scope
      return attempt()
    end))
    self.scope = false
    if not self.is_anew or native.cancelled() then return table.unpack(results, 1, results.n) end
    self:restart()
    anew()
  end
end

-- What an earlier life recorded below the reader behind a place, before an entry of the journal, holds no more.
function Sources:forget(index, before)
  local journal, reader = self.run.journal, self.reader
  if not journal or not journal.has_past or not reader then return end
  journal:forget_behind(reader.key, reader.counters(), (index - 1) // (reader.batch or 1), before)
end

local function raise_unless_ended(message, code)
  if code ~= "closed" then failure.raise(code, message) end
end

-- The next item of the channel, which then has room for another one.
local function receive(one)
  local item, message, code = one.channel:recv()
  if one.stream.late then one.stream:refill(one.channel) end
  return item, message, code
end

-- Whether what came of a channel only says that the list is to be looked at.
local function is_look(one, item)
  if item ~= LOOK then return false end
  one.marks = one.marks - 1
  return true
end

local function pull(one)
  while true do
    local listed = one.history and from_history(one)
    if listed then return listed end
    local item, message, code = receive(one)
    if not is_look(one, item) then return item, message, code end
  end
end

-- As an iterator.
local function items_of(one)
  if not one.stream.late then return one.channel:items() end
  return function()
    local item, message, code = receive(one)
    if item == nil then raise_unless_ended(message, code) end
    return item
  end
end

local function in_order(self)
  local position = 1
  return function()
    while position <= #self.order do
      local item, message, code = pull(self.ends[self.order[position]])
      if item ~= nil then return item end
      raise_unless_ended(message, code)
      position = position + 1
    end
  end
end

local function by_arrival(self)
  local open, ends = {}, {}
  for index, name in ipairs(self.order) do open[index], ends[index] = self.ends[name].channel, self.ends[name] end
  local function from_lists()
    for _, one in ipairs(ends) do
      local item = one.history and from_history(one)
      if item then return item end
    end
  end
  return function()
    local listed = from_lists()
    while listed == nil and #open > 0 do
      local index, item, message, code = channel.select(open)
      local one = index and ends[index]
      if one and one.stream.late then one.stream:refill(one.channel) end
      if one and is_look(one, item) then
        listed = from_lists()
      elseif item ~= nil then
        return item
      else
        raise_unless_ended(message, code)
        table.remove(open, index)
        table.remove(ends, index)
      end
    end
    return listed
  end
end

local function zipped(self)
  return function()
    local row = {}
    for _, name in ipairs(self.order) do
      local item, message, code = pull(self.ends[name])
      if item == nil then return raise_unless_ended(message, code) end
      row[name] = item
    end
    return row
  end
end

local MERGE = { order = in_order, arrival = by_arrival, zip = zipped }

local function plain(one)
  local next_item, of = items_of(one)
  return function()
    while true do
      local item
      if one.history then item = from_history(one) end
      if item ~= nil then return item end
      item = next_item(of)
      if not is_look(one, item) then return item end
    end
  end
end

-- Where the reader stands between two items: what it has streamed, and what it has asked for.
local function place_of(self)
  local counters = {}
  for name, count in pairs(self.reader.counters()) do counters[name] = count end
  return { own = self.own and self.own:place(), counters = counters }
end

-- Of a reader that goes on by itself its place before each item is known.
local function rolling(self, one, rewound)
  local next_item, of = items_of(one)
  local position, places = 0, {}
  function one.roll(valid)
    if self.own then self.own:return_to(places[valid].own) end
  end
  local function go_back()
    one.marks, position = 0, one.valid
    local counters = self.reader.counters()
    for name in pairs(counters) do counters[name] = places[position].counters[name] end
    self:forget(position + 1, math.huge)
    if self.own then self.own:go_on() end
    rewound(position)
  end
  return function()
    while true do
      places[position] = place_of(self)
      local item = one.history and from_history(one) or next_item(of)
      if item == MARK then
        go_back()
      elseif not is_look(one, item) then
        position = position + 1
        return item
      end
    end
  end
end

--- An iterator over one source, or over all as `merge` says.
---@param what string|{ step: string?, rewind: fun(valid: integer)? }|nil  which one; rewind: the reader goes on when items that it
---   has read are taken back: it is told, before the next item, how many hold
---@param reader { key: string, counters: fun(): table<string, integer>, own: weir.Stream|nil, batch: integer|nil } batch: so many
---  items are one to the reader
function Sources:items(what, reader)
  local name, rewound = what, nil
  if type(what) == "table" then name, rewound = what.step, what.rewind end
  self.reader, self.own = reader, reader.own
  if name == nil and #self.order > 1 then return MERGE[self.merge](self) end
  name = name or self.order[1]
  local one = self.ends[name]
  if not one then error(("there is no source '%s'; this step reads %s"):format(name, table.concat(self.order, ", ")), 3) end
  if rewound and #self.order == 1 and is_counted(one) then return rolling(self, one, rewound) end
  return plain(one)
end

--- Lets go of every source: whoever sends to it need not wait any more.
---@param has_finished boolean with an outcome that rests on what it read
function Sources:close(has_finished)
  self.has_finished = has_finished
  for _, name in ipairs(self.order) do
    local one = self.ends[name]
    one.left_at = is_counted(one) and taken(one) or one.stream.count
    one.channel:close()
  end
end

return M
