--- Streams between the steps of a group. A step that streams has one bounded channel for each reader;
--- a full one makes it wait (or drops, by its policy). What was streamed is also kept, since it is the
--- step's output when it returns nothing else.

local channel = require "weir.native.channel"
local clock = require "weir.port.clock"
local failure = require "weir.failure"
local json = require "weir.native.json"

local M = {}

local DEFAULT_BUFFER = 64

-- Those that have not ended, for people who look.
local ongoing = setmetatable({}, { __mode = "k" })

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
---@return weir.Stream
function M.new(options, run, step)
  if type(options) ~= "table" then options = {} end
  local self = setmetatable({ run = run, step = step, readers = {}, items = {}, count = 0, buffer = options.buffer or DEFAULT_BUFFER,
    on_full = options.on_full or "wait", interval = options.rate and 1 / options.rate or false, due = 0,
    on_item = false, tell = false }, Stream)
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
  local reader = channel.new(self.buffer, self.on_full)
  self.readers[#self.readers + 1] = reader
  if self.ended then reader:close(self.reason, self.code) end
  return reader
end

local function pace(self)
  local now = clock.now()
  if now < self.due then clock.sleep(self.due - now) end
  self.due = math.max(now, self.due) + self.interval
end

--- Gives an item to every reader; waits for those that are behind. A reader that has gone is left out.
function Stream:emit(item)
  if self.interval then pace(self) end
  local count = self.count + 1
  self.count, self.items[count] = count, item
  if self.on_item then self.on_item() end
  if self.tell then self.tell(item) end
  local readers = self.readers
  for index = #readers, 1, -1 do
    if not readers[index]:send(item) then table.remove(readers, index) end
  end
end

--- Ends the stream; with a code, readers get the error once they have read what was sent.
function Stream:close(reason, code)
  if self.ended then return end
  ongoing[self] = nil
  self.ended, self.reason, self.code = true, reason, code
  for _, reader in ipairs(self.readers) do reader:close(reason, code) end
end

--- What was streamed, as one value: strings joined, else a list.
function Stream:value()
  for index = 1, self.count do
    if type(self.items[index]) ~= "string" then return json.list(self.items) end
  end
  return table.concat(self.items)
end

--- Forgets what was sent by an attempt that failed before anybody could read it.
function Stream:reset()
  self.items, self.count = {}, 0
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

local function in_order(self)
  local position = 1
  return function()
    while position <= #self.order do
      local item, message, code = self.channels[self.order[position]]:recv()
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
      local item, message, code = self.channels[name]:recv()
      if item == nil then return raise_unless_ended(message, code) end
      row[name] = item
    end
    return row
  end
end

local MERGE = { order = in_order, arrival = by_arrival, zip = zipped }

--- An iterator over one source, or over all as `merge` says.
function Sources:items(step)
  if step == nil and #self.order > 1 then return MERGE[self.merge](self) end
  step = step or self.order[1]
  local source = self.channels[step]
  if not source then error(("there is no source '%s'; this step reads %s"):format(step, table.concat(self.order, ", ")), 3) end
  return source:items()
end

--- Lets go of every source: whoever sends to it need not wait any more.
function Sources:close()
  for _, source in pairs(self.channels) do source:close() end
end

return M
