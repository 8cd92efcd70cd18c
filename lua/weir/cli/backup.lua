--- weir backup: a copy of the store.

local client = require "weir.cli.client"
local clock = require "weir.port.clock"
local duration = require "weir.duration"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local text = require "weir.cli.text"
local upkeep = require "weir.upkeep"

local M = {
  name = "backup",
  summary = "Copies the store as it is at this moment into a new folder, without unused space.",
  examples = { "backup ~/backups/2026-11-24", "backup copy --timeout 1h --json" },
  notes = "The copy is a store: `weir runs --store DIR` lists what is in it. DIR appears once it is whole.\n"
    .. "Exit status: 0 it is made, 1 it took too long, 6 the folder above is not there, 8 DIR is there already, the disk is\n"
    .. "full, or another process that is no host has the store.",
}

local TIMEOUT = "5m"

function M.declare(parser)
  parser:argument("dir", "a folder that is not there yet"):argname "DIR"
  parser:option("--timeout", "how long it may take; " .. TIMEOUT):argname("D"):default(TIMEOUT):convert(duration.parse)
  session.declare_store(parser)
end

function M.run(arguments, context)
  local here = session.project()
  return session.with_store(session.open_present_store(here, arguments.store), function(store)
    local at_ms = clock.wall_ms()
    local made = upkeep.backup(store, (client.path(arguments.dir):gsub("(.)/+$", "%1")), { timeout = arguments.timeout })
    if arguments.json then
      context.out:line(shape.line { folder = made.folder, bytes = made.bytes, seconds = made.seconds, at = shape.time(at_ms) })
    else
      context.out:line(("%s  %s in %s"):format(text.safe(made.folder), text.bytes(made.bytes), text.duration(made.seconds)))
    end
    return status.finished
  end)
end

return M
