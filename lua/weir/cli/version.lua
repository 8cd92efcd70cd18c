--- weir version: of weir and of what it stands on.

local shape = require "weir.cli.shape"

local M = {
  name = "version",
  summary = "Prints the versions of weir, Lua and its libraries.",
  examples = { "version", "version --json" },
}

function M.declare() end

--- The versions, by name, in order.
---@return { name: string, version: string }[]
function M.list()
  local lmdb = require("weir.native.checkpoint").lmdb
  return { { name = "weir", version = require "weir.version" }, { name = "Lua", version = _VERSION:match "%S+$" },
    { name = "libuv", version = require("luv").version_string() }, lmdb and { name = "LMDB", version = lmdb } }
end

function M.run(arguments, context)
  local list = M.list()
  if arguments.json then
    local line = {}
    for _, entry in ipairs(list) do line[entry.name:lower()] = entry.version end
    context.out:line(shape.line(line))
    return 0
  end
  for index, entry in ipairs(list) do
    context.out:line(index == 1 and ("weir %s"):format(entry.version) or ("  %s %s"):format(entry.name, entry.version))
  end
  return 0
end

return M
