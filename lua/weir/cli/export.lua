--- weir export: a run with all that it needs, as one file.

local client = require "weir.cli.client"
local failure = require "weir.failure"
local files = require "weir.port.files"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local text = require "weir.cli.text"
local transfer = require "weir.run.transfer"

local M = {
  name = "export",
  summary = "Writes a run into a file: its journal, the definition and modules it is pinned to, its decisions and signals.",
  examples = { "export last run.weir", "export r_0mwt2j > run.weir" },
  notes = "`weir import` takes it into another store. The file holds inputs and outputs as they are: keep it like the store.\n"
    .. "Runs that the run started are not part of it.",
}

function M.declare(parser)
  parser:argument("run", "an id, the beginning of one, or `last`"):argname "RUN"
  parser:argument("file", "where to; stdout without it"):argname("FILE"):args "?"
  session.declare_store(parser)
end

local function check(arguments, context)
  if arguments.file then return end
  if context.out.is_terminal then failure.raise("invalid", "an archive is no text for a terminal: name a FILE") end
  if arguments.json then failure.raise("invalid", "--json tells of a FILE: name one") end
end

function M.run(arguments, context)
  check(arguments, context)
  local here = session.project()
  return session.with_store(session.open_present_store(here, arguments.store), function(store)
    local id = session.find_run(store, arguments.run)
    local pieces = {}
    local done = transfer.export(store, id, function(bytes) pieces[#pieces + 1] = bytes end)
    local whole = table.concat(pieces)
    if not arguments.file then
      context.out:write(whole)
      return status.finished
    end
    local ok, message, code = files.write(client.path(arguments.file), whole)
    if not ok then failure.raise(code, "%s", message) end
    if arguments.json then
      context.out:line(shape.line { run = id, file = arguments.file, entries = done.entries, bytes = done.bytes, sha256 = done.hash })
    else
      context.err:line(("wrote run %s to %s: %s, %s"):format(id, text.safe(arguments.file), text.count(done.entries, "entry", "entries"),
        text.bytes(done.bytes)))
    end
    return status.finished
  end)
end

return M
