--- weir attach: talks Lua to a host that is named.

local repl = require "weir.doors.repl"
local talk = require "weir.doors.talk"

local M = {
  name = "attach",
  summary = "Attaches to a host of this machine, by the folder of its project or store, or by its socket.",
  examples = { "attach shop", "attach /srv/shop/.weir" },
  notes = "As `weir repl`, which finds the host of the project by itself. Only the owner of a host may attach to it.",
}

function M.declare(parser)
  parser:argument("host", "a project's folder, a store's folder, or a socket"):argname "HOST"
end

function M.run(arguments, context)
  return repl.converse(context, talk.attach((arguments.host:gsub("(.)/+$", "%1"))))
end

return M
