--- weir rollback: has the version of a module or pipeline serve that served before.

local json = require "weir.native.json"
local revise = require "weir.registry.revise"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"

local M = {
  name = "rollback",
  summary = "Has the version serve that served before; once more goes back further.",
  examples = { "rollback writer", "rollback agents/writer --json", "rollback pipelines/digest" },
  notes = "NAME is `agents/writer`, or `writer` when only one module or pipeline has that name. The version serves, also after a\n"
    .. "restart, until the file changes; `weir reload NAME` has the file serve again. Runs that have begun end on their own\n"
    .. "versions. Exit status: 0 done, 2 it cannot be loaded any more, 6 there is no such module or nothing before,\n"
    .. "8 another process has the store.",
}

local SHORT = 12

function M.declare(parser)
  parser:argument("name", "a module or pipeline"):argname "NAME"
  session.declare_store(parser)
end

function M.run(arguments, context)
  local here = session.project()
  return session.with_store(session.open_present_store(here, arguments.store), function(store)
    local registry = session.engine(here, store).project.registry
    local done = revise.rollback(registry, revise.resolve(registry, arguments.name), { via = "cli" })
    if arguments.json then
      context.out:line(shape.line { name = done.name, from = done.from, to = done.to, file = done.file or json.null })
    else
      context.out:line(("%s  %s -> %s"):format(done.name, done.from:sub(1, SHORT), done.to:sub(1, SHORT)))
      context.err:line(("it serves until its file changes; `weir reload %s` has the file serve again"):format(done.name))
    end
    return status.finished
  end)
end

return M
