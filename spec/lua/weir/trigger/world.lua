--- For specs of triggers: a host of a project of its own, whose pipelines note what they are started with.

local json = require "weir.native.json"
local log_of = require "weir.log"
local serve = require "weir.serve"
local support = dofile "spec/lua/weir/cli/support.lua"
local task = require "weir.task"

local M = {}

-- Keeps what it is given, in the order in which it is given.
local NOTES = [[
return { kind = "agent", name = "notes", api = 1, execute = function(ctx, input)
  ctx.workspace:post("note " .. ctx.run.id, input, { scope = "project" })
  return input
end }
]]

local World = {}
World.__index = World

--- A host with files of the project. `world:close()` ends it.
---@param files table<string, string> by path
---@param options table|nil as of weir.serve.start
function M.new(files, options)
  local self = setmetatable({ folder = support.folder(), lines = {}, options = options or {} }, World)
  support.write(self.folder, "weir.lua", "return {}")
  support.write(self.folder, "modules/agents/notes.lua", NOTES)
  for path, text in pairs(files) do support.write(self.folder, path, text) end
  self:start()
  return self
end

function World:start()
  local given = { folder = self.folder, http = false, env = function() end }
  for name, value in pairs(self.options) do given[name] = value end
  given.logger = log_of.new { write = function(line) self.lines[#self.lines + 1] = json.decode(line) end }
  self.host = serve.start(given)
  assert(self.host.triggers:settle())
  return self.host
end

--- Ends the host and starts another one on the same store.
function World:again()
  self.host:stop "another life"
  return self:start()
end

function World:write(path, text) support.write(self.folder, path, text) end

--- Reloads what has changed, and waits until the triggers follow.
function World:reload(...)
  local report = require("weir.registry.reload").changed(self.host.project.registry, { ... }, {})
  if report.failed[1] then error(report.failed[1].message, 2) end
  assert(self.host.triggers:settle())
end

--- Waits until a function gives something, which it gives.
function World.eventually(_, what, seconds)
  local deadline = task.now() + (seconds or 60)
  repeat
    local found = what()
    if found then return found end
    task.sleep(0.01)
  until task.now() > deadline
  error("it did not come to pass", 2)
end

--- The runs of a pipeline, the oldest first: {id, status, input, event, output}.
function World:runs(pipeline)
  local list = {}
  for _, found in ipairs(self.host.store:runs { limit = 1000 }) do
    if found.row.pipeline == pipeline then
      local entries = self.host.store:load(found.id)
      local head, last = entries[1][2], entries[#entries]
      list[#list + 1] = { id = found.id, status = found.row.status, input = head.input, event = head.event,
        output = last[1] == "end" and last[3] or nil, key = found.row.key, error = found.row.error }
    end
  end
  return list
end

--- Waits until so many runs of a pipeline have ended.
function World:ended(pipeline, count)
  return self:eventually(function()
    local ended = 0
    local list = self:runs(pipeline)
    for _, run in ipairs(list) do
      if run.status ~= "running" and run.status ~= "waiting" then ended = ended + 1 end
    end
    return ended >= count and list
  end)
end

--- Takes an event in, as the HTTP door does.
function World:send(type, data, more)
  local event = { specversion = "1.0", id = tostring(math.random(1 << 50)), source = "/spec", type = type, data = data }
  for name, value in pairs(more or {}) do event[name] = value end
  local results = self.host.events:take({ { event = event, from = "api",
    dedupe = require("weir.native.hash").sha256(event.source .. " " .. event.id) } }, { patience = more and more.patience })
  return results[1].offset, results[1].is_new
end

function World:close()
  self.host:stop "the spec is over"
  support.remove(self.folder)
end

return M
