--- The one Lua file that the host knows: makes the library loadable, then opens the command line.
--- Library chunks are named "=weir/...", which is how the host knows code that it must not preempt, unless it only
--- computes for others.

local paths = debug.getregistry()["weir.paths"]
package.loaded["weir.paths"] = paths

coroutine = require "weir.native.coroutine" -- luacheck: ignore 121
package.loaded.coroutine = coroutine

local library = require("weir.native.library").open(paths.natives .. "/library.chunks") -- see host/chunks.c

local function search_library(name)
  local inner = name == "weir" and "init" or name:match "^weir%.(.+)$"
  if not inner then return nil end
  inner = inner:gsub("%.", "/")
  for _, tail in ipairs { inner .. ".lua", inner .. "/init.lua" } do
    local chunk = library:load(paths.library .. "/lua/weir/" .. tail, "=weir/" .. tail)
    if chunk then return chunk, tail end
  end
  return ("\n\tno file '%s/lua/weir/%s.lua'"):format(paths.library, inner)
end

-- The one large library of others that every command needs.
local function search_argparse(name)
  local path = name == "argparse" and package.searchpath(name, package.path)
  return path and library:load(path, "@" .. path), path
end

table.insert(package.searchers, 2, search_library)
table.insert(package.searchers, 3, search_argparse)

-- What only computes, and may have much to do.
local COMPUTING = { "text/", "schema", "regex.lua", "path.lua", "value.lua", "run/plain.lua", "model/offline.lua",
  "planning/arrange.lua", "planning/search.lua", "planning/types.lua" }

local scheduler = require "weir.native.scheduler"
for _, place in ipairs(COMPUTING) do scheduler.computing("=weir/" .. place) end

return require "weir.cli"(...)
