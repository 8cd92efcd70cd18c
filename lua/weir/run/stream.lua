--- Streams between the steps of a group. A step that streams has one bounded channel for each reader;
--- a full one makes it wait (or drops, by its policy). What was streamed is also kept, since it is the
--- step's output when it returns nothing else.
---
--- In a run with a journal the items go there too, in batches, and always before an outcome that could rest on them: so a
--- reader that goes on after a crash is given the same items, and what it did with them is found again. A step that is
--- tried again, or begun again after a crash, says again what its readers have heard; that is left out, and only what is
--- new goes to them. Where it says something else, what was given out is taken back from there on: a reader goes on with
--- what holds, or is begun anew (see `weir.run.sources`), and whoever looks is told (`rewind`).

local channel = require "weir.native.channel"
local clock = require "weir.port.clock"
local failure = require "weir.failure"
local json = require "weir.native.json"
local repetition = require "weir.run.repetition"
local scheduler = require "weir.native.scheduler"

local M = {}

local DEFAULT_BUFFER = 64
local BATCH, SOON = 256, 16 -- items that go to the journal together; a multiple of so few when some time has passed
local LATENCY = 0.1         -- seconds
local SPOKEN = 16           -- streams of a run that are shown after their end

local NOTHING = {} -- in the place of a comparison, where there is nothing to compare

-- Those that have not ended, for people who look.
local ongoing = setmetatable({}, { __mode = "k" })

--- One step's stream.
---@class weir.Stream
---@field run weir.Run|nil  whose it is
---@field step string|nil   and which step's
local Stream = {}
Stream.__index = Stream

-- What an earlier life gave out is given out: the step says it again.
local function recall(self, journal)
  self.items = table.move(journal.streams[self.key], 1, #journal.streams[self.key], 1, {})
  self.count, self.kept, self.goes_on = #self.items, #self.items, true
  self.parts = journal.parted[self.key] or false
  self.from = math.min(journal.draft_from[self.key] or 1, self.count + 1)
  self.again = repetition.new(self.items, self.from, self.count, 0)
end

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
    unkept = false, ends = false, parts = false, is_stale = false, goes_on = false, told_as = key or false, late = false }, Stream)
  if self.on_full == "spill" then self.late = {} end
  if key and run.journal then
    self.key, self.kept, self.kept_at, self.unkept = key, 0, clock.now(), 0
    if run.journal.streams[key] then recall(self, run.journal) end
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

--- A channel that gets every item from now on. What the stream has already, `weir.run.sources` gives.
function Stream:subscribe()
  local reader = channel.new(self.buffer, self.late and "wait" or self.on_full)
  self.readers[#self.readers + 1] = reader
  if self.late then self.late[reader] = self.count + 1 end
  if self.ended then reader:close(self.reason, self.code) end
  return reader
end

local function pace(self)
  local now = clock.now()
  if now < self.due then clock.sleep(self.due - now) end
  self.due = math.max(now, self.due) + self.interval
end

local function keep(self, count)
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

-- Gives a reader's channel the items that it has room for, and its end behind the last one; whether the reader is there.
local function fill(self, reader)
  while self.late[reader] <= self.count do
    local sent, _, code = reader:try_send(self.items[self.late[reader]])
    if not sent then return code == "full" end
    self.late[reader] = self.late[reader] + 1
  end
  if self.ended then reader:close(self.reason, self.code) end
  return true
end

--- Of a stream that spills: what a reader's channel has had no room for stands in the list of items, and comes into the channel
--- as soon as there is room. Whoever sends and whoever reads calls this; either may lose the processor anywhere. Does not wait.
---@param reader userdata
---@return boolean is_there
function Stream:refill(reader)
  return scheduler.atomic(fill, self, reader)
end

--- How many items a reader has yet to read. Does not wait.
---@param reader userdata  one of `readers`
---@return integer
function Stream:depth(reader)
  return reader:stats().count + (self.late and self.count + 1 - self.late[reader] or 0)
end

-- A reader that is behind keeps the step waiting; how long, is known.
local function send(self, reader, item)
  if self.late then return self:refill(reader) end
  local sent, _, code = reader:try_send(item)
  if sent or code ~= "full" then return sent end
  local from = clock.now()
  sent = reader:send(item)
  self.blocked_s = self.blocked_s + clock.now() - from
  return sent
end

local function bytes_of(items, count)
  local bytes = 0
  for index = 1, count do
    if type(items[index]) ~= "string" then return nil end
    bytes = bytes + #items[index]
  end
  return bytes
end

-- What stands on disk beyond what holds, holds no more.
local function truncate(self, valid)
  for index = self.count, valid + 1, -1 do self.items[index] = nil end
  self.count = valid
  if not self.unkept then return end
  if self.kept > valid then
    self.run.journal.handle:note { "items", self.key, valid + 1 }
    self.kept = valid
  end
  if self.run.journal.has_past then
    local parts = {}
    for index, before in pairs(self.parts or {}) do parts[index] = index <= valid and before or nil end
    parts[valid + 1] = math.huge
    self.parts = parts
  end
end

local function refuse(self, valid, why)
  failure.raise("conflict", "what step '%s' streams in another attempt is not what its readers were given before, from item %d on; %s",
    tostring(self.step), valid + 1, why)
end

-- Takes back what was given out behind the items that hold.
local function rewind(self, valid)
  if valid >= self.count then return end
  if self.forgets then refuse(self, valid, "what it gave before is not kept") end
  for _, one in ipairs(self.ends or {}) do
    local why = one:refusal(valid)
    if why then refuse(self, valid, why) end
  end
  local before = self.count
  truncate(self, valid)
  for reader in pairs(self.late or {}) do self.late[reader] = valid + 1 end -- what holds, its end reads in the list
  for _, one in ipairs(self.ends or {}) do one:take_back(valid, before) end
  local run = self.run
  if run and run.listener then
    run:notify { kind = "rewind", step = self.told_as, name = self.step, items = valid, bytes = bytes_of(self.items, valid) }
  end
end

-- What is new of what is said again; where it parts from what was given out, that is taken back.
local function take_again(self, item)
  local again = self.again
  local rest, parting = again:take(item)
  if parting then
    self.again = false
    rewind(self, parting.valid)
    if parting.before ~= nil then self:emit(parting.before) end
    return parting.item
  end
  if again:is_over() then self.again = false end
  return rest
end

--- Gives an item to every reader; waits for those that are behind. A reader that has gone is left out.
function Stream:emit(item)
  if self.again then
    if self.is_stale then return end -- it rests on what was taken back from the step
    item = take_again(self, item)
    if item == nil then return end
  end
  if self.interval then pace(self) end
  local count = self.count + 1
  if not self.forgets then self.items[count] = item end
  self.count = count
  if self.on_item then self.on_item() end
  if self.unkept then keep(self, count) end
  if self.tell then self.tell(item) end
  if self.watch then self.watch(item) end
  if self.judge then self.judge(item) end
  local readers = self.readers
  for index = #readers, 1, -1 do
    if not send(self, readers[index], item) then table.remove(readers, index) end
  end
end

--- An attempt or draft begins. What readers, and those who look, were given stands: another attempt says it again,
--- another draft is heard after it. Where nobody was given it, it is forgotten.
---@param is_again boolean not the first of this life
---@param is_draft boolean
function Stream:begin(is_again, is_draft)
  self:go_on()
  if self.goes_on then -- what an earlier life gave out is compared already
    self.goes_on = false
    return
  end
  if not is_again or self.count == 0 then return end
  if #self.readers == 0 and not self.ends and not self.tell then return self:reset() end
  if not is_draft then return self:compare(0) end
  self.again = false
  if #self.readers == 0 and not self.ends then return rewind(self, 0) end
  self.from = self.count + 1
end

--- What is said from now on is compared with what was given out from there on.
---@param said integer bytes, or items if not all are text, of what the attempt has said
function Stream:compare(said)
  self.again = repetition.new(self.items, self.from, self.count, said)
end

--- Where the attempt stands, to come back to it.
---@return integer|table
function Stream:place()
  return self.again and { said = self.again:said() } or self.count
end

--- Comes back to a place; until `go_on` what is said does not count.
---@param place integer|table
function Stream:return_to(place)
  local said = type(place) == "table" and place.said
  if not said then
    said = bytes_of(table.move(self.items, self.from, place, 1, {}), place - self.from + 1)
    if not said or type(self:value()) ~= "string" then said = place - self.from + 1 end
  end
  self:compare(said)
  self.again, self.is_stale = self.again or NOTHING, true
end

--- What is said counts again.
function Stream:go_on()
  self.is_stale = false
  if self.again == NOTHING then self.again = false end
end

--- Takes back the last bytes of what the attempt has said: something else is said in their place.
---@param bytes integer
function Stream:take_back(bytes)
  if bytes <= 0 then return end
  local again, count = self.again, self.count - self.from + 1
  local said = again and again:said() or bytes_of(table.move(self.items, self.from, self.count, 1, {}), count)
  if not said then refuse(self, self.count, "not all of it is text") end
  self:compare(said - bytes)
end

--- No more is said: what was given out beyond it is taken back.
function Stream:settle()
  local again = self.again
  if not again or self.is_stale then return end
  self.again = false
  local cut = again:cut()
  rewind(self, cut.valid)
  if cut.item ~= nil then self:emit(cut.item) end
end

-- Those who begin to look are shown what the streams that ended last gave out.
local function note_spoken(self)
  local run = self.run
  run.spoken = run.spoken or {}
  table.insert(run.spoken, self)
  if #run.spoken > SPOKEN then table.remove(run.spoken, 1) end
end

--- The streams of a run that are open, and those that ended last, in no order. Does not wait.
---@param run weir.Run
---@return weir.Stream[]
function M.of_run(run)
  local list = table.move(run.spoken or {}, 1, #(run.spoken or {}), 1, {})
  for stream in pairs(ongoing) do
    if stream.run == run then list[#list + 1] = stream end
  end
  return list
end

--- Ends the stream; with a code, readers get the error once they have read what was sent.
function Stream:close(reason, code)
  if self.ended then return end
  ongoing[self] = nil
  self.ended, self.reason, self.code = true, reason, code
  for _, reader in ipairs(self.readers) do
    if self.late then self:refill(reader) else reader:close(reason, code) end
  end
  local run = self.run
  if run and run.listener then
    if self.count > 0 and self.told_as then note_spoken(self) end
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

--- What has been given out. Not to be changed.
---@return any[]
function Stream:given()
  return json.list(table.move(self.items, 1, self.count, 1, {}))
end

--- Forgets what was sent by an attempt that failed before anybody could read it.
function Stream:reset()
  self.items, self.count, self.from = {}, 0, 1
  if self.unkept and self.kept > 0 then
    self.run.journal.handle:note { "items", self.key, 1 }
    self.kept = 0
  end
end

--- Reads a channel that an agent returned into the stream, to its end.
function Stream:drain(source)
  for item in source:items() do self:emit(item) end
end

return M
