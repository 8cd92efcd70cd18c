--- weir dev: a host to work with: it loads files as they are saved, and whoever attaches may change things.

local serve = require "weir.doors.serve"

local M = {
  name = "dev",
  summary = "Serves a project while you work on it: saved files are loaded, and the REPL may change things.",
  examples = { "dev", "dev shop" },
  notes = "As `weir serve --watch --write`. A file that cannot be loaded is told; the version before it keeps serving.",
}

function M.declare(parser)
  serve.declare_common(parser)
end

function M.run(arguments, context)
  return serve.serve(context, arguments, { watch = true, write = true, shows_token = true })
end

return M
