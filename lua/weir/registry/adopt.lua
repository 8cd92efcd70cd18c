--- Has a version serve that nobody has written into a file: one that was proposed, tried and found better. It is a change like a
--- rollback or a patch: it is kept, audited, seen by `weir modules`, taken back by `weir rollback`, and gives way when the file
--- changes.

local active = require "weir.registry.active"
local clock = require "weir.port.clock"
local failure = require "weir.failure"
local names = require "weir.registry.names"
local publish = require "weir.registry.publish"
local reload = require "weir.registry.reload"

local M = {}

local SHORT = 12 -- characters of a version that people see

-- The version that the file gives, though another may have been chosen instead of it.
local function of_file(registry, full, current)
  local record = active.of(registry, full)
  return record and record.instead_of or current.version
end

--- The version that the file of what serves gives.
---@param registry weir.Registry
---@param full string
---@return string version
function M.root(registry, full)
  local current, err = names.ensure(registry, full)
  if not current then error(err, 0) end
  return of_file(registry, full, current)
end

--- Gives a definition that was made of another one what is known of the file of that.
---@param new table an entry of the registry, or a definition
---@param current table what serves
---@return table new
function M.prepared(new, current)
  if new.normal then
    new.file, new.used, new.text, new.loaded_at = current.file, current.used, nil, clock.wall_ms()
  end
  return new
end

local function adopt(registry, full, new, about)
  local current, err = names.ensure(registry, full)
  if not current then error(err, 0) end
  if current.version == new.version then return end -- a former life has done it
  if current.version ~= about.instead then
    failure.raise("conflict", "'%s' is served in version %s by now, and the change was made for %s", full, current.version:sub(1, SHORT),
      about.instead:sub(1, SHORT))
  end
  local change = { full = full, new = M.prepared(new, current), instead_of = of_file(registry, full, current) }
  if change.instead_of == new.version then change.instead_of = nil end
  local failures = publish.all(registry, { change }, { by = about.by, via = about.via, action = about.action })
  if failures then error(failures[1].err, 0) end
  local report = reload.new_report()
  report.reloaded[1] = { name = full, from = current.version, to = new.version, file = new.file }
  report.seconds, report.action = 0, about.action
  reload.tell(registry, report)
end

--- Has a version serve in the place of one that does now. Runs that have begun end on their own versions. Safe twice. Waits.
--- Raises {code, message}: `conflict` (something else serves by now), `not_found`, `invalid`, `timeout`, `full`, ...
---@param registry weir.Registry
---@param full string
---@param new table an entry of the registry, or a definition
---@param about { by: string?, via: string?, action: string, instead: string } instead: the version that it is to follow
function M.adopt(registry, full, new, about)
  return publish.exclusively(registry, adopt, registry, full, new, about)
end

return M
