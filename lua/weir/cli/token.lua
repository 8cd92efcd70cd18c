--- weir token: a token for somebody who talks to the host over TCP.

local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"

local M = {
  name = "token",
  summary = "Makes a token for the HTTP door and prints it, once: only its digest is kept.",
  examples = { "token console", "token ci --role run", "token ada --role decide --json" },
  notes = "Roles: read looks; run also starts, cancels, retries and signals runs, takes events in and writes documents; decide\n"
    .. "looks and decides approvals, under NAME; admin does everything. The file is `tokens` of the store's folder, one line a\n"
    .. "token; who takes a line out takes the token back. A host reads it when it starts.",
}

local ROLES = { "read", "run", "decide", "admin" }

function M.declare(parser)
  parser:argument("name", "whose it is; decisions are given under this name"):argname "NAME"
  parser:option("--role", "what it may do; read"):argname("ROLE"):choices(ROLES):default "read"
  parser:option("--file", "the file of tokens, instead of the store's"):argname "FILE"
  session.declare_store(parser)
end

-- The folder is the store's: it may be made before the store is.
local function file_of(arguments)
  if arguments.file then return arguments.file end
  local folder = session.project():store_path(arguments.store)
  if folder == ":memory:" then
    require("weir.failure").raise("invalid", "a store in memory has no tokens; name a file with --file")
  end
  require("weir.port.private").folder(folder)
  return folder .. "/tokens"
end

function M.run(arguments, context)
  local path = file_of(arguments)
  local token = require("weir.http.tokens").add(path, arguments.name, arguments.role)
  if arguments.json then
    context.out:line(shape.line { name = arguments.name, role = arguments.role, token = token, file = path })
  else
    context.out:line(token)
    context.err:line(("%s may %s; a host that runs reads %s when it starts again"):format(arguments.name, arguments.role, path))
  end
  return status.finished
end

return M
