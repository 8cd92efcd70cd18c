--- The command line: finds the command and gives its exit status.

local project = require "weir.project"
local engine = require "weir.run.engine"
local store = require "weir.port.store"

return function(command, file, ...)
  local here = project.open "."
  local s = assert(store.open(here:store_path(), {}))
  local e = engine.new(here, s)
  local definition, errors = here:load(file)
  if not definition then for _, x in ipairs(errors) do print(require("weir.definition.check").format(x)) end return 2 end
  local run = e:run(definition, { name = "Ada" }, { listener = function(ev) print(ev.kind, ev.step, ev.status) end })
  print(run.status, require("weir.native.json").encode(run.output or run.error))
  s:close()
  return 0
end
