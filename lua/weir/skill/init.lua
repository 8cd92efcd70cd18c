--- Skills: what agents a project lacks are found elsewhere, tried in the sandbox, and used if they are good. A scout finds candidates
--- for a need, tries one, registers it; whoever asks (an agent, a planner, the command line) decides in which order and whether a
--- person is asked. What failed is remembered with its cause, and not tried again before that is forgotten.

local failure = require "weir.failure"
local find = require "weir.skill.find"
local json = require "weir.native.json"
local manifest_of = require "weir.skill.manifest"
local policy = require "weir.skill.policy"
local shelf = require "weir.skill.shelf"
local trial = require "weir.skill.trial"

local M = {}

local CANDIDATES = 10 -- that a scout comes back with
local ALIKE = 0.5     -- a registered skill that speaks of all of a need and scores so high is what is needed

---@class weir.SkillScout
---@field engine weir.Engine
---@field settings weir.SkillSettings
---@field ctx weir.Context|nil the step that asks, for a critic that asks a model
---@field by string
local Scout = {}
Scout.__index = Scout

--- A scout for a step or an engine. Does not wait. Raises `unavailable` without a store.
---@param where weir.Context|weir.Engine
---@param by string|nil who asks; default: who started the run
---@return weir.SkillScout
function M.of(where, by)
  local frame = rawget(where, "_frame")
  local engine = frame and frame.run.engine or where
  if not engine.store then
    failure.raise("unavailable", "skills need a store to be registered in; give the pipeline a durability, or the host a store")
  end
  return setmetatable({ engine = engine, settings = policy.settings(engine.project), ctx = frame and where,
    by = by or frame and frame.run.by or require("weir.port.system").user_name() }, Scout)
end

--- Agents that a scout could find for a need, for a planner that lacks one. Waits. See `Scout:find`.
---@param where weir.Context|weir.Engine
---@param need weir.SkillNeed|string
---@return weir.SkillFindings
function M.find(where, need) return M.of(where):find(need) end

local function need_of(given)
  if type(given) == "string" then return { text = given } end
  if type(given) ~= "table" or type(given.text) ~= "string" and type(given.name) ~= "string" then
    failure.raise("invalid", "a need is a text such as \"read CSV\", or a table with text, name, or both")
  end
  return given
end

-- Finding ---------------------------------------------------------------------------------------------

local function known_agent(self, need)
  if not need.name then return nil end
  local entry = self.engine.project.registry:lookup("agent", need.name)
  return entry and { name = need.name, kind = entry.module.skill and "skill" or "agent" }
end

-- A registered skill that does what is needed, so that it is not learned a second time under another name.
local function known_skill(self, need)
  local best
  for name in pairs(shelf.speaking_of(self.engine.store, find.words(need))) do
    local version = shelf.serving(self.engine.store, name)
    local score, share = nil, nil
    if version then score, share = find.score({ text = need.text, gives = need.gives }, version.manifest) end
    if score and share == 1 and score >= ALIKE and (not best or score > best.score) then
      best = { name = name, kind = "skill", score = score, state = version.state }
    end
  end
  return best
end

-- What is remembered of a candidate: of what it is, or of what came from where it is.
local function failure_of(self, candidate)
  local store, environment = self.engine.store, policy.environment()
  return shelf.failure(store, candidate.hash, environment) or shelf.failure(store, find.key(candidate), environment)
end

---@class weir.SkillFindings
---@field known { name: string, kind: "agent"|"skill" }|nil what is there already
---@field candidates weir.SkillCandidate[] at most ten, the best first
---@field failed { name: string, hash: string, cause: string, until_ms: integer }[] candidates that failed and are not tried again
---@field problems string[] what could not be searched or read

--- What there is for a need: an agent that is known, else candidates. Waits for folders, the web and servers.
---@param given weir.SkillNeed|string
---@return weir.SkillFindings
function Scout:find(given)
  local need = need_of(given)
  local known = known_agent(self, need) or known_skill(self, need)
  local findings = { candidates = json.list {}, failed = json.list {}, problems = json.list {} }
  if known then
    findings.known = { name = known.name, kind = known.kind }
    return findings
  end
  local list, problems = find.candidates(self, need)
  table.move(problems, 1, #problems, 1, findings.problems)
  for _, candidate in ipairs(list) do
    local failed = failure_of(self, candidate)
    if failed then
      table.insert(findings.failed, { name = candidate.name, hash = candidate.hash, cause = failed.cause, until_ms = failed.until_ms })
    elseif #findings.candidates < CANDIDATES then
      table.insert(findings.candidates, candidate)
    end
  end
  return findings
end

-- Trying ------------------------------------------------------------------------------------------------

local function check_signature(self, manifest)
  local signature = manifest.signature
  if not signature then
    if not self.settings.signed then return true end
    return nil, ("skill '%s' is not signed, and the setting skills.signed asks for it"):format(manifest.name), "denied"
  end
  local key = self.settings.keys[signature.key]
  if not key then
    if not self.settings.signed then return true end -- a signature of somebody unknown says nothing
    return nil, ("skill '%s' is signed by '%s', whose key the setting skills.keys does not have"):format(manifest.name, signature.key),
      "denied"
  end
  local digest = require "weir.native.digest"
  local bytes = digest.from_base64(signature.value)
  if bytes and digest.ed25519_verify(digest.from_base64(key), manifest_of.signed_text(manifest), bytes) then return true end
  return nil, ("skill '%s': the signature of '%s' does not fit it"):format(manifest.name, signature.key), "denied"
end

local function check_name(self, manifest)
  local entry = self.engine.project.registry:lookup("agent", manifest.name)
  if entry and not entry.module.skill then
    return nil, ("skill '%s': an agent of this name is there, and a skill takes nobody's place"):format(manifest.name), "conflict"
  end
  for _, version in ipairs(shelf.versions(self.engine.store)) do
    if version.manifest.source.sha256 == manifest.source.sha256 and version.name ~= manifest.name and version.state ~= "removed" then
      return nil, ("skill '%s' is the skill '%s' under another name"):format(manifest.name, version.name), "conflict"
    end
  end
  local record = shelf.name(self.engine.store, manifest.name)
  if record and manifest_of.compare(manifest.version, record.highest) < 0 then
    return nil, ("skill '%s': version %s is older than %s, which was registered"):format(manifest.name, manifest.version, record.highest),
      "conflict"
  end
  return true
end

-- The context of the critic: its own options, and the rest of the step that asks.
local function critic_context(self, entry, need)
  local registry = self.engine.project.registry
  local options = registry:options(entry, self.engine.project:options_of("critics/" .. entry.name), self.settings.critic_options)
  local own = { options = options, input = need or {}, memory = {}, drafts = json.list {} }
  return setmetatable(own, { __index = self.ctx })
end

local function reviewer(self, need)
  local entry, err = self.engine.project.registry:lookup("critic", self.settings.critic)
  if not entry then error(err, 0) end
  return function(draft)
    local verdict = entry.module.review(critic_context(self, entry, need), draft)
    if type(verdict) ~= "table" or type(verdict.verdict) ~= "string" then
      failure.raise("invalid", "critic '%s' gave no verdict", self.settings.critic)
    end
    return verdict
  end
end

local function remember(self, key, candidate, message, code)
  if code == "unavailable" or code == "timeout" then return end -- says nothing of the skill
  shelf.refuse(self.engine.store, { hash = key, name = candidate.name, cause = message, code = code,
    seconds = self.settings.forget, environment = policy.environment(), by = self.by })
end

local function examine(self, package, need)
  local message, code
  for _, check in ipairs { check_signature, check_name } do
    local ok
    ok, message, code = check(self, package.manifest)
    if not ok then return nil, message, code end
  end
  package.trial, message, code = trial.run(package.manifest, package.source, reviewer(self, need))
  if not package.trial then return nil, message, code end
  if package.trial.verdict ~= "approve" and package.trial.verdict ~= "escalate" then
    return nil, ("skill '%s' was not approved: %s"):format(package.manifest.name, package.trial.advice or package.trial.verdict), "rejected"
  end
  return package
end

local function asks(self, package, added)
  if #added > 0 then return "it wants to be let do more" end
  if package.trial.verdict == "escalate" then return package.trial.advice or "its critic wants a person to look at it" end
  if self.settings.approve == "always" then return "the setting skills.approve asks for a person each time" end
end

---@class weir.SkillTried
---@field hash string
---@field name string
---@field version string
---@field description string
---@field author string
---@field origin table
---@field trial weir.SkillTrial
---@field privileges string[] all that it wants
---@field added string[]      those that nobody has given it yet
---@field asks string|nil     why a person has to decide; nil: nobody has to

--- Fetches a candidate, checks and tries it, and keeps what was tried. What is wrong with it is remembered, and told to the audit.
--- Waits.
---@param candidate weir.SkillCandidate
---@param need weir.SkillNeed|nil for the critic
---@return weir.SkillTried?
---@return string? message
---@return string? code `rejected` (by the critic), `conflict` (its name is taken, it is an older version, or known under another name),
---  `denied` (signature, source), and those of `weir.skill.find.fetch` and `weir.skill.trial.run`
function Scout:try(candidate, need)
  local failed = failure_of(self, candidate)
  if failed then return nil, ("skill '%s' failed before: %s"):format(candidate.name, failed.cause), failed.code end
  local package, message, code = find.fetch(self, candidate)
  if not package then
    remember(self, find.key(candidate), candidate, message, code)
    return nil, message, code
  end
  package, message, code = examine(self, package, need)
  if not package then
    remember(self, candidate.hash, candidate, message, code)
    return nil, message, code
  end
  shelf.keep_package(self.engine.store, package)
  local manifest = package.manifest
  local record = shelf.name(self.engine.store, manifest.name)
  local privileges = manifest_of.privileges(manifest.grants)
  local added = manifest_of.added(privileges, record and record.given)
  return { hash = candidate.hash, name = manifest.name, version = manifest.version, description = manifest.description,
    author = manifest.author, origin = package.origin, trial = package.trial, privileges = privileges, added = added,
    asks = asks(self, package, added) }
end

--- Notes that a person did not want a skill. Waits for the disk.
---@param one weir.SkillTried
---@param cause string
function Scout:decline(one, cause)
  remember(self, one.hash, one, cause, "rejected")
end

-- Registering --------------------------------------------------------------------------------------------

--- Registers what was tried; it serves from now on as a shadow. Once more is no change. Waits.
---@param hash string
---@param options { given: string[]?, by: string? }|nil given: privileges that a person gave; by: who
---@return weir.SkillVersion
function Scout:register(hash, options)
  options = options or {}
  local store = self.engine.store
  local there = shelf.version(store, hash)
  if there and (there.state == "shadow" or there.state == "active") then return there end
  local package = shelf.package(store, hash)
  if not package or not package.trial then
    failure.raise("not_found", "skill %s was not tried here; try it first", hash:sub(1, 12))
  end
  local record = shelf.name(store, package.manifest.name)
  local wanted = manifest_of.added(manifest_of.privileges(package.manifest.grants), record and record.given)
  local missing = manifest_of.added(wanted, options.given)
  if #missing > 0 then
    failure.raise("denied", "skill '%s' wants to %s, which nobody has let it", package.manifest.name, table.concat(missing, ", "))
  end
  local version = shelf.register(store, { manifest = package.manifest, source = package.source, trial = package.trial,
    origin = package.origin, by = options.by or self.by, given = options.given })
  policy.refresh(self.engine, version.name)
  return version
end

--- Removes a skill. Waits for the disk. Raises `not_found`.
---@param name string
---@param cause string
---@return integer versions
function Scout:remove(name, cause)
  return shelf.remove(self.engine.store, name, { cause = cause, by = self.by })
end

-- For the registry ----------------------------------------------------------------------------------------

--- The text of the module that a name stands for in a store, or nil.
---@param store weir.Store
---@param name string
---@return string|nil text
---@return string|nil path for messages
function M.module_text(store, name)
  local version = shelf.serving(store, name)
  if version then return shelf.module_text(version), ("skills/%s.lua"):format(name) end
end

return M
