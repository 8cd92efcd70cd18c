--- The one Lua file that the host knows: makes the library loadable, then opens the command line.
--- Library chunks are named "=weir/...", which is how the host knows code that it must not preempt, unless it only
--- computes for others.

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

-- What the build has compiled (see host/chunks.c): by name where it stands. Raises when the file is cut short.
local function compiled_index(file)
  local places = {}
  if not file or file:read(8) ~= "WEIRCHK1" then return places end
  for _ = 1, string.unpack("<I4", file:read(4)) do
    local name = file:read((string.unpack("<I2", file:read(2))))
    local offset, text_bytes, bytes = string.unpack("<I8I4I4", file:read(16))
    places[name] = { offset = offset, text_bytes = text_bytes, bytes = bytes }
  end
  return places
end

local chunks = io.open(paths.natives .. "/library.chunks", "rb")
local is_whole, places = pcall(compiled_index, chunks)

-- What the build has compiled of a text; nil when the text is another one, or the compiler of another version of Lua.
local function compiled(tail, text)
  local place = is_whole and places[tail]
  if not place or place.text_bytes ~= #text then return nil end
  chunks:seek("set", place.offset)
  if chunks:read(#text) ~= text then return nil end
  return (load(chunks:read(place.bytes) or "", "=weir/" .. tail, "b"))
end

local function load_file(tail, text)
  return compiled(tail, text) or assert(load(text, "=weir/" .. tail, "t"))
end

local function search_library(name)
  local inner = name == "weir" and "init" or name:match "^weir%.(.+)$"
  if not inner then return nil end
  for _, tail in ipairs { inner:gsub("%.", "/") .. ".lua", inner:gsub("%.", "/") .. "/init.lua" } do
    local text = read(paths.library .. "/lua/weir/" .. tail)
    if text then return load_file(tail, text), tail end
  end
  return ("\n\tno file '%s/lua/weir/%s.lua'"):format(paths.library, inner:gsub("%.", "/"))
end

table.insert(package.searchers, 2, search_library)

-- What only computes, and may have much to do.
local COMPUTING = { "text/", "schema", "regex.lua", "path.lua", "value.lua", "run/plain.lua", "model/offline.lua",
  "planning/arrange.lua", "planning/search.lua", "planning/types.lua" }

local scheduler = require "weir.native.scheduler"
for _, place in ipairs(COMPUTING) do scheduler.computing("=weir/" .. place) end

return require "weir.cli"(...)
