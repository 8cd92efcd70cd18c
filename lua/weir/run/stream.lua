--- Streams between the steps of a group. A step that streams has one bounded channel for each reader;
--- a full one makes it wait (or drops, by its policy). What was streamed is also kept, since it is the
--- step's output when it returns nothing else.
---
--- In a run with a journal the items go there too, in batches, and always before an outcome that could rest on them: so a
--- reader that goes on after a crash is given the same items, and what it did with them is found again. A step that is
--- tried again says again what its readers have heard; that is left out, and only what is new goes to them.

local channel = require "weir.native.channel"
local clock = require "weir.port.clock"
local failure = require "weir.failure"
local json = require "weir.native.json"
local scheduler = require "weir.native.scheduler"
local value_of = require "weir.value"

local M = {}

local DEFAULT_BUFFER = 64
local BATCH, SOON = 256, 16 -- items that go to the journal together; a multiple of so few when some time has passed
local LATENCY = 0.1         -- seconds

-- Those that have not ended, for people who look.
local ongoing = setmetatable({}, { __mode = "k" })

-- Of the readers of streams that spill: {stream, reader, next}, the number of the item that its channel gets next. What it has
-- no room for stands among the items of the stream, from where the reader itself fetches it.
local spilling = setmetatable({}, { __mode = "k" })

--- One step's stream.
---@class weir.Stream
---@field run weir.Run|nil  whose it is
---@field step string|nil   and which step's
local Stream = {}
Stream.__index = Stream

--- Opens the stream of a step.
---@param options table|boolean|nil {buffer, on_full, rate}
---@param run weir.Run|nil
---@param step string|nil
---@param key string|nil of the step in the run's journal; nil: its items are not kept there
---@return weir.Stream
function M.new(options, run, step, key)
  if type(options) ~= "table" then options = {} end
  local self = setmetatable({ run = run, step = step, readers = {}, items = {}, count = 0, buffer = options.buffer or DEFAULT_BUFFER,
    on_full = options.on_full or "wait", interval = options.rate and 1 / options.rate or false, due = 0,
    on_item = false, watch = false, judge = false, from = 1, forgets = false, tell = false, blocked_s = 0, again = false,
    unkept = false }, Stream)
  if key and run.journal then
    self.key, self.recorded, self.kept, self.kept_at = key, run.journal.streams[key] or {}, 0, clock.now()
    self.unkept = 0
  end
  ongoing[self] = true
  return self
end

--- The streams of this process that have not ended, in no order. Does not wait.
---@return weir.Stream[]
function M.open_ones()
  local list = {}
  for stream in pairs(ongoing) do list[#list + 1] = stream end
  return list
end

--- A channel that gets every item from now on.
function Stream:subscribe()
  local spills = self.on_full == "spill"
  local reader = channel.new(self.buffer, spills and "wait" or self.on_full)
  self.readers[#self.readers + 1] = reader
  if spills and not self.forgets then spilling[reader] = { stream = self, reader = reader, next = self.count + 1 } end
  if self.ended then reader:close(self.reason, self.code) end
  return reader
end

local function pace(self)
  local now = clock.now()
  if now < self.due then clock.sleep(self.due - now) end
  self.due = math.max(now, self.due) + self.interval
end

-- What stands in the journal already from an earlier life need not be written again; what differs goes on from there.
local function is_recorded(self, count, item)
  local recorded = self.recorded
  if recorded[count] == nil then return false end
  if value_of.equal(recorded[count], item) then return true end
  self.recorded = table.move(recorded, 1, count - 1, 1, {})
  return false
end

local function keep(self, count, item)
  if self.kept == count - 1 and is_recorded(self, count, item) then
    self.kept = count
    return
  end
  local unkept = count - self.kept
  if unkept == 1 then self.run.journal:note_stream(self) end
  if unkept >= BATCH or unkept % SOON == 0 and clock.now() - self.kept_at >= LATENCY then self:flush() end
end

--- Writes the items that are not in the journal yet. Does not wait.
function Stream:flush()
  local from = self.kept + 1
  if from > self.count then return end
  self.run.journal.handle:note(table.move(self.items, from, self.count, 4, { "items", self.key, from }))
  self.kept, self.kept_at = self.count, clock.now()
end

-- Gives a reader's channel what it has room for, and its end after that. Does not wait; gives whether the reader is there.
local function fill(own)
  local stream, reader = own.stream, own.reader
  while own.next <= stream.count do
    local sent, _, code = reader:try_send(stream.items[own.next])
    if not sent then return code == "full" end
    own.next = own.next + 1
  end
  if stream.ended then reader:close(stream.reason, stream.code) end
  return true
end

-- Emitter and reader both fill, and either may lose the processor anywhere.
local function refill(reader)
  local own = spilling[reader]
  return own and scheduler.atomic(fill, own)
end

--- How many items a reader has yet to read. Does not wait.
---@param reader userdata  one of `readers`
---@return integer
function Stream:depth(reader)
  local own = spilling[reader]
  return reader:stats().count + (own and self.count + 1 - own.next or 0)
end

-- A reader that is behind keeps the step waiting; how long, is known.
local function send(self, reader, item)
  if spilling[reader] then return refill(reader) end
  local sent, _, code = reader:try_send(item)
  if sent or code ~= "full" then return sent end
  local from = clock.now()
  sent = reader:send(item)
  self.blocked_s = self.blocked_s + clock.now() - from
  return sent
end

-- How many bytes two texts begin with alike.
local function common(a, b)
  local count = 0
  while count < #a and a:byte(count + 1) == b:byte(count + 1) do count = count + 1 end
  return count
end

-- What is said again by another attempt is compared with what was given out: text by bytes, anything else by items.
-- Gives what is new of it.
local function new_of(self, item)
  local again = self.again
  if again.text then
    local rest = again.text:sub(again.at)
    if type(item) == "string" and #item <= #rest and rest:sub(1, #item) == item then
      again.at = again.at + #item
      if again.at > #again.text then self.again = false end
      return nil
    elseif type(item) == "string" and item:sub(1, #rest) == rest then
      self.again = false
      return item:sub(#rest + 1)
    end
  elseif value_of.equal(self.items[again.at], item) then
    again.at = again.at + 1
    if again.at > again.count then self.again = false end
    return nil
  end
  local same = again.text and type(item) == "string" and common(item, again.text:sub(again.at)) or 0
  failure.raise("conflict", "what step '%s' streams in another attempt is not what its readers were given before, from %s %d on",
    tostring(self.step), again.text and "byte" or "item", again.at + same)
end

--- Gives an item to every reader; waits for those that are behind. A reader that has gone is left out.
function Stream:emit(item)
  if self.again then
    item = new_of(self, item)
    if item == nil then return end
  end
  if self.interval then pace(self) end
  local count = self.count + 1
  if not self.forgets then self.items[count] = item end
  self.count = count
  if self.on_item then self.on_item() end
  if self.unkept then keep(self, count, item) end
  if self.tell then self.tell(item) end
  if self.watch then self.watch(item) end
  if self.judge then self.judge(item) end
  local readers = self.readers
  for index = #readers, 1, -1 do
    if not send(self, readers[index], item) then table.remove(readers, index) end
  end
end

--- Another attempt or draft begins. With no reader it begins anew. What readers were given stands: another attempt says it
--- again, another draft is heard after it.
---@param is_draft boolean
function Stream:restart(is_draft)
  if self.count == 0 then return end
  if #self.readers == 0 then return self:reset() end
  if is_draft then
    self.from = self.count + 1
    return
  end
  local text = self:value()
  local is_text = type(text) == "string"
  self.again = { at = is_text and 1 or self.from, count = self.count, text = is_text and text or nil }
  if self.from > self.count then self.again = false end
end

--- Gives the items of an earlier life to the readers, for a step that had finished then.
---@return boolean whether there were any
function Stream:replay()
  local recorded = self.recorded or {}
  for _, item in ipairs(recorded) do self:emit(item) end
  return #recorded > 0
end

--- Ends the stream; with a code, readers get the error once they have read what was sent.
function Stream:close(reason, code)
  if self.ended then return end
  ongoing[self] = nil
  self.ended, self.reason, self.code = true, reason, code
  for _, reader in ipairs(self.readers) do
    if spilling[reader] then refill(reader) else reader:close(reason, code) end
  end
  local run = self.run
  if run and run.listener then
    run:notify { kind = "stream", step = self.key, name = self.step, items = self.count, blocked_s = self.blocked_s }
  end
end

--- What was streamed, as one value: strings joined, else a list. Of a step with a critic: its latest draft.
function Stream:value()
  if self.forgets then return json.list {} end
  for index = self.from, self.count do
    if type(self.items[index]) ~= "string" then
      return json.list(self.from == 1 and self.items or table.move(self.items, self.from, self.count, 1, {}))
    end
  end
  return table.concat(self.items, "", self.from, self.count)
end

--- Forgets what was sent by an attempt that failed before anybody could read it.
function Stream:reset()
  self.items, self.count, self.from = {}, 0, 1
  if self.unkept then self.kept, self.recorded = 0, {} end
end

--- Reads a channel that an agent returned into the stream, to its end.
function Stream:drain(source)
  for item in source:items() do self:emit(item) end
end

--- What one step reads: the streams of others.
local Sources = {}
Sources.__index = Sources

--- @param channels table<string, userdata> by step
--- @param order string[] names in the order of `from`
--- @param merge "arrival"|"order"|"zip"|nil
function M.sources(channels, order, merge)
  return setmetatable({ channels = channels, order = order, merge = merge or "arrival" }, Sources)
end

local function raise_unless_ended(message, code)
  if code ~= "closed" then failure.raise(code, message) end
end

-- The next item of a channel, which then has room for another one.
local function receive(source)
  local item, message, code = source:recv()
  refill(source)
  return item, message, code
end

local function in_order(self)
  local position = 1
  return function()
    while position <= #self.order do
      local item, message, code = receive(self.channels[self.order[position]])
      if item ~= nil then return item end
      raise_unless_ended(message, code)
      position = position + 1
    end
  end
end

local function by_arrival(self)
  local open = {}
  for _, name in ipairs(self.order) do open[#open + 1] = self.channels[name] end
  return function()
    while #open > 0 do
      local index, item, message, code = channel.select(open)
      refill(open[index])
      if item ~= nil then return item end
      raise_unless_ended(message, code)
      table.remove(open, index)
    end
  end
end

local function zipped(self)
  return function()
    local row = {}
    for _, name in ipairs(self.order) do
      local item, message, code = receive(self.channels[name])
      if item == nil then return raise_unless_ended(message, code) end
      row[name] = item
    end
    return row
  end
end

local function of_spilled(source)
  return function()
    local item, message, code = receive(source)
    if item == nil then raise_unless_ended(message, code) end
    return item
  end
end

local MERGE = { order = in_order, arrival = by_arrival, zip = zipped }

--- An iterator over one source, or over all as `merge` says.
function Sources:items(step)
  if step == nil and #self.order > 1 then return MERGE[self.merge](self) end
  step = step or self.order[1]
  local source = self.channels[step]
  if not source then error(("there is no source '%s'; this step reads %s"):format(step, table.concat(self.order, ", ")), 3) end
  if spilling[source] then return of_spilled(source) end
  return source:items()
end

--- Lets go of every source: whoever sends to it need not wait any more.
function Sources:close()
  for _, source in pairs(self.channels) do source:close() end
end

return M
