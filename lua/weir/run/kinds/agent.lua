--- A step that an agent of the registry does.

local context = require "weir.run.context"
local failure = require "weir.failure"
local native = require "weir.native.scheduler"
local plain = require "weir.run.plain"

local M = { name = "agent" }

-- That of a step which nobody reads is there while it is at work.
local function known_stream(frame, step, key)
  local own = frame.streams and frame.streams[step.name]
  if own then return own end
  local loose = rawget(frame, "loose_stream")
  return loose and loose.told_as == key and loose or nil
end

local function stream_of(ctx)
  local frame = ctx._frame
  local own = known_stream(frame, ctx._step, ctx._key)
  if not own then
    own = require("weir.run.stream").new(nil, frame.run, ctx._step.name)
    frame.loose_stream = own
  end
  own.told_as = ctx._key
  if frame.watcher then frame.watcher(own) end
  local run, key = frame.run, ctx._key
  if run.listener then own.tell = function(item) run:notify { kind = "item", step = key, n = own.count, item = item } end end
  return own
end

local function is_channel(value)
  return type(value) == "userdata" and getmetatable(value) == "weir.channel"
end

local function streamed(ctx, channel)
  local own = ctx._stream or stream_of(ctx)
  own:drain(channel)
  own:settle()
  return own:value()
end

-- Like every function of the library an agent may say `nil, message, code` for what did not work out. `own`: the stream that
-- the step had when it began.
local function output_of(ctx, step, own, value, message, code)
  if is_channel(value) then return streamed(ctx, value) end
  if value ~= nil or message == nil then
    own = rawget(ctx, "_stream") or own
    if own then own:settle() end
  end
  if value == nil then
    if type(message) == "string" then failure.raise(failure.codes[code] and code or "failed", "%s", message) end
    if ctx._stream then return ctx._stream:value() end
    failure.raise("invalid", "agent '%s' returned nothing; return its output", step.agent)
  end
  local refusal = native.interruptible(plain.refusal, value)
  if refusal then failure.raise("invalid", "agent '%s' returned %s", step.agent, refusal) end
  return value
end

--- Makes one attempt.
function M.execute(frame, step, key, input, attempt, feedback)
  local ctx = context.new(frame, step, key, input, attempt)
  if feedback then ctx.feedback = feedback end
  frame.current = ctx
  local own = known_stream(frame, step, key)
  local is_again = attempt > 1 or feedback ~= nil or frame.is_anew == key
  if own then own:begin(is_again, feedback ~= nil and attempt == 1) end
  local module = (frame.held or frame.run).modules[step.module]
  local output
  if module.atomic then
    output = output_of(ctx, step, own, native.atomic(module.execute, ctx, input))
  else
    output = output_of(ctx, step, own, module.execute(ctx, input))
  end
  return output, rawget(ctx, "branch")
end

M.open_stream = stream_of

return M
