--- weir eval: one expression, evaluated in the host of the project.

local repl = require "weir.doors.repl"
local session = require "weir.cli.session"
local talk = require "weir.doors.talk"

local M = {
  name = "eval",
  summary = "Evaluates an expression of Lua in the host that serves the project, and prints what it gives.",
  examples = { "eval '#runs{ status = \"failed\" }'", "eval 'run():at(\"draft\")'", "eval --new '1 + 1'" },
  notes = "Exit status: 0, 1 it raised, 2 it is no Lua, 7 no host, 8 it may only be looked at, 130 interrupted.",
}

function M.declare(parser)
  parser:argument("expression", "an expression, or statements"):argname "EXPR"
  parser:flag("--new", "in a private host, with a store in memory unless --store names one")
  session.declare_store(parser)
end

function M.run(arguments, context)
  return repl.once(context, talk.open(arguments, context), arguments.expression)
end

return M
