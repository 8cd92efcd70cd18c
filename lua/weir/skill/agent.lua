--- A registered skill as an agent like any other: each call runs its source in a sandbox of its own, with what it was granted. How the
--- call went is counted; a shadow that does well is promoted, what fails too often is taken out of service.

local failure = require "weir.failure"
local grants = require "weir.skill.grants"
local hash = require "weir.native.hash"
local json = require "weir.native.json"
local manifest_of = require "weir.skill.manifest"
local policy = require "weir.skill.policy"
local sandbox = require "weir.sandbox"
local shelf = require "weir.skill.shelf"
local trial = require "weir.skill.trial"
local value_of = require "weir.value"

local M = {}

-- Codes that say something of the skill. What it says of its input, or the world of a request, is no fault of its own.
local FAULTS = { failed = true, limit = true, timeout = true, denied = true, corrupt = true }

-- In which states a version may run: a run that is pinned to a replaced one goes on with it.
local RUNS = { shadow = true, active = true, replaced = true }

local function check_state(store, skill)
  if not store then
    failure.raise("unavailable", "skill '%s': skills need a store, and of this run nothing is kept", skill.manifest.name)
  end
  local version = shelf.version(store, skill.hash)
  if not version then
    failure.raise("not_found", "skill '%s' %s is not registered in this store; `weir skills trial` and `weir skills learn` get it there",
      skill.manifest.name, skill.manifest.version)
  end
  if not RUNS[version.state] then
    failure.raise("denied", "skill '%s' %s was %s: %s", version.name, version.version, version.state, version.cause or "nobody said why")
  end
  return version
end

-- A person may have given less than the manifest wants: such a skill is not run at all.
local function check_privileges(store, skill)
  local record = shelf.name(store, skill.manifest.name)
  local missing = manifest_of.added(manifest_of.privileges(skill.manifest.grants), record and record.given)
  if #missing == 0 then return end
  failure.raise("denied", "skill '%s' was not let %s; a person decides on that, see `weir skills show %s`", skill.manifest.name,
    table.concat(missing, ", "), skill.manifest.name)
end

local function run(ctx, skill, input, options)
  local result, message, code = sandbox.run { name = skill.manifest.name, source = skill.source, input = input, options = options,
    grants = grants.functions(ctx, skill.manifest.grants), limits = trial.limits(skill.manifest),
    on_log = function(level, text) ctx:log(level, text) end, on_item = function(item) ctx:emit(item) end }
  if not result then return nil, message, code end
  local wrong = skill.gives(result.output)
  if wrong then return nil, ("skill '%s' does not give what its manifest says: %s"):format(skill.manifest.name, wrong), "failed", true end
  return result.output
end

local function count(engine, skill, is_good)
  return policy.after_call(engine, skill.hash, shelf.count(engine.store, skill.hash, is_good))
end

-- A shadow without effects does the same work again, where nobody waits for what it gives but the comparison.
local function run_shadow(engine, name, input, options, output)
  local record = shelf.name(engine.store, name)
  local shadow = record and record.shadow and record.active and shelf.version(engine.store, record.shadow)
  if not shadow or manifest_of.privileges(shadow.manifest.grants)[1] then return end
  local skill = { manifest = shadow.manifest, source = shadow.source, hash = shadow.hash, gives = manifest_of.gives(shadow.manifest) }
  local result = sandbox.run { name = name, source = skill.source, input = input, options = options, limits = trial.limits(skill.manifest) }
  count(engine, skill, result ~= nil and skill.gives(result.output) == nil and value_of.equal(result.output, output))
end

local function execute(skill, ctx, input)
  local engine = ctx._frame.run.engine
  local version = check_state(engine.store, skill)
  check_privileges(engine.store, skill)
  local options = value_of.copy(ctx.options)
  local output, message, code, is_fault = run(ctx, skill, input, options)
  if output == nil then
    if is_fault or FAULTS[code] then count(engine, skill, false) end
    return nil, message, code
  end
  count(engine, skill, true)
  if version.state == "active" then run_shadow(engine, skill.manifest.name, input, options, output) end
  if output == json.null then failure.raise("invalid", "skill '%s' returned nothing", skill.manifest.name) end
  return output
end

local function has_consequences(given)
  for _, method in ipairs(given.http and given.http.methods or {}) do
    if method ~= "GET" and method ~= "HEAD" then return true end
  end
  return given.tools ~= nil
end

--- The module that a skill is. Loads nothing of its source. Raises `corrupt` when the source is not the one of the manifest.
---@param text string the manifest in canonical JSON
---@param source string
---@return table module
function M.module(text, source)
  local manifest = assert(json.decode(text))
  if hash.sha256(source) ~= manifest.source.sha256 then
    failure.raise("corrupt", "skill '%s': its source is not the one of its manifest", tostring(manifest.name))
  end
  local skill = { manifest = manifest, source = source, hash = hash.sha256(text), gives = manifest_of.gives(manifest) }
  return { kind = "agent", name = manifest.name, api = 1, doc = manifest.description, needs = manifest.needs, gives = manifest.gives,
    options = manifest.options, skill = skill.hash, has_consequences = has_consequences(manifest.grants or {}),
    execute = function(ctx, input) return execute(skill, ctx, input) end }
end

return M
