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

--- The places that a policy can serve, and the calls that each makes. A policy names its place in `serves`: `pick` means
--- another thing for runs in a queue than for models.
M.places = {
  queue = { "pick", "admit" },  -- which run is next, and whether a newcomer may wait
  models = { "pick" },          -- which models are asked, in which order
  retry = { "retry" },
  remedy = { "remedy" },
  canary = { "remedy" },        -- whether a version on trial is promoted or rolled back
}

M.folders = {}
for kind, entry in pairs(M.kinds) do M.folders[entry.folder] = kind end

local FIELDS = {}
for name in ([[kind name api doc options setup needs gives atomic serves execute plan review watch judge propose admit pick
  retry remedy on chat embed]]):gmatch "%S+" do FIELDS[name] = true end

local function has_call(entry, module)
  for _, name in ipairs(entry.calls) do
    if type(module[name]) == "function" then return true end
  end
  return false
end

local function place_refusal(module)
  local calls = M.places[module.serves]
  if not calls then
    local names = require("weir.value").names(M.places)
    return ("says serves = %s; a policy serves one of %s"):format(
      type(module.serves) == "string" and "'" .. module.serves .. "'" or tostring(module.serves), table.concat(names, ", "))
  end
  if has_call({ calls = calls }, module) then return nil end
  return ("serves '%s' and has no function '%s'"):format(module.serves, table.concat(calls, "' or '"))
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
  if kind == "policy" and module.serves ~= nil then
    local refusal = place_refusal(module)
    if refusal then return refusal end
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

--- The place that a policy serves; one that does not say so serves the queue.
---@param module table of kind policy
---@return string
function M.place(module)
  return module.serves or "queue"
end

return M
