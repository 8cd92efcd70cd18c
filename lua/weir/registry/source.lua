--- Files of the user: found below roots, run in a world of their own, and what they require on the way. The version
--- of a file is the content hash of its text and of the files that it requires; the library is never part of it.

local environment = require "weir.registry.environment"
local hash = require "weir.native.hash"
local limit = require "weir.registry.limit"

local M = {}

environment.protect_strings()

local FOREIGN = { cjson = true, lpeg = true, re = true }

---@class weir.SourceFile a file that was required
---@field name string  as `require` was given it
---@field text string
---@field file string  its path when it was loaded

---@class weir.Trace what a file asked for while it was loaded, also when that failed
---@field used weir.SourceFile[]
---@field missing string[] names that were not found

local function read_file(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read "a" -- nil for a folder
  file:close()
  return text
end

--- The first file of that relative path below the roots.
---@param roots string[]
---@param relative string
---@return string|nil text
---@return string|nil path
function M.find(roots, relative)
  for _, root in ipairs(roots) do
    local path = root .. "/" .. relative
    local text = read_file(path)
    if text then return text, path end
  end
end

--- Where a required file stands below its root.
---@param name string such as "modules.lib.tides"
---@return string relative such as "modules/lib/tides.lua"
function M.relative(name)
  return (name:gsub("%.", "/")) .. ".lua"
end

--- Finds required files below roots, as they are now.
---@param roots string[]
---@return fun(name: string): string?, string?
function M.finder(roots)
  return function(name) return M.find(roots, M.relative(name)) end
end

--- Finds required files among those that were kept.
---@param used weir.SourceFile[]
---@return fun(name: string): string?, string?
function M.kept_finder(used)
  local by_name = {}
  for _, file in ipairs(used) do by_name[file.name] = file end
  return function(name)
    local file = by_name[name]
    if file then return file.text, file.file or name end -- kept by an earlier release: without its path
  end
end

--- Nothing has been asked for yet.
---@return weir.Trace
function M.trace()
  return { used = {}, missing = {} }
end

-- Says where the user's code asked; a call in tail position has left no trace, then who asked for its file.
local function refuse(message, ...)
  for level = 2, 40 do
    local info = debug.getinfo(level, "Sl")
    if not info then break end
    if info.source:sub(1, 1) == "@" then
      error(("%s:%d: %s"):format(info.source:sub(2), info.currentline, message:format(...)), 0)
    end
  end
  error(message:format(...), 0)
end

-- What a module may require: the library (never its native modules), a few packages of the system, and
-- the user's own files, which become part of the version.
local function requirer(find, trace, is_repeatable)
  local loaded, is_loading = {}, {}
  local function require_in_module(name)
    if name == "weir" or (name:find "^weir%." and not name:find "^weir%.native") or FOREIGN[name] then
      return require(name)
    end
    if loaded[name] ~= nil then return loaded[name] end
    if is_loading[name] then refuse("module '%s' requires itself, through others or at once", name) end
    is_loading[name] = true
    local text, path = find(name)
    if not text then
      trace.missing[#trace.missing + 1] = name
      refuse("module '%s' not found: weir's library, cjson, lpeg and the project's own files can be required", name)
    end
    trace.used[#trace.used + 1] = { name = name, text = text, file = path }
    local chunk, message = load(text, "@" .. path, "t", environment.new(require_in_module, is_repeatable))
    if not chunk then error(message, 0) end
    local value = chunk(name)
    loaded[name] = value == nil and true or value
    return loaded[name]
  end
  return require_in_module
end

--- The version of a text and of the files that it requires: SHA-256, hexadecimal.
---@param text string
---@param used { name: string, text: string }[] gets sorted
---@return string
function M.version_of(text, used)
  if #used == 0 then return hash.sha256(text) end
  table.sort(used, function(a, b) return a.name < b.name end)
  local parts = { hash.sha256(text) }
  for _, file in ipairs(used) do parts[#parts + 1] = file.name .. "=" .. hash.sha256(file.text) end
  return hash.sha256(table.concat(parts, "\n"))
end

--- Runs the text of a file of the user in an environment of its own, for at most 1 s. Waits. Raises what the file raises,
--- and `timeout`.
---@param file string for messages
---@param text string
---@param options { find: function, trace: weir.Trace, is_repeatable: boolean? } is_repeatable: for pipelines, see
---   `environment.new`
---@return any value what it returns
---@return string version
function M.run(file, text, options)
  local world = environment.new(requirer(options.find, options.trace, options.is_repeatable), options.is_repeatable)
  local chunk, message = load(text, "@" .. file, "t", world)
  if not chunk then error(message, 0) end
  local ok, value = limit.call(chunk)
  if not ok then error(value, 0) end
  return value, M.version_of(text, options.trace.used)
end

return M
