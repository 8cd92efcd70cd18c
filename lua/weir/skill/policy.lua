--- When a skill is promoted and when it is taken out of service, how long a failure is remembered, and what of this the project has
--- set: the setting `skills` of weir.lua.

local failure = require "weir.failure"
local duration = require "weir.duration"
local publish = require "weir.registry.publish"
local shelf = require "weir.skill.shelf"
local version = require "weir.version"

local M = {}

local SHARE = { type = "object", additionalProperties = false, properties = {
  calls = { type = "integer", minimum = 1, maximum = 20 }, rate = { type = "number", minimum = 0, maximum = 1 } } }
local NAMES = { type = "array", items = { type = "string", minLength = 1 } }

--- What fits the setting `skills`, as JSON Schema.
M.schema = { type = "object", additionalProperties = false, properties = {
  folders = NAMES, indexes = NAMES, mcp = NAMES, critic = { type = "string" }, critic_options = { type = "object" },
  keys = { type = "object", additionalProperties = { type = "string", pattern = "^[A-Za-z0-9+/]{43}=$" } },
  signed = { type = "boolean" },
  approve = { enum = { "privileges", "always" } }, promote = SHARE, demote = SHARE, forget = { type = { "string", "number" } } } }

local DEFAULTS = { folders = { "modules/skills" }, indexes = {}, mcp = {}, critic = "skill_review", keys = {}, signed = false,
  approve = "privileges",
  promote = { calls = 3, rate = 0.9 }, demote = { calls = 3, rate = 0.5 }, forget = "30d" }

---@class weir.SkillSettings
---@field folders string[]   where skills are looked for: of the project, and of what came with weir
---@field indexes string[]   URLs
---@field mcp string[]       names of MCP servers
---@field critic string      judges what a trial found
---@field critic_options table|nil
---@field keys table<string, string> public keys (Ed25519, base64) of those whose signatures count
---@field signed boolean     whether a skill has to be signed by one of them
---@field approve "privileges"|"always" when a person is asked
---@field promote { calls: integer, rate: number } a shadow is promoted after so many calls, if that share of the latest was good
---@field demote { calls: integer, rate: number } and taken out of service after so many, if less than that share was
---@field forget number      seconds after which a failure is forgotten

local function share(given, default)
  given = given or {}
  return { calls = given.calls or default.calls, rate = given.rate or default.rate }
end

--- What a project has set, with defaults.
---@param project weir.Project
---@return weir.SkillSettings
function M.settings(project)
  local settings = setmetatable({}, { __index = DEFAULTS })
  for name, value in pairs(project.settings.skills or {}) do settings[name] = value end
  settings.promote, settings.demote = share(settings.promote, DEFAULTS.promote), share(settings.demote, DEFAULTS.demote)
  settings.forget = assert(duration.parse(settings.forget))
  return settings
end

--- What is true of this system: what failed under another may be tried again.
---@return string
function M.environment() return "weir " .. version end

--- Has the registry of a living engine serve what the store says now. Waits.
---@param engine weir.Engine
---@param name string of a skill
function M.refresh(engine, name)
  local registry = engine.project.registry
  publish.exclusively(registry, function() -- the one who looks last swaps last
    local entry = registry:load_aside("agent", name)
    if entry then registry:swap { entry } end
  end)
end

local function demotion(engine, counts)
  local settings = M.settings(engine.project)
  if #counts.recent < settings.demote.calls or shelf.rate(counts) >= settings.demote.rate then return nil end
  local good = select(2, counts.recent:gsub("1", ""))
  return { cause = ("%d of its last %d calls were good"):format(good, #counts.recent), seconds = settings.forget,
    environment = M.environment(), by = "weir" }
end

local function is_promoted(engine, hash, counts)
  local record = shelf.version(engine.store, hash)
  local promote = M.settings(engine.project).promote
  return record and record.state == "shadow" and #counts.recent >= promote.calls and shelf.rate(counts) >= promote.rate
end

--- What follows from how the calls of a version went: nothing, a promotion, a demotion. Waits for the disk when something does.
---@param engine weir.Engine
---@param hash string
---@param counts { calls: integer, recent: string }
---@return "promoted"|"demoted"|nil
function M.after_call(engine, hash, counts)
  local record = shelf.version(engine.store, hash)
  if not record or record.state ~= "shadow" and record.state ~= "active" then return nil end
  local fields, what = demotion(engine, counts), nil
  if fields then
    shelf.demote(engine.store, hash, fields)
    what = "demoted"
  elseif is_promoted(engine, hash, counts) then
    local ok, err = pcall(shelf.promote, engine.store, hash, "weir")
    if not ok and failure.of(err).code ~= "conflict" then error(err, 0) end -- somebody else was faster
    what = "promoted"
  end
  if what then M.refresh(engine, record.name) end
  return what
end


return M
