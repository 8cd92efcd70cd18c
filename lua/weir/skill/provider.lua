--- Gives a registry the skills of a store as modules, by the names of agents. What stands in a file goes before. Loaded with every
--- engine, so it loads the rest when a name is asked for that has no file.

local M = {}

local function provide(store, kind, name)
  if kind ~= "agent" then return nil end
  return require("weir.skill").module_text(store, name)
end

-- A store that was closed under the registry has none.
local function open(store, body)
  local ok, first, second = pcall(body, store)
  if ok then return first, second end
end

--- Has a registry provide what a store has registered.
---@param registry weir.Registry
---@param store weir.Store
function M.attach(registry, store)
  registry.provide = function(kind, name)
    return open(store, function() return provide(store, kind, name) end)
  end
  registry.provided = function(kind)
    return kind == "agent" and open(store, require("weir.skill.shelf").names) or {}
  end
end

--- The same for a project whose store nobody has opened yet: it is opened for a moment, when a name is asked for that has no
--- file. A store that another process has is asked by that one.
---@param project weir.Project
function M.attach_at_rest(project)
  project.registry.provide = function(kind, name)
    local path = kind == "agent" and project:store_path()
    if not path or not require("weir.port.system").exists(path) then return nil end
    local store = require("weir.port.store").open(path, {})
    if not store then return nil end
    local text, place = open(store, function() return provide(store, kind, name) end)
    store:close()
    return text, place
  end
end

return M
