--- The one Lua file that the host knows: makes the library loadable, then opens the command line.
--- Library chunks are named "=weir/...", which is how the host knows code that it must not preempt.

local paths = debug.getregistry()["weir.paths"]
package.loaded["weir.paths"] = paths

coroutine = require "weir.native.coroutine" -- luacheck: ignore 121
package.loaded.coroutine = coroutine

local function read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read "a"
  file:close()
  return text
end

local function search_library(name)
  local inner = name == "weir" and "init" or name:match "^weir%.(.+)$"
  if not inner then return nil end
  for _, tail in ipairs { inner:gsub("%.", "/") .. ".lua", inner:gsub("%.", "/") .. "/init.lua" } do
    local text = read(paths.library .. "/lua/weir/" .. tail)
    if text then return assert(load(text, "=weir/" .. tail, "t")), tail end
  end
  return ("\n\tno file '%s/lua/weir/%s.lua'"):format(paths.library, inner:gsub("%.", "/"))
end

table.insert(package.searchers, 2, search_library)

return require "weir.cli"(...)
