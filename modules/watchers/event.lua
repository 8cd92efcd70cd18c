--- Events of this host: those that pipelines publish, that are sent with `weir event send` or over HTTP, and webhooks. Or
--- that none has come for a while.

local duration = require "weir.duration"

local M = {
  kind = "watcher", name = "event", api = 1,
  doc = "Events that are published, sent or delivered; or that none has come",
  options = {
    type = "string?",   -- such as "order.paid"; "order.*" is what begins so; default: all
    source = "string?", -- the same, of the event's source
    absent = "any?",    -- a duration: there is an event `weir.absent` once none has come for so long
  },
}

local function absence(ctx, since)
  local what = ctx.options.type or "*"
  return { id = ("absent %s %.3f"):format(what, since), type = "weir.absent", subject = what,
    data = { type = what, since = since, seconds = ctx:now() - since } }
end

-- A clock that was set back: the silence is counted from now.
local function follow_clock(memory, now)
  if memory.last <= now then return end
  if memory.told == memory.last then memory.told = now end
  memory.last = now
end

-- One event for each silence; the next one begins with the next event.
local function watch_absence(ctx, sink, seconds)
  local memory = ctx.memory
  memory.last = memory.last or ctx:now()
  ctx:save()
  while true do
    follow_clock(memory, ctx:now())
    local left = memory.last + seconds - ctx:now()
    if left > 0 then
      ctx:sleep(left)
    elseif memory.told == memory.last then
      ctx:sleep(seconds)
    else
      memory.told = memory.last
      sink(absence(ctx, memory.last))
    end
  end
end

--- Gives each event that fits; with `absent`, one for each silence. Waits until the source ends.
---@param ctx weir.WatcherContext  memory: of absence, when the last one came and which silence was told
---@param sink fun(event: table)
function M.watch(ctx, sink)
  local match = { type = ctx.options.type, source = ctx.options.source }
  if ctx.options.absent == nil then return ctx:receive(match) end
  local seconds = assert(duration.parse(ctx.options.absent))
  if seconds == 0 then error { code = "invalid", message = "absent: more than no time expected, got 0s" } end
  ctx:receive(match, function() ctx.memory.last = ctx:now() end, function() watch_absence(ctx, sink, seconds) end)
end

return M
