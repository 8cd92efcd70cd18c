--- Bounded channels between tasks, and operators over them. An operator runs in a task of the scope that
--- is open when it is called, reads its source to the end, and hands on how that ended. A full channel
--- makes its sender wait, so the pressure reaches the source.

local clock = require "weir.port.clock"
local json = require "weir.native.json"
local native = require "weir.native.channel"
local task = require "weir.task"

---@class weir.Channel
---@field send fun(self, value: any, timeout: number?): boolean?, string?, string? true, or nil, message, code (closed, timeout); waits
---@field try_send fun(self, value: any): boolean?, string?, string? code full instead of waiting
---@field recv fun(self, timeout: number?): any, string?, string? a value, or nil, message, code (closed, timeout); waits
---@field try_recv fun(self): any, string?, string? code empty instead of waiting
---@field items fun(self): fun(): any iterates to the end; raises what the channel was closed with
---@field close fun(self, reason: string?, code: string?) accepted values are still handed out
---@field stats fun(self): table {capacity, count, accepted, dropped, closed}

local M = {
  --- new(capacity, on_full): on_full is wait (default), drop_oldest, drop_newest, or latest: a full
  --- channel lets go of all that it holds for the new value.
  new = native.new,
  --- select({channel or {channel, value}, ...}, timeout): index, value of the first that is ready.
  select = native.select,
}

local DEFAULT_CAPACITY = 64

-- Reads the source into `each`, then closes what was made of it the way the source ended.
local function pump(name, source, sinks, each, at_end)
  task.start({ name = name }, function()
    local message, code
    while true do
      local value
      value, message, code = source:recv()
      if value == nil or not each(value) then break end
    end
    if at_end then at_end() end
    for _, sink in ipairs(sinks) do
      if code and code ~= "closed" then
        sink:close(message, code)
      else
        sink:close()
      end
    end
    source:close()
  end)
end

local function close_all(sources)
  for _, source in ipairs(sources) do source:close() end
end

--- Gives every value to each of `count` channels; the slowest sets the pace.
---@param source weir.Channel
---@param count integer
---@param capacity integer|nil
---@return weir.Channel[]
function M.tee(source, count, capacity)
  local sinks = {}
  for index = 1, count do sinks[index] = native.new(capacity or DEFAULT_CAPACITY) end
  pump("tee", source, sinks, function(value)
    local open = 0
    for _, sink in ipairs(sinks) do
      if sink:send(value) then open = open + 1 end
    end
    return open > 0
  end)
  return sinks
end

--- One channel with the values of several, as they come; ends when all have ended, or with the first error.
---@param sources weir.Channel[]
---@param capacity integer|nil
---@return weir.Channel
function M.merge(sources, capacity)
  local sink = native.new(capacity or DEFAULT_CAPACITY)
  task.start({ name = "merge" }, function()
    local open = table.move(sources, 1, #sources, 1, {})
    while #open > 0 do
      local index, value, message, code = native.select(open)
      if value ~= nil then
        if not sink:send(value) then break end
      elseif code ~= "closed" then
        sink:close(message, code)
        break
      else
        table.remove(open, index)
      end
    end
    sink:close()
    close_all(open)
  end)
  return sink
end

-- One value of each source; nil and why when one of them has no more.
local function take_one_each(sources)
  local values = json.list {}
  for index, source in ipairs(sources) do
    local value, message, code = source:recv()
    if value == nil then return nil, message, code end
    values[index] = value
  end
  return values
end

--- Lists of one value of each source, the first with the first and so on. Ends with the source that ends first; the
--- others are closed.
---@param sources weir.Channel[]
---@param capacity integer|nil
---@return weir.Channel
function M.zip(sources, capacity)
  local sink = native.new(capacity or DEFAULT_CAPACITY)
  task.start({ name = "zip" }, function()
    local values, message, code
    repeat
      values, message, code = take_one_each(sources)
    until not values or not sink:send(values)
    if code and code ~= "closed" then sink:close(message, code) else sink:close() end
    close_all(sources)
  end)
  return sink
end

--- Lists of `size` values in a row, a new one after every `step` values: they overlap where `step` is smaller, and leave
--- values out where it is larger. What does not fill a window at the end gives none.
---@param source weir.Channel
---@param size integer
---@param step integer|nil default 1
---@return weir.Channel
function M.window(source, size, step)
  local sink, recent, to_skip = native.new(DEFAULT_CAPACITY), {}, 0
  step = step or 1
  pump("window", source, { sink }, function(value)
    if to_skip > 0 then
      to_skip = to_skip - 1
      return true
    end
    recent[#recent + 1] = value
    if #recent < size then return true end
    local full = json.list(recent)
    recent, to_skip = table.move(full, step + 1, size, 1, {}), math.max(0, step - size)
    return sink:send(full)
  end)
  return sink
end

local function has_ended(source)
  local stats = source:stats()
  return stats.closed and stats.count == 0
end

--- Lists of up to `size` values; one that is not full goes out after `seconds`.
---@param source weir.Channel
---@param size integer
---@param seconds number|nil
---@return weir.Channel
function M.batch(source, size, seconds)
  local sink = native.new(DEFAULT_CAPACITY)
  task.start({ name = "batch" }, function()
    local part, due = json.list {}, nil
    local function flush()
      local full = part
      part, due = json.list {}, nil
      return #full == 0 or sink:send(full)
    end
    while true do
      local value, message, code = source:recv(due and math.max(0, due - clock.now()))
      if value ~= nil then
        part[#part + 1] = value
        due = due or (seconds and clock.now() + seconds)
        if #part >= size and not flush() then break end
      elseif not has_ended(source) then -- by its state: a channel may be closed with the code `timeout`
        if not flush() then break end
      else
        flush()
        if code ~= "closed" then sink:close(message, code) end
        break
      end
    end
    sink:close()
    source:close()
  end)
  return sink
end

--- Values at no more than `per_second`, after a burst: a token bucket.
---@param source weir.Channel
---@param per_second number
---@param burst number|nil values that may pass at once (default 1)
---@return weir.Channel
function M.rate(source, per_second, burst)
  local sink = native.new(1)
  local capacity = burst or 1
  local tokens, at = capacity, clock.now()
  pump("rate", source, { sink }, function(value)
    local now = clock.now()
    tokens, at = math.min(capacity, tokens + (now - at) * per_second), now
    if tokens < 1 then
      clock.sleep((1 - tokens) / per_second)
      tokens, at = 1, clock.now()
    end
    tokens = tokens - 1
    return sink:send(value)
  end)
  return sink
end

return M
