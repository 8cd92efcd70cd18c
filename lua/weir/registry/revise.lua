--- What people do to the version that serves: reload a file, go back to what served before, patch a function. Each is
--- a change like any other (see `weir.registry.publish`), with a record of who did it.

local active = require "weir.registry.active"
local failure = require "weir.failure"
local kinds = require "weir.registry.kinds"
local names = require "weir.registry.names"
local publish = require "weir.registry.publish"
local registry_type = require "weir.registry"
local reload = require "weir.registry.reload"
local source = require "weir.registry.source"
local suggest = require "weir.suggest"
local value_of = require "weir.value"

local M = {}

local SHORT = 12 -- characters of a version that people see

---@class weir.About who changes something
---@field by string|nil  default: the user of the system
---@field via string|nil the door, default cli

-- Which one is meant -----------------------------------------------------------------------------------

local function has_file(registry, full)
  for _, relative in ipairs(names.files(full)) do
    if source.find(registry.roots, relative) then return true end
  end
  return false
end

local function fitting(registry, name)
  local fits = {}
  for _, folder in ipairs(value_of.names(kinds.folders)) do
    local full = folder .. "/" .. name
    if names.current(registry, full) or has_file(registry, full) then fits[#fits + 1] = full end
  end
  local pipeline = "pipelines/" .. name
  if names.current(registry, pipeline) or has_file(registry, pipeline) then fits[#fits + 1] = pipeline end
  return fits
end

local function all_names(registry)
  local list = {}
  for kind, entry in pairs(kinds.kinds) do
    for _, name in ipairs(registry:names(kind)) do
      list[#list + 1] = name
      list[#list + 1] = entry.folder .. "/" .. name
    end
  end
  return list
end

--- The full name that somebody means: "agents/writer", or "writer" when there is only one of that name; a pipeline is
--- "pipelines/digest" or "digest". Raises `not_found`, and `invalid` when several fit.
---@param registry weir.Registry
---@param given string
---@return string full
function M.resolve(registry, given)
  local folder = given:match "^([^/]+)/[^/]+$"
  if folder and (kinds.folders[folder] or folder == "pipelines") and (names.current(registry, given) or has_file(registry, given)) then
    return given
  end
  local fits = folder and {} or fitting(registry, given)
  if #fits == 1 then return fits[1] end
  if #fits > 1 then failure.raise("invalid", "'%s' may be %s; give one of these", given, table.concat(fits, " or ")) end
  local hint = suggest.hint(given, all_names(registry))
  failure.raise("not_found", "there is no module or pipeline '%s'%s; `weir modules` lists them", given, hint)
end

-- Changes ----------------------------------------------------------------------------------------------

local function current_of(registry, full)
  local current, err = names.ensure(registry, full)
  if not current then error(err, 0) end
  return current
end

local function publish_one(registry, change, about, action)
  local from = names.current(registry, change.full)
  local failures = publish.all(registry, { change }, { by = about.by, via = about.via, action = action })
  if failures then error(failures[1].err, 0) end
  local report = reload.new_report()
  local done = { name = change.full, from = from and from.version, to = change.new.version, file = change.new.file }
  report.reloaded[1], report.seconds, report.action = done, 0, action
  reload.tell(registry, report)
  return done
end

-- The version of the file that is not served: it decides again when it is another.
local function instead_of(registry, full, current)
  local record = active.of(registry, full)
  return record and record.instead_of or current.version
end

local function roll_back(registry, full, about)
  local current = current_of(registry, full)
  local history = active.history(registry, full, current.version)
  local before = history[1]
  if not before then failure.raise("not_found", "'%s' has no version before %s that is kept", full, current.version:sub(1, SHORT)) end
  local loaded, err = active.load(registry, full, before.version)
  if not loaded then error(err, 0) end
  local change = { full = full, new = loaded, instead_of = instead_of(registry, full, current),
    history = table.move(history, 2, #history, 1, {}) }
  if change.instead_of == loaded.version then change.instead_of = nil end
  return publish_one(registry, change, about, "rollback")
end

--- Has the version serve that served before; once more goes back further. It serves, also after a restart, until the file
--- changes or is reloaded. Runs that have begun end on their own versions. Waits. Raises {code, message}: `not_found` (nothing
--- before is kept), `invalid`, `timeout` (it cannot be loaded or set up any more; what serves goes on), `full`, ...
---@param registry weir.Registry
---@param full string see `resolve`
---@param about weir.About|nil
---@return { name: string, from: string, to: string, file: string|nil }
function M.rollback(registry, full, about)
  return publish.exclusively(registry, roll_back, registry, full, about or {})
end

local function serve_now(registry, full, version, about)
  local current = current_of(registry, full)
  if about.only_after and current.version ~= about.only_after then
    failure.raise("conflict", "'%s' is served in version %s by now; look again", full, current.version:sub(1, SHORT))
  end
  local loaded, err = current, nil
  if current.version ~= version then loaded, err = active.load(registry, full, version) end
  if not loaded then error(err, 0) end
  local change = { full = full, new = loaded, instead_of = about.instead_of or instead_of(registry, full, current) }
  if change.instead_of == loaded.version then change.instead_of = nil end
  return publish_one(registry, change, about, about.action or "serve")
end

--- Has a version serve that is kept, also after a restart, until the file changes or is reloaded. Waits. Raises as `rollback`.
---@param registry weir.Registry
---@param full string see `resolve`
---@param version string
---@param about { by: string|nil, via: string|nil, action: string|nil, instead_of: string|nil, only_after: string|nil } instead_of: the
---   version that the file gives; default: what it gave last; only_after: the version that has to serve until then, else `conflict`
---@return { name: string, from: string, to: string, file: string|nil }
function M.serve(registry, full, version, about)
  return publish.exclusively(registry, serve_now, registry, full, version, about)
end

local function reload_now(registry, fulls, about)
  for _, full in ipairs(fulls) do pcall(names.ensure, registry, full) end -- so that it is told what it was
  local report = reload.names(registry, fulls, { by = about.by, via = about.via, action = "reload", is_forced = true })
  reload.tell(registry, report)
  return report
end

--- Has the file serve as it is now, also in the place of a version that was chosen instead of it. Waits.
---@param registry weir.Registry
---@param full string|string[]|nil see `resolve`; nil: all that was loaded
---@param about weir.About|nil
---@return weir.ReloadReport
function M.reload(registry, full, about)
  local fulls = type(full) == "string" and { full } or full or names.known(registry)
  return publish.exclusively(registry, reload_now, registry, fulls, about or {})
end

-- Patching -----------------------------------------------------------------------------------------------

-- `function M.execute(ctx, input) ... end` is the same as `function(ctx, input) ... end`.
local function expression_of(text)
  local statement = text:match "^%s*function%s+[%w_.]+%s*(%(.*)$"
  return statement and "function" .. statement or text
end

-- The field is set where the module's table is returned, so that the function sees what the others see.
local function patched(text, field, given)
  local body, name, rest = text:match "^(.*\n)[ \t]*return[ \t]+([%a_][%w_]*)([%s;]*)$"
  if body then return ("%s%s.%s = %s\nreturn %s%s"):format(body, name, field, given, name, rest) end
  return ("local module = (function(...) %s\nend)(...)\nmodule.%s = %s\nreturn module\n"):format(text, field, given)
end

local function patch_now(registry, full, field, given, about)
  local kind, name = registry_type.split(full)
  local current = current_of(registry, full)
  if not current.text then failure.raise("invalid", "'%s' has no source that could be patched", full) end
  local kept = { text = patched(current.text, field, expression_of(given)), file = current.file, used = current.used }
  local loaded, err = registry:load_kept(kind, name, kept)
  if not loaded then error(err, 0) end
  if loaded.version == current.version then
    return { name = full, from = current.version, to = current.version, file = current.file }
  end
  return publish_one(registry, { full = full, new = loaded, instead_of = instead_of(registry, full, current) }, about, "patch")
end

--- Gives a module another function: a new version with its own source, which serves until it is rolled back or the file
--- changes. Waits. Raises {code, message} as `rollback`; `invalid` also when the text is no function.
---@param registry weir.Registry
---@param full string of a module, see `resolve`
---@param field string such as "execute"
---@param text string `function(ctx, input) ... end`, in Lua
---@param about weir.About|nil
---@return { name: string, from: string, to: string, file: string|nil }
function M.patch(registry, full, field, text, about)
  if names.pipeline(full) then failure.raise("invalid", "'%s' is a pipeline; only modules have functions to patch", full) end
  if not field:find "^[%a_][%w_]*$" then failure.raise("invalid", "'%s' is no name of a field", field) end
  local fits, why = load("return " .. expression_of(text), "=patch", "t", {})
  if not fits then failure.raise("invalid", "the patch of '%s' is no function: %s", field, why) end
  return publish.exclusively(registry, patch_now, registry, full, field, text, about or {})
end

return M
