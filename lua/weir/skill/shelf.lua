--- The skills that a store has: code, description, tests, verdicts and the index by which they are found. Whatever changes together is
--- written in one transaction, with a record for the audit. The space `skills`:
---
---     name/NAME         which version serves, which is on trial beside it, what it was let do, the highest version ever
---     version/HASH      manifest, source, trial, where it came from, its state
---     count/HASH        how its calls went
---     word/WORD/NAME    how much a word says of it
---     package/HASH      what was fetched and tried, and is not registered
---     failure/HASH      why something was not taken, and until when that is remembered
---
--- A version is `shadow` at first, then `active`; `replaced` by a later one, `demoted` when it fails too often, `removed` by a
--- person. A shadow serves as long as there is no active version of its name; else it runs beside that and nobody sees what it gives.

local audit = require "weir.audit"
local clock = require "weir.port.clock"
local failure = require "weir.failure"
local json = require "weir.native.json"
local manifest_of = require "weir.skill.manifest"
local pages = require "weir.pages"
local sweep = require "weir.sweep"

local M = {}

local SPACE = "skills"
local RECENT = 20    -- calls that count for a demotion
local TRIES = 20     -- of a change that somebody else was faster with
local WORD_BYTES = 64

---@class weir.SkillName
---@field name string
---@field active string|nil    hash
---@field shadow string|nil
---@field previous string|nil  what was active before
---@field given string[]       privileges that were given
---@field highest string       version

---@class weir.SkillVersion
---@field hash string
---@field name string
---@field version string
---@field state "shadow"|"active"|"replaced"|"demoted"|"removed"
---@field cause string|nil     of the last two
---@field manifest weir.SkillManifest
---@field source string
---@field trial weir.SkillTrial
---@field origin { kind: string, place: string }
---@field at_ms integer        when it was registered
---@field by string

local function known(value)
  if value == json.null then return nil end
  return value
end

local function get(store, key)
  local value, version, code = store:get(SPACE, key)
  if value == nil and code and code ~= "not_found" then failure.raise(code, "%s", version) end
  if value == nil then return nil, 0 end
  return value, version
end

local function put(key, value) return { op = "put", space = SPACE, key = key, value = value } end
local function cas(key, version, value) return { op = "cas", space = SPACE, key = key, version = version, value = value } end
local function delete(key) return { op = "delete", space = SPACE, key = key } end

-- Writes all or nothing; false when somebody else was faster.
local function write(store, operations)
  local done, message, code = store:batch(operations)
  if done then return true end
  if code == "conflict" then return false end
  failure.raise(code or "failed", "%s", message)
end

local function again(what, change)
  for _ = 1, TRIES do
    local done, result = change()
    if done then return result end
  end
  failure.raise("conflict", "skill '%s': others change it all the time; try again", what)
end

-- Reading ---------------------------------------------------------------------------------------------

local function name_record(store, name)
  local value, version = get(store, "name/" .. name)
  if not value then return nil, 0 end
  return { name = name, active = known(value.active), shadow = known(value.shadow), previous = known(value.previous),
    given = value.given, highest = value.highest }, version
end

--- What a store knows of a name, or nil. Does not wait.
---@param store weir.Store
---@param name string
---@return weir.SkillName|nil
function M.name(store, name) return (name_record(store, name)) end

--- A version, whatever its state, or nil. Does not wait.
---@param store weir.Store
---@param hash string
---@return weir.SkillVersion|nil
function M.version(store, hash)
  local value = get(store, "version/" .. hash)
  if not value then return nil end
  value.hash, value.manifest, value.cause = hash, json.decode(value.manifest), known(value.cause)
  return value
end

--- How the calls of a version went. Does not wait.
---@param store weir.Store
---@param hash string
---@return { calls: integer, good: integer, recent: string } recent: a digit for each of the last 20 calls, the latest last; 1: good
function M.counts(store, hash)
  return (get(store, "count/" .. hash)) or { calls = 0, good = 0, recent = "" }
end

--- The version that a name stands for, or nil. Does not wait.
---@param store weir.Store
---@param name string
---@return weir.SkillVersion|nil
function M.serving(store, name)
  local record = name_record(store, name)
  local hash = record and (record.active or record.shadow)
  return hash and M.version(store, hash) or nil
end

local function each(store, prefix, visit)
  for found in pages.rows(store, SPACE, { prefix = prefix }) do visit(found.key:sub(#prefix + 1), found.value) end
end

--- The names of all skills that are registered. Does not wait.
---@param store weir.Store
---@return string[]
function M.names(store)
  local names = {}
  each(store, "name/", function(name) names[#names + 1] = name end)
  return names
end

--- Versions of a name, or of all, the latest last. Does not wait.
---@param store weir.Store
---@param name string|nil
---@return weir.SkillVersion[]
function M.versions(store, name)
  local list = {}
  each(store, "version/", function(hash, value)
    if not name or value.name == name then list[#list + 1] = M.version(store, hash) end
  end)
  table.sort(list, function(a, b)
    if a.at_ms ~= b.at_ms then return a.at_ms < b.at_ms end
    return a.hash < b.hash
  end)
  return list
end

--- Registered skills that some words speak of. Does not wait.
---@param store weir.Store
---@param words string[]
---@return table<string, table<string, number>> by name: how much each word says
function M.speaking_of(store, words)
  local found = {}
  for _, word in ipairs(words) do
    each(store, ("word/%s/"):format(word:sub(1, WORD_BYTES)), function(name, weight)
      found[name] = found[name] or {}
      found[name][word] = weight
    end)
  end
  return found
end

-- Packages and failures -----------------------------------------------------------------------------------

--- Keeps what was fetched, so that what is registered later is what was tried. Waits for the disk.
---@param store weir.Store
---@param package { manifest: weir.SkillManifest, source: string, origin: table, trial: weir.SkillTrial|nil }
---@return string hash
function M.keep_package(store, package)
  local hash = manifest_of.hash(package.manifest)
  write(store, { put("package/" .. hash, { manifest = manifest_of.canonical(package.manifest), source = package.source,
    origin = package.origin, trial = package.trial or json.null, at_ms = clock.wall_ms() }) })
  return hash
end

--- What was fetched under a hash, or nil. Does not wait.
---@param store weir.Store
---@param hash string
---@return { manifest: weir.SkillManifest, source: string, origin: table, trial: weir.SkillTrial|nil }|nil
function M.package(store, hash)
  local value = get(store, "package/" .. hash)
  if not value then return nil end
  return { manifest = json.decode(value.manifest), source = value.source, origin = value.origin, trial = known(value.trial) }
end

--- Why a skill was not taken, while that is remembered. Does not wait.
---@param store weir.Store
---@param hash string
---@param environment string what is true of this system; what failed under another is forgotten
---@return { name: string, cause: string, code: string, at_ms: integer, until_ms: integer }|nil
function M.failure(store, hash, environment)
  local value = get(store, "failure/" .. hash)
  if not value or value.until_ms <= clock.wall_ms() or value.environment ~= environment then return nil end
  return value
end

--- All that is remembered, also what has expired. Does not wait.
---@param store weir.Store
---@return table[]
function M.failures(store)
  local list = {}
  each(store, "failure/", function(hash, value)
    value.hash = hash
    list[#list + 1] = value
  end)
  return list
end

local function failure_operation(fields)
  return put("failure/" .. fields.hash, { name = fields.name, cause = fields.cause:sub(1, 1000), code = fields.code,
    at_ms = clock.wall_ms(), until_ms = clock.wall_ms() + math.floor(fields.seconds * 1000), environment = fields.environment })
end

--- Remembers why a skill was not taken. Waits for the disk.
---@param store weir.Store
---@param fields { hash: string, name: string, cause: string, code: string, seconds: number, environment: string, by: string? }
function M.refuse(store, fields)
  write(store, { failure_operation(fields), delete("package/" .. fields.hash),
    audit.operation { by = fields.by, via = "skills", action = "refuse skill", what = "skills/" .. fields.name, to = fields.code .. ": "
      .. fields.cause:sub(1, 400) } })
end

local PACKAGE_MS, TOGETHER = 30 * 86400000, 20 -- for which a package waits to be registered; rows that go in one transaction

--- Forgets failures whose time is over, and packages that nobody has registered within thirty days. Waits for the disk.
---@param store weir.Store
---@param now_ms integer
---@return integer removed
function M.expire(store, now_ms)
  local function remove(prefix, is_over)
    return sweep.rows(store, SPACE, pages.keys(store, SPACE, prefix), is_over, { together = TOGETHER })
  end
  return remove("failure/", function(row) return row.value.until_ms <= now_ms end)
    + remove("package/", function(row) return row.value.at_ms + PACKAGE_MS <= now_ms end)
end

-- Changes -----------------------------------------------------------------------------------------------

local function name_value(record)
  return { active = record.active or json.null, shadow = record.shadow or json.null, previous = record.previous or json.null,
    given = json.list(record.given), highest = record.highest }
end

local function version_value(version, state, cause)
  return { name = version.name, version = version.version, state = state, cause = cause or json.null,
    manifest = manifest_of.canonical(version.manifest), source = version.source, trial = version.trial, origin = version.origin,
    at_ms = version.at_ms, by = version.by }
end

local function check_order(record, hash, manifest)
  if not record then return end
  local order = manifest_of.compare(manifest.version, record.highest)
  if order < 0 then
    failure.raise("conflict", "skill '%s': version %s is older than %s, which was registered", manifest.name, manifest.version,
        record.highest)
  end
  if order == 0 and record.active ~= hash and record.shadow ~= hash then
    failure.raise("conflict", "skill '%s': version %s was registered with other contents; whoever changes a skill gives it another version",
      manifest.name, manifest.version)
  end
end

local function word_operations(operations, manifest)
  for word, weight in pairs(manifest_of.words(manifest)) do
    operations[#operations + 1] = put(("word/%s/%s"):format(word:sub(1, WORD_BYTES), manifest.name), weight)
  end
end

--- Registers a skill, as a shadow: code, description, tests, verdict, index and audit in one transaction. Once more is no change.
--- Waits for the disk. Raises `conflict` (an older version, or the same with other contents).
---@param store weir.Store
---@param fields { manifest: weir.SkillManifest, source: string, trial: weir.SkillTrial, origin: table, by: string, given: string[]|nil }
---@return weir.SkillVersion
function M.register(store, fields)
  local manifest, hash = fields.manifest, manifest_of.hash(fields.manifest)
  return again(manifest.name, function()
    local record, at = name_record(store, manifest.name)
    check_order(record, hash, manifest)
    if record and (record.active == hash or record.shadow == hash) then return true, M.version(store, hash) end
    local given = table.move(record and record.given or {}, 1, record and #record.given or 0, 1, {})
    for _, one in ipairs(manifest_of.added(fields.given or {}, given)) do given[#given + 1] = one end
    local version = { name = manifest.name, version = manifest.version, manifest = manifest, source = fields.source,
      trial = fields.trial, origin = fields.origin, at_ms = clock.wall_ms(), by = fields.by }
    local operations = {
      cas("name/" .. manifest.name, at, name_value { active = record and record.active, previous = record and record.previous,
        shadow = hash, given = given, highest = manifest.version }),
      put("version/" .. hash, version_value(version, "shadow")), put("count/" .. hash, { calls = 0, good = 0, recent = "" }),
      delete("package/" .. hash), delete("failure/" .. hash),
      audit.operation { by = fields.by, via = "skills", action = "register skill", what = "skills/" .. manifest.name,
        from = record and record.active, to = hash } }
    word_operations(operations, manifest)
    return write(store, operations), M.version(store, hash)
  end)
end

--- Makes a shadow the active version. Waits for the disk. Raises `conflict` when it is no shadow any more.
---@param store weir.Store
---@param hash string
---@param by string
---@return weir.SkillVersion
function M.promote(store, hash, by)
  local version = M.version(store, hash)
  if not version then failure.raise("not_found", "there is no skill %s", hash) end
  return again(version.name, function()
    local record, at = name_record(store, version.name)
    if not record or record.shadow ~= hash then
      failure.raise("conflict", "skill '%s' %s is no shadow that could be promoted", version.name, version.version)
    end
    local old = record.active and M.version(store, record.active)
    record.previous, record.active, record.shadow = record.active, hash, nil
    local operations = { cas("name/" .. version.name, at, name_value(record)),
      put("version/" .. hash, version_value(version, "active")),
      audit.operation { by = by, via = "skills", action = "promote skill", what = "skills/" .. version.name, from = old and old.hash,
        to = hash } }
    if old then operations[#operations + 1] = put("version/" .. old.hash, version_value(old, "replaced")) end
    return write(store, operations), M.version(store, hash)
  end)
end

-- What serves once a version does not any more: what was active before it.
local function step_down(store, record, hash)
  if record.shadow == hash then record.shadow = nil end
  if record.active ~= hash then return nil end
  local before = record.previous and M.version(store, record.previous)
  record.active, record.previous = before and before.state == "replaced" and before.hash or nil, nil
  return record.active and before
end

--- Takes a version out of service because it fails; what was active before it serves again. Waits for the disk.
---@param store weir.Store
---@param hash string
---@param fields { cause: string, seconds: number, environment: string, by: string }
---@return weir.SkillVersion|nil what serves now
function M.demote(store, hash, fields)
  local version = M.version(store, hash)
  if not version then return nil end
  return again(version.name, function()
    local record, at = name_record(store, version.name)
    if not record or (record.active ~= hash and record.shadow ~= hash) then return true, M.serving(store, version.name) end
    local before = step_down(store, record, hash)
    local operations = { cas("name/" .. version.name, at, name_value(record)),
      put("version/" .. hash, version_value(version, "demoted", fields.cause)),
      failure_operation { hash = hash, name = version.name, cause = fields.cause, code = "failed", seconds = fields.seconds,
        environment = fields.environment },
      audit.operation { by = fields.by, via = "skills", action = "demote skill", what = "skills/" .. version.name, from = hash,
        to = before and before.hash } }
    if before then operations[#operations + 1] = put("version/" .. before.hash, version_value(before, "active")) end
    return write(store, operations), before
  end)
end

--- Removes a skill with all its versions: nothing serves any more, nor in runs that are pinned to it. The versions stay for the
--- record. Waits for the disk.
---@param store weir.Store
---@param name string
---@param fields { cause: string, by: string }
---@return integer versions
function M.remove(store, name, fields)
  return again(name, function()
    local record, at = name_record(store, name)
    if not record then failure.raise("not_found", "there is no skill '%s'; `weir skills` lists them", name) end
    local operations = { { op = "delete", space = SPACE, key = "name/" .. name, version = at } }
    local versions, words = M.versions(store, name), {}
    for _, version in ipairs(versions) do
      operations[#operations + 1] = put("version/" .. version.hash, version_value(version, "removed", fields.cause))
      for word in pairs(manifest_of.words(version.manifest)) do words[word:sub(1, WORD_BYTES)] = true end
    end
    for word in pairs(words) do operations[#operations + 1] = delete(("word/%s/%s"):format(word, name)) end
    operations[#operations + 1] = audit.operation { by = fields.by, via = "skills", action = "remove skill", what = "skills/" .. name,
      to = fields.cause }
    return write(store, operations), #versions
  end)
end

-- Calls ------------------------------------------------------------------------------------------------

--- Counts a call. Waits for the disk.
---@param store weir.Store
---@param hash string
---@param is_good boolean
---@return { calls: integer, good: integer, recent: string }
function M.count(store, hash, is_good)
  return again(hash, function()
    local counts, at = get(store, "count/" .. hash)
    counts = counts or { calls = 0, good = 0, recent = "" }
    counts.calls, counts.good = counts.calls + 1, counts.good + (is_good and 1 or 0)
    counts.recent = (counts.recent .. (is_good and "1" or "0")):sub(-RECENT)
    return write(store, { cas("count/" .. hash, at, counts) }), counts
  end)
end

--- The share of good calls among the latest.
---@param counts { recent: string }
---@return number 0 to 1; 1 of none
function M.rate(counts)
  if counts.recent == "" then return 1 end
  return select(2, counts.recent:gsub("1", "")) / #counts.recent
end

-- As a module --------------------------------------------------------------------------------------------

--- The text of the module that a version is in the registry: all of the skill, as literals; to load it runs nothing of the skill.
---@param version weir.SkillVersion
---@return string
function M.module_text(version)
  return ("return require(\"weir.skill.agent\").module(%q,\n%q)\n"):format(manifest_of.canonical(version.manifest), version.source)
end

return M
