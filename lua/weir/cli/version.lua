--- weir version: of weir and of what it stands on.

local shape = require "weir.view.shape"

local M = {
  name = "version",
  summary = "Prints the versions of weir, Lua and its libraries.",
  examples = { "version", "version --json" },
}

function M.declare() end

local function read(path)
  local file = io.open(path, "rb")
  if not file then return "" end
  local text = file:read "a"
  file:close()
  return text or ""
end

-- The first number that stands behind a text. Libraries are large: what has no magic is found much faster.
local function number_behind(bytes, text)
  local number, last
  repeat
    last = select(2, bytes:find(text, (last or 0) + 1, true))
    number = last and bytes:match("^[%d.]+", last + 1)
  until number or not last
  return number
end

-- The release stands in the library itself: its headers may be those of another one.
local function in_library(maps, name, text)
  local path = maps:match("(/%S*" .. name .. "[%w.]*%.so[%d.]*)")
  return path and number_behind(read(path), text)
end

--- The versions, by name, in order.
---@return { name: string, version: string }[]
function M.list()
  local maps = read "/proc/self/maps"
  local lua = in_library(maps, "liblua5", "$LuaVersion: Lua ") or _VERSION:match "%S+$"
  local list = { { name = "weir", version = require "weir.version" }, { name = "Lua", version = lua },
    { name = "libuv", version = require("luv").version_string() } }
  local lmdb = in_library(maps, "liblmdb", "LMDB ")
  if lmdb then list[#list + 1] = { name = "LMDB", version = lmdb } end
  return list
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
