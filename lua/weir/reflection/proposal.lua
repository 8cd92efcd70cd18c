--- Asking a reflection module: what it is shown, what it answers, and what version that makes.

local context = require "weir.run.context"
local difference = require "weir.text.difference"
local failure = require "weir.failure"
local guard = require "weir.reflection.guard"
local json = require "weir.native.json"
local keeping = require "weir.run.keeping"
local native = require "weir.native.scheduler"
local plain = require "weir.run.plain"
local record_of = require "weir.view.record"
local registry_type = require "weir.registry"
local value_of = require "weir.value"

local M = {}

local HISTORY, TEXT_MAX = 100, 2000 -- candidates that are shown; bytes of an output of a step

---@class weir.reflection.Record what a reflection is shown
---@field run string
---@field pipeline string
---@field version string            of the definition that is to be changed
---@field definition table          its normal form
---@field sources table<string, string> of the agents and planners that it uses, by full name
---@field status string
---@field input any
---@field output any
---@field seconds number|nil
---@field steps table[]             {key, name, by, status, attempts, seconds, usage, error, verdict, output}
---@field metric any                what is measured
---@field better "higher"|"lower"
---@field scores weir.reflection.Scores of the definition, on the inputs that are not held out
---@field candidates table[]        earlier ones, the newest last: {version, parent, state, code, why, reason, patch, note, before, after}
---@field round integer
---@field rounds integer

local function short(value)
  local text = json.encode(value)
  if text and #text <= TEXT_MAX then return value_of.copy(value) end
  return text and text:sub(1, TEXT_MAX) .. "..." or nil
end

local function step_shown(step)
  return { key = step.key, name = step.name, by = step.by, status = step.status, attempts = step.attempt,
    seconds = record_of.seconds(step), usage = value_of.copy(step.usage), verdict = value_of.copy(step.verdict),
    error = step.error and { code = step.error.code, message = step.error.message } or nil, output = short(step.output) }
end

local function candidate_shown(one)
  local tuning = one.tuning or {}
  return { version = one.version, parent = one.parent, state = one.state, code = one.code, why = one.why, reason = one.reason,
    patch = one.patch, note = one.note, module = one.module, before = tuning.before, after = tuning.after }
end

-- A version as it is loaded, or as the store keeps it: {text, file, used}.
local function source_of(engine, full, version)
  local entry = engine.project.registry.versions:lookup(full, version)
  if entry and entry.text then return entry end
  return engine.store and engine.store:get("modules", full .. "@" .. version) or nil
end

local function sources_of(engine, pins)
  local sources = {}
  for full, version in pairs(pins) do
    local found = guard.check_module(full, pins) and source_of(engine, full, version)
    sources[full] = found and found.text or nil
  end
  return sources
end

--- What is shown of a run.
---@param engine weir.Engine
---@param about { run: string, of: weir.reflection.Version, reflect: table, scores: weir.reflection.Scores, candidates: table[],
---  round: integer, rounds: integer }
---@return weir.reflection.Record
function M.record(engine, about)
  local seen = record_of.load(engine.store, about.run)
  local steps, candidates = json.list {}, json.list {}
  for index, step in ipairs(seen.steps) do steps[index] = step_shown(step) end
  for index = math.max(1, #about.candidates - HISTORY + 1), #about.candidates do
    candidates[#candidates + 1] = candidate_shown(about.candidates[index])
  end
  return value_of.copy { run = seen.id, pipeline = seen.pipeline, version = about.of.version, definition = about.of.normal,
    sources = sources_of(engine, about.of.pins), status = seen.status, input = seen.input, output = seen.output,
    seconds = seen.ended_ms and (seen.ended_ms - seen.started_ms) / 1000, steps = steps, metric = about.reflect.metric,
    better = about.reflect.better, scores = about.scores, candidates = candidates, round = about.round, rounds = about.rounds }
end

local NOTHING = { nothing = true }

-- A proposal as it is kept: what a module says beside that is left out.
local function proposal_of(who, value, message, code)
  if value == nil then
    if type(message) == "string" then failure.raise(failure.codes[code] and code or "failed", "%s", message) end
    return NOTHING
  end
  local refusal = type(value) ~= "table" and value_of.show(value) or plain.refusal(value)
  if refusal then failure.raise("invalid", "reflection '%s' returned %s; it returns {reason, patch} or nothing", who, refusal) end
  if (value.patch == nil) == (value.source == nil) then
    failure.raise("invalid", "reflection '%s' returned neither or both of 'patch' and 'source'; one of them is expected", who)
  end
  local source = value.source
  if source ~= nil and (type(source) ~= "table" or type(source.module) ~= "string" or type(source.text) ~= "string") then
    failure.raise("invalid", "reflection '%s': source: {module, text} expected", who)
  end
  return { reason = type(value.reason) == "string" and value.reason or "", patch = value.patch, note = value.note,
    source = source and { module = source.module, text = source.text } }
end

--- The kind of the step that asks.
---@param make_record fun(): weir.reflection.Record
---@return table kind
function M.kind(make_record)
  return { name = "reflection", execute = function(frame, step, key, input)
    local ctx = context.new(frame, step, key, input, 1)
    local module, record = frame.run.modules[step.module], make_record()
    if module.atomic then return proposal_of(step.who, native.atomic(module.propose, ctx, record)) end
    return proposal_of(step.who, module.propose(ctx, record))
  end }
end

-- What a proposal makes ------------------------------------------------------------------------------------

local function first_error(errors)
  local texts = {}
  for index, one in ipairs(errors) do texts[index] = one.message end
  return table.concat(texts, "; ")
end

local function of_patch(engine, of, proposal, limits)
  local changed, size, code = guard.apply(of.normal, proposal.patch, limits)
  if not changed then return nil, size, code end
  local definition, errors = engine.project:check(changed)
  if not definition then return nil, "patch: " .. first_error(errors), "invalid" end
  return { normal = definition.normal, version = definition.version, definition = definition, pins = of.pins, size = size,
    patch = proposal.patch, is_of_settings = guard.only_settings(of.normal, definition.normal) }
end

-- Only looked at: it is loaded when somebody has approved it.
local function of_source(engine, of, proposal, limits)
  local full = proposal.source.module
  local ok, message, code = guard.check_module(full, of.pins)
  if not ok then return nil, message, code end
  local entry = source_of(engine, full, of.pins[full])
  if not entry then return nil, ("source.module: %s has no source that could be changed"):format(full), "invalid" end
  local diff = json.list(difference.changes(entry.text, proposal.source.text))
  if #diff == 0 then return nil, "source.text: it changes nothing", "invalid" end
  local size = guard.source_size(diff)
  ok, message, code = guard.check_size(size, limits)
  if not ok then return nil, message, code end
  local compiled, why = load(proposal.source.text, "=" .. full, "t", {})
  if not compiled then return nil, "source.text: " .. tostring(why), "invalid" end
  return { normal = of.normal, version = of.version, pins = of.pins, size = size, diff = diff, module = full,
    kept = { text = proposal.source.text, file = entry.file, used = entry.used }, is_of_settings = false }
end

--- What a proposal makes of a version. Waits. Raises nothing for what may not be.
---@param engine weir.Engine
---@param of weir.reflection.Version
---@param proposal table
---@param limits { changes: integer, bytes: integer }
---@return table|nil made {normal, version, pins, size, patch | diff, module, kept, is_of_settings}
---@return string|nil message begins with the path of what is wrong
---@return string|nil code invalid, denied, limit
function M.make(engine, of, proposal, limits)
  return (proposal.source and of_source or of_patch)(engine, of, proposal, limits)
end

--- Loads the source of what a proposal has made; it serves nobody yet. Waits.
---@param engine weir.Engine
---@param made table gets `pins` with the new version, and `entry`
---@return table|nil made
---@return string|nil message
function M.load(engine, made)
  if not made.kept then return made end
  local kind, name = registry_type.split(made.module)
  local entry, err = engine.project.registry:load_kept(kind, name, made.kept)
  if not entry then return nil, err.message end
  if engine.store then keeping.modules(engine, { [made.module] = entry }) end -- trials come and go, and load it again
  local pins = value_of.copy(made.pins)
  pins[made.module] = entry.version
  made.entry, made.pins = entry, pins
  return made
end

return M
