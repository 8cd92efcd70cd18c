--- For specs of the registry: a project in a folder of its own, whose files come and go.

local engine = require "weir.run.engine"
local files = require "weir.port.files"
local process = require "weir.port.process"
local project = require "weir.project"
local store_port = require "weir.port.store"
local system = require "weir.port.system"

local M = {}

local Place = {}
Place.__index = Place

--- A project's folder.
function M.place()
  local folder = system.temporary_folder "weir-spec"
  assert(process.run { "mkdir", "-p", folder .. "/modules/agents", folder .. "/pipelines" })
  return setmetatable({ folder = folder }, Place)
end

function Place:write(name, text)
  assert(files.write(self.folder .. "/" .. name, text, { folders = true }))
end

function Place:remove(name)
  assert(files.remove(self.folder .. "/" .. name))
end

--- An agent of the name in the file's path.
---@param body string statements of `execute(ctx, input)`
---@param head string|nil statements before the table
---@param fields string|nil further fields of the table
function Place:agent(name, body, head, fields)
  self:write(("modules/agents/%s.lua"):format(name), ([[%s
return { kind = "agent", name = "%s", api = 1, %s execute = function(ctx, input) %s end }
]]):format(head or "", name, fields and fields .. "," or "", body))
end

--- The project, opened anew.
function Place:open()
  return project.open(self.folder)
end

--- A store of the place; `close` closes it.
function Place:store()
  self:close_store()
  self.opened = assert(store_port.open(self.folder .. "/.weir"))
  return self.opened
end

function Place:close_store()
  if self.opened then self.opened:close() end
  self.opened = nil
end

--- A life of the process: project and engine, over the place's store.
function Place:life(options)
  local store = self:store()
  local here = self:open()
  return engine.new(here, store, options or { patience = 0, near = 0 })
end

--- Runs a pipeline of the project by name.
function M.run(own, name, input)
  local definition, err = own.project:pipeline(name)
  if not definition then error(err, 0) end
  return own:run(definition, input or {})
end

function Place:close()
  self:close_store()
  process.run { "rm", "-rf", "--", self.folder }
end

return M
