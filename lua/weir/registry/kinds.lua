--- The kinds of modules: where their files stand, what they must offer. Pure.

local M = {}

---@class weir.ModuleKind
---@field folder string
---@field calls string[] functions a module of the kind has; one of them is enough
M.kinds = {
  agent = { folder = "agents", calls = { "execute" } },
  planner = { folder = "planners", calls = { "plan" } },
  critic = { folder = "critics", calls = { "review", "watch", "judge" } },
  judge = { folder = "judges", calls = { "judge", "review" } },
  reflection = { folder = "reflections", calls = { "propose" } },
  policy = { folder = "policies", calls = { "admit", "pick", "retry", "remedy" } },
  supervisor = { folder = "supervisors", calls = { "on" } },
  watcher = { folder = "watchers", calls = { "watch" } },
  model = { folder = "models", calls = { "chat", "embed" } },
  skill = { folder = "skills", calls = { "execute" } },
}

M.folders = {}
for kind, entry in pairs(M.kinds) do M.folders[entry.folder] = kind end

local FIELDS = {}
for name in ([[kind name api doc options setup needs gives atomic execute plan review watch judge propose admit pick
  retry remedy on chat embed]]):gmatch "%S+" do FIELDS[name] = true end

local function has_call(entry, module)
  for _, name in ipairs(entry.calls) do
    if type(module[name]) == "function" then return true end
  end
  return false
end

--- What is wrong with a module, or nil.
---@param module any what its file returned
---@param kind string
---@param name string
---@return string|nil
function M.refusal(module, kind, name)
  if type(module) ~= "table" then return ("returns a %s; a module returns its table"):format(type(module)) end
  local entry = M.kinds[kind]
  if module.kind ~= kind then return ("says kind = '%s'; in %s/ it must be '%s'"):format(tostring(module.kind), entry.folder, kind) end
  if module.name ~= name then return ("says name = '%s'; its file is called '%s'"):format(tostring(module.name), name) end
  if module.api ~= 1 then return ("says api = %s; this weir offers 1"):format(tostring(module.api)) end
  if not has_call(entry, module) then
    return ("has no function '%s'"):format(table.concat(entry.calls, "' or '"))
  end
  for field, value in pairs(module) do
    if type(field) ~= "string" then return "has entries without names" end
    if not FIELDS[field] and type(value) == "function" then
      return ("has the function '%s', which nobody calls; make it local"):format(field)
    end
  end
  if module.setup ~= nil and type(module.setup) ~= "function" then return "has a 'setup' that is no function" end
  return nil
end

return M
