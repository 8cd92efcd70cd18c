--- weir reload: has files serve as they are now, also in the place of versions that were chosen instead of them.

local modules_view = require "weir.view.modules"
local revise = require "weir.registry.revise"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local text = require "weir.cli.text"
local value_of = require "weir.value"

local M = {
  name = "reload",
  summary = "Loads modules and pipelines from their files; ends a rollback or a patch.",
  examples = { "reload", "reload writer", "reload agents/writer --json" },
  notes = "NAME is `agents/writer`, or `writer` when only one module or pipeline has that name. Without NAME: all of the project's\n"
    .. "own. If one of them cannot be loaded, nothing changes. Runs that have begun end on their own versions.\n"
    .. "Exit status: 0 all serve, 2 one cannot be loaded, 6 there is no such module, 8 another process has the store.",
}

local SHORT = 12

function M.declare(parser)
  parser:argument("name", "a module or pipeline; without it all"):argname("NAME"):args "?"
  session.declare_store(parser)
end

--- The full names of a project's own modules and pipelines that have files.
---@param here weir.Project
---@return string[]
function M.names(here)
  local set, kinds = {}, require("weir.registry.kinds").kinds
  local system = require "weir.port.system"
  for _, kind in ipairs(value_of.names(kinds)) do
    for _, file in ipairs(system.file_names(("%s/modules/%s"):format(here.root, kinds[kind].folder))) do
      local name = file:match "^([a-z][a-z0-9_]*)%.lua$"
      if name then set[kinds[kind].folder .. "/" .. name] = true end
    end
  end
  for _, file in ipairs(system.file_names(here.root .. "/pipelines")) do
    local full = require("weir.registry.names").of_file("pipelines/" .. file)
    if full then set[full] = true end
  end
  return require("weir.registry.names").in_order(set)
end


--- Says what became of a reload: what serves to `out`, what is wrong to `err`.
---@param context weir.cli.Context
---@param report weir.ReloadReport
function M.say(context, report)
  for _, one in ipairs(report.reloaded) do
    context.out:line(("%s  %s -> %s"):format(one.name, one.from and one.from:sub(1, SHORT) or "new", one.to:sub(1, SHORT)))
  end
  for _, one in ipairs(report.removed) do
    context.err:line(("%s: its file was removed; version %s goes on serving"):format(one.name, one.version:sub(1, SHORT)))
  end
  for _, one in ipairs(report.failed) do
    context.err:line(context.err:paint("red", one.name .. ": ") .. text.safe(one.message))
    for line in (one.excerpt or ""):gmatch "[^\n]+" do context.err:line("  " .. text.safe(line)) end
  end
  if #report.failed > 0 then
    context.err:line "nothing was changed: the versions that served go on serving"
  elseif #report.reloaded == 0 then
    context.err:line "nothing has changed"
  end
end

function M.run(arguments, context)
  local here = session.project()
  return session.with_store(session.open_store(here, arguments.store), function(store)
    local registry = session.engine(here, store).project.registry
    local fulls = arguments.name and { revise.resolve(registry, arguments.name) } or M.names(here)
    local report = revise.reload(registry, fulls, { via = "cli" })
    if arguments.json then
      context.out:line(shape.line(modules_view.report(report)))
    else
      M.say(context, report)
    end
    return #report.failed > 0 and status.usage or status.finished
  end)
end

return M
