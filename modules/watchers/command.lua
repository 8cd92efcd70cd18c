--- Lines that a program writes. When nobody has room for them it is not read, and so stands still in its turn. A program
--- that ends is started again, after longer and longer pauses.

local duration = require "weir.duration"
local json = require "weir.json"

local M = {
  kind = "watcher", name = "command", api = 1,
  doc = "Lines that a program writes",
  options = {
    args = { type = "array", items = { type = "string" }, minItems = 1 }, -- the program and its arguments
    cwd = "string?",                                                      -- default: the project's folder
    format = { enum = { "text", "json" }, default = "text" },             -- json: a value a line
    type = "string = command.line",                                       -- of the events
    restart = "any = 1s",                                                 -- the first pause; 0: it is started once only
    max_bytes = { type = "integer", minimum = 1, default = 1048576 },     -- of a line; what is longer is cut
  },
}

local PAUSE_MAX, TOGETHER = 60, 100 -- seconds; lines given at once

local function event_of(ctx, line)
  if ctx.options.format == "text" then return { type = ctx.options.type, data = { line = line } } end
  local value, message = json.decode(line)
  if value == nil then
    ctx:log("warn", "a line is no JSON and was left out", { error = message })
    return nil
  end
  return { type = ctx.options.type, data = value }
end

-- The lines of what came, and what is left of the last one.
local function take(ctx, rest, piece)
  local events = {}
  local text = rest .. piece
  local from = 1
  while true do
    local at = text:find("\n", from, true)
    if not at then break end
    local line = text:sub(from, math.min(at - 1, from + ctx.options.max_bytes - 1)):gsub("\r$", "")
    if utf8.len(line) and line ~= "" then events[#events + 1] = event_of(ctx, line) end
    from = at + 1
  end
  return events, text:sub(from, from + ctx.options.max_bytes - 1)
end

local function give(sink, events)
  for from = 1, #events, TOGETHER do
    sink { table.unpack(events, from, math.min(#events, from + TOGETHER - 1)) }
  end
end

local function read(ctx, sink, child)
  local rest = ""
  for piece in child.stdout:items() do
    local events
    events, rest = take(ctx, rest, piece)
    give(sink, events)
  end
  if rest ~= "" then give(sink, { (event_of(ctx, rest)) }) end
end

local function run(ctx, sink)
  local child, message, code = ctx:start(ctx.options.args, { cwd = ctx.options.cwd or ctx.root })
  if not child then error({ code = code, message = message }, 0) end
  local _ <close> = setmetatable({}, { __close = function() child:close() end })
  ctx:beside(function() for _ in child.stderr:items() do end end) -- what it complains of is not kept
  read(ctx, sink, child)
  return child:wait()
end

--- Gives an event for each line, as the program writes it. Waits until the source ends.
---@param ctx weir.WatcherContext
---@param sink fun(events: table[])
function M.watch(ctx, sink)
  local pause = assert(duration.parse(ctx.options.restart))
  local first = pause
  while true do
    local from = ctx:now()
    local result = run(ctx, sink)
    if first == 0 then return end
    if ctx:now() - from > PAUSE_MAX then pause = first end
    ctx:status(("it ended with status %d and is started again in %g s"):format(result.status, pause))
    ctx:sleep(pause)
    ctx:status(nil)
    pause = math.min(PAUSE_MAX, pause * 2)
  end
end

return M
