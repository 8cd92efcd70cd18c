--- Live critics: they see a draft while it is written, and stop it where it is already wrong. What the step was doing is
--- really stopped (its sockets are closed, its processes end); how many tokens that saved is counted.

local native = require "weir.native.scheduler"
local task = require "weir.task"
local tokens = require "weir.text.tokens"
local verdict_of = require "weir.flow.verdict"

local M = {}

local EVERY = 80    -- bytes of text, or items, after which a critic is asked again; more the longer the text is
local GROWTH = 16   -- it is asked again after a 16th more, so that a long text is not read for each word
local SPACE = "lengths" -- of the store: how long whole drafts were, by pipeline and step

---@class weir.Live
---@field scope any of the draft
---@field from integer item of the stream with which the draft begins
local Live = {}
Live.__index = Live

local function measure_key(self)
  return ("%s/%s"):format(self.frame.run.plan.name, (self.key:gsub("%[%d+%]", ""):gsub("#%d+", "")))
end

-- Words are counted, since most streams carry no counts of their own.
local function size_of(value)
  if type(value) == "string" then return tokens.count(value) end
  local sum = 0
  for _, item in ipairs(value) do sum = sum + (type(item) == "string" and tokens.count(item) or 1) end
  return sum
end

local function expected(self)
  if self.critic.live.expect then return self.critic.live.expect end
  local store = self.frame.run.engine.store
  local kept = store and store:get(SPACE, measure_key(self))
  return kept and kept.count > 0 and kept.tokens / kept.count or nil
end

-- A draft that came to its end tells how long drafts are.
local function note_whole(self)
  local own, store = self.stream, self.frame.run.engine.store
  if not own or not store or own.count < self.from then return end
  local key = measure_key(self)
  local kept = store:get(SPACE, key) or { count = 0, tokens = 0 }
  store:put(SPACE, key, { count = kept.count + 1, tokens = kept.tokens + size_of(own:value()) })
end

local function saved(self, draft)
  local whole, made = expected(self), size_of(draft)
  local found = { made = made, tokens = whole and math.max(0, math.floor(whole - made + 0.5)) or nil }
  if found.tokens then self.frame.run:measure("tokens_saved", found.tokens, nil, self.key) end
  return found
end

local function stop(self, verdict, so_far)
  self.verdict, self.draft = verdict, so_far
  self.scope:cancel(("critic '%s' stopped the draft"):format(verdict.critic), "rejected")
  native.check()
end

local function ask(self, so_far)
  for _, use in ipairs(self.critic.uses) do
    local verdict = verdict_of.of_part(self.frame, use, self.key, self.input, so_far, self.earlier)
    if verdict and verdict.verdict ~= "approve" then return verdict end
  end
end

local function hear(self, item)
  self.size = self.size + (type(item) == "string" and #item or 1)
  if self.size < self.due or self.is_asking or self.verdict then return end
  self.is_asking = true
  local so_far = self.stream:value()
  local ok, verdict = pcall(ask, self, so_far)
  self.is_asking = false
  self.due = self.size + math.max(self.critic.live.every or EVERY, self.size // GROWTH)
  if ok and not verdict then return end
  if ok then return stop(self, verdict, so_far) end
  self.fault = verdict
  self.scope:cancel "a critic has failed"
  native.check()
end

-- Called with the stream of the step, once it writes to one.
local function attach(self)
  return function(own)
    self.stream, self.from, self.size = own, own.count + 1, 0
    self.due = self.critic.live.every or EVERY
    own.judge = function(item) hear(self, item) end
  end
end

--- Makes a draft while critics watch it. Waits.
---@param frame weir.Frame
---@param step table
---@param key string
---@param input any
---@param earlier table[]
---@param draw fun(): ...
---@return { verdict: weir.Verdict, draft: any, saved: { made: integer, tokens: integer? } }|nil stopped
---@return any ... what `draw` gave, if it was not stopped
function M.draw(frame, step, key, input, earlier, draw)
  local self = setmetatable({ frame = frame, critic = step.critic, key = key, input = input, earlier = earlier, from = 1 }, Live)
  frame.watcher = attach(self)
  local results = table.pack(task.within({}, function(scope)
    self.scope = scope
    return draw()
  end))
  frame.watcher = nil
  if self.stream then self.stream.judge = false end
  native.check()
  if self.verdict then return { verdict = self.verdict, draft = self.draft, saved = saved(self, self.draft) } end
  if self.fault then return nil, false, self.fault end
  if not results[1] then error(results[2], 0) end
  if results[2] then note_whole(self) end
  return nil, table.unpack(results, 2, results.n)
end

return M
