--- What agents have done, by what they were asked: the module's version, its options, the model, the input. A trial of another
--- version asks here first, so that only what a change reaches is done again and costs money.

local binding = require "weir.run.binding"
local hash = require "weir.native.hash"
local json = require "weir.native.json"
local keys = require "weir.run.keys"
local place = require "weir.view.place"

local M = {}

---@class weir.reflection.Done
---@field key string   where it was done: RUN/KEY, or the key in the cycle
---@field output any
---@field label string|nil
---@field usage { tokens: number, usd: number } that it took when it was done

--- What identifies a piece of work. Pure.
---@param module string full name
---@param version string
---@param options table merged
---@param model any that the step names
---@param asked integer fingerprint of kind, module and input, as journals have it
---@return string
function M.content(module, version, options, model, asked)
  return hash.sha256(assert(json.encode({ module, version, options, model or json.null, asked }, { canonical = true })))
end

--- Whether the output of a step depends on nothing but what it is asked. Pure.
---@param step table of a plan, or of a normal form
---@return boolean
function M.is_plain(step)
  return step.from == nil and not step.stream
end

local function children_of(held)
  local children = {}
  for name, plan in pairs(held.children) do children[name] = plan.definition and plan.definition.normal end
  return children
end

--- What was used at a key and below it. Pure.
---@param by table<string, table<string, number>> by key
---@param key string
---@return { tokens: number, usd: number }
function M.usage_at(by, key)
  local total = { tokens = 0, usd = 0 }
  for of, used in pairs(by) do
    if of == key or keys.is_below(of, key) then
      total.tokens, total.usd = total.tokens + (used.tokens or 0), total.usd + (used.usd or 0)
    end
  end
  return total
end

local function add_entry(memo, engine, held, places, about, entry)
  local node = places:find(entry[2]).node
  local full = node and type(node.agent) == "string" and "agents/" .. node.agent
  local module = full and rawget(held.entries, full)
  if not module or not M.is_plain(node) then return end
  local project = engine.project
  local fits, options = pcall(project.registry.options, project.registry, module, project:options_of(full), node.options)
  if not fits then return end
  local content = M.content(full, module.version, options, node.model, entry[3])
  local label = type(entry[9]) == "table" and entry[9].label or nil
  memo[content] = memo[content] or { key = about.run .. "/" .. entry[2], output = entry[8], label = label,
    usage = M.usage_at(about.usage, entry[2]) }
end

--- Adds what a finished run has done. What of it cannot be read any more is left out: it is done again. Waits.
---@param memo table<string, weir.reflection.Done>
---@param engine weir.Engine
---@param run_id string
function M.add_run(memo, engine, run_id)
  local entries = engine.store:load(run_id)
  local journal = require "weir.run.journal"
  local head = entries and entries[1] and entries[1][1] == "run" and journal.head_of(entries)
  if not head then return end
  local ok, plan = pcall(engine.plan_of_version, engine, head.version)
  local bound, held = pcall(binding.hold_pinned, engine, ok and plan or {}, head.pins)
  if not ok or not bound then return require("weir.native.scheduler").recover() end
  local places, about = place.new(plan.definition.normal, children_of(held)), { run = run_id, usage = journal.new(nil, entries).usage_by }
  for _, entry in ipairs(entries) do
    if entry[1] == "step" and entry[4] == "finished" then add_entry(memo, engine, held, places, about, entry) end
  end
  held:release()
end

--- Adds what earlier lives of a cycle have done in its trials.
---@param memo table<string, weir.reflection.Done>
---@param journal weir.Journal
---@param key string of the step that reflects
function M.add_journal(memo, journal, key)
  for inner, entry in pairs(journal.recorded) do
    local extra = entry[4] == "finished" and entry[9]
    local content = type(extra) == "table" and extra.content
    if content and keys.is_below(inner, key) then
      memo[content] = memo[content] or { key = inner, output = entry[8], label = extra.label, usage = M.usage_at(journal.usage_by, inner) }
    end
  end
end

return M
