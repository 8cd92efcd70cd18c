--- What a map goes over, one item after the other: a list, what a chunker makes of something (a list, or a stream while it is
--- still at work), or the stream of another step of the group. So many items may be taken together as a batch.

local failure = require "weir.failure"
local frames = require "weir.run.frame"
local json = require "weir.native.json"
local native = require "weir.native.scheduler"
local parking = require "weir.run.parking"
local step_runner = require "weir.run.step"
local stream = require "weir.run.stream"
local value_of = require "weir.value"

local M = {}

---@class weir.MapSource
---@field total integer|nil  how many items there are; nil: it is not known yet
---@field read fun(): any    the next item, nil at the end; may wait
---@field ahead any          an item that was looked at and not taken
local Source = {}
Source.__index = Source

local function new(read, total)
  return setmetatable({ read = read, total = total, taken = 0, ahead = nil }, Source)
end

--- The next item; nil when there is none. Waits where items come from a stream.
function Source:next()
  local item = self.ahead
  self.ahead = nil
  if item == nil then item = self.read() end
  if item == nil then
    self.total = self.taken
    return nil
  end
  self.taken = self.taken + 1
  return item
end

--- Whether there is another item. Waits as `next` does.
function Source:has_more()
  if self.total then return self.taken < self.total end
  if self.ahead == nil then self.ahead = self.read() end
  if self.ahead == nil then self.total = self.taken end
  return self.ahead ~= nil
end

--- No more items are needed: a chunker that is still at work ends.
function Source:close()
  if self.chunker then self.chunker:cancel "the map needs no more items" end
end

local function of_list(list)
  local position = 0
  return new(function()
    position = position + 1
    return list[position]
  end, #list)
end

local function check_list(list, step)
  if type(list) ~= "table" or (next(list) ~= nil and not json.is_list(list)) then
    failure.raise("invalid", "map '%s': `over` must give a list, got %s", step.name, list == nil and "nothing" or value_of.show(list))
  end
  return of_list(list)
end

-- A chunker turns what is mapped over into the list; it returns a list, or {chunks = list}.
local function chunked(frame, step, key)
  local inner = frames.inner(frame, key .. "/", frame.data)
  local status, value = step_runner.run(inner, step.chunk, key .. "/chunk")
  if status ~= "finished" then error(value, 0) end
  return type(value) == "table" and value.chunks or value
end

local function run_chunker(inner, own, step, key)
  native.set_context(inner)
  local ok, status, value = pcall(step_runner.run_unkept, inner, step.chunk, key .. "/chunk")
  parking.left(inner.run)
  if ok and status == "finished" then return own:close() end
  local err = failure.of(ok and value or status)
  own:close(err.message, err.code)
  if not ok then error(status, 0) end
end

-- Its items are not kept: a later life has it give them again.
local function streamed(frame, step, key, scope)
  local inner, own = frames.inner(frame, key .. "/", frame.data), stream.new(nil, frame.run, "chunk")
  own.forgets = true
  inner.streams, inner.is_made_again = { chunk = own }, true
  local reader = own:subscribe()
  parking.back(frame.run)
  local chunker = native.start({ scope = scope }, run_chunker, inner, own, step, key)
  local source = new(function()
    local item, message, code = reader:recv()
    if item == nil and code ~= "closed" then failure.raise(code, "map '%s': its chunker failed: %s", step.name, message) end
    return item
  end)
  source.chunker = chunker
  return source
end

local function no_counters() return {} end

local function of_stream(frame, step, key)
  local reader = { key = key, counters = no_counters, batch = step.batch }
  local iterate, state, item = frame.sources[step.name]:items(nil, reader)
  return new(function()
    item = iterate(state, item)
    return item
  end)
end

local function batched(source, size)
  local function read()
    local batch = json.list {}
    while #batch < size do
      local item = source:next()
      if item == nil then break end
      batch[#batch + 1] = item
    end
    return #batch > 0 and batch or nil
  end
  local batches = new(read, source.total and math.ceil(source.total / size))
  batches.chunker = source.chunker
  return batches
end

local function plain(frame, step, key, scope)
  if step.from and frame.sources then return of_stream(frame, step, key) end
  if step.chunk and step.chunk_streams then return streamed(frame, step, key, scope) end
  if step.chunk then return check_list(chunked(frame, step, key), step) end
  local list, message, code = step.over(frame.data)
  if list == nil and message then failure.raise(code or "invalid", "map '%s': over: %s", step.name, message) end
  return check_list(list, step)
end

--- Opens what a map goes over. Waits, for a chunker that gives a list. Raises `invalid` for what is no list.
---@param frame weir.Frame
---@param step table
---@param key string
---@param scope any in which a chunker that streams works
---@return weir.MapSource
function M.open(frame, step, key, scope)
  local source = plain(frame, step, key, scope)
  return step.batch and batched(source, step.batch) or source
end

return M
