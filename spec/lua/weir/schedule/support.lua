--- What the specs of schedules share: a living host on a virtual clock that starts at a moment of one's choice, with
--- pipelines of one's own.

local civil = require "weir.schedule.civil"
local clock = require "weir.port.clock"
local cli = dofile "spec/lua/weir/cli/support.lua"
local json = require "weir.native.json"
local log_of = require "weir.log"
local native = require "weir.native.scheduler"
local record = require "weir.schedule.record"
local serve = require "weir.serve"

local M = {}

local wall_ms, wall = clock.wall_ms, clock.wall

--- A moment in ms.
function M.ms(text) return (civil.read(text)) * 1000 end

local World = {}
World.__index = World

-- The clock on the wall goes on to where the spec begins, and may be set from then on.
local function set_clock(self, text)
  clock.sleep((M.ms(text) - wall_ms()) / 1000)
  self.offset_ms = 0
  clock.wall_ms = function() return wall_ms() + self.offset_ms end
  clock.wall = function() return wall() + self.offset_ms / 1000 end
end

--- A pipeline whose one step takes so many seconds, with a schedule in Lua.
function M.pipeline(name, schedule, options)
  options = options or {}
  return ([[
local weir = require "weir"
return weir.pipeline %q { %s
  on = { { schedule = %s %s } },
  %s
  weir.step "work" { agent = "work", input = %s },
}
]]):format(name, options.input and "input = " .. options.input .. "," or "", schedule, options.trigger and ", " .. options.trigger or "",
    options.top or "", options.step_input or ("{ seconds = %s }"):format(options.seconds or 0))
end

local WORK = [[
return { kind = "agent", name = "work", api = 1, execute = function(ctx, input)
  if (input.seconds or 0) > 0 then ctx:sleep(input.seconds) end
  if input.fail then error "it was to fail" end
  return input
end }
]]

--- A world: a folder and the moment in which its clock begins. `store`: default one on disk, for hosts that come back.
function M.world(at, store)
  native.use_virtual_clock(1)
  local self = setmetatable({ folder = cli.folder(), lines = {} }, World)
  self.store_path = store or self.folder .. "/store"
  set_clock(self, at)
  self:write("modules/agents/work.lua", WORK)
  self:write("weir.lua", "return {}\n")
  return self
end

function World:write(path, text) cli.write(self.folder, path, text) end

--- Sets the clock on the wall by hand.
function World:set(by_s) self.offset_ms = self.offset_ms + by_s * 1000 end

--- Starts the host; it has looked at all its schedules when this returns.
function World:start()
  self.host = serve.start { folder = self.folder, store = self.store_path, http = false, env = function() end,
    logger = log_of.new { write = function(line) self.lines[#self.lines + 1] = json.decode(line) end } }
  self.store = self.host.store
  clock.sleep(0.5)
  return self.host
end

--- Lets time pass with the host.
function World.pass(_, seconds) clock.sleep(seconds) end

--- Lets time pass without a host.
function World:down(seconds)
  self:stop()
  clock.sleep(seconds)
  self:start()
end

function World:stop()
  if self.host then self.host:stop "the spec is over" end
  self.host = nil
end

function World:id(name)
  for id, one in pairs(self.host.schedules.found) do
    if one.rule.name == name then return id end
  end
end

function World:state(name) return (record.get(self.store, self:id(name))) end

--- The history, the oldest first.
function World:history(name)
  local rows, list = record.history(self.store, self:id(name), { limit = 1000 }), {}
  for index = #rows, 1, -1 do list[#list + 1] = rows[index] end
  return list
end

--- The nominal times that started a run, as text.
function World:started(name)
  local list = {}
  for _, row in ipairs(self:history(name)) do
    if row.outcome == "started" then list[#list + 1] = clock.rfc3339(row.nominal_ms) end
  end
  return list
end

--- Runs of a pipeline, the oldest first.
function World:runs(pipeline)
  local list, after = {}, nil
  repeat
    local page = assert(self.store:runs { limit = 1000, after = after })
    for _, found in ipairs(page) do
      if not pipeline or found.row.pipeline == pipeline then list[#list + 1] = found end
    end
    after = page[#page] and page[#page].id
  until #page < 1000
  return list
end

--- Closes all and gives the clock back.
function World:close()
  self:stop()
  clock.wall_ms, clock.wall = wall_ms, wall
  cli.remove(self.folder)
  native.use_real_clock()
end

return M
