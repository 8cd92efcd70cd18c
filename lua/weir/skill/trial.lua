--- Tries a skill: its source is checked, each of its tests is run in the sandbox, twice, and a critic judges what came of it. What a
--- test expects is compared here, outside, so that code on trial does not vouch for itself. Nothing has an effect: what a skill asks
--- for gets the answers that its test lists. The same skill gets the same verdict and the same proof.

local condition = require "weir.condition"
local hash = require "weir.native.hash"
local json = require "weir.native.json"
local manifest_of = require "weir.skill.manifest"
local grants = require "weir.skill.grants"
local sandbox = require "weir.sandbox"
local scan = require "weir.skill.scan"
local schema = require "weir.schema"
local value_of = require "weir.value"
local version = require "weir.version"

local M = {}

---@class weir.SkillCase what became of one test
---@field name string
---@field ok boolean
---@field why string|nil  what was not as expected

---@class weir.SkillTrial
---@field verdict string       of the critic: approve, escalate (a person looks at it), retry, abort
---@field score number
---@field advice string|nil
---@field cases weir.SkillCase[]
---@field passed integer
---@field proof string          SHA-256 over the skill, the cases, the verdict and the version of weir

--- The limits of a skill in the sandbox.
---@param manifest weir.SkillManifest
---@return weir.SandboxLimits
function M.limits(manifest)
  local own = manifest.limits or {}
  return { seconds = own.seconds, cpu_seconds = own.cpu_seconds, memory_bytes = own.memory_mb and own.memory_mb << 20, calls = own.calls }
end

-- What the skill asks for in a test is answered from the test's list, in order.
local function stand_ins(manifest, test)
  local functions = {}
  for name in pairs(manifest.grants or {}) do
    for _, method in ipairs(grants.methods[name]) do
      local left = table.move(test.answers and test.answers[method] or {}, 1, 1000, 1, {})
      functions[method] = function()
        if #left == 0 then return nil, ("%s: the test has no answer for this; a trial has no effects"):format(method), "denied" end
        return table.remove(left, 1)
      end
    end
  end
  return functions
end

local function run(manifest, source, test)
  local options = schema.defaults(assert(schema.object(manifest.options or {})), value_of.copy(test.options or {}))
  local result, message, code = sandbox.run { name = manifest.name, source = source, input = test.input, options = options,
    grants = stand_ins(manifest, test), limits = M.limits(manifest) }
  if result then return { output = result.output } end
  return { message = message, code = code }
end

local function show(value) return (json.encode(value, { canonical = true }) or value_of.show(value)):sub(1, 200) end

local EXPECT = {}

function EXPECT.output(test, got)
  if value_of.equal(got.output, test.output) then return nil end
  return ("gave %s, expected %s"):format(show(got.output), show(test.output))
end

function EXPECT.where(test, got)
  if condition.compile(test.where).test { input = test.input, output = got.output } then return nil end
  return ("gave %s, which does not fit %s"):format(show(got.output), test.where)
end

local function judge(test, got, gives)
  if test.error then
    if got.code == test.error then return nil end
    local found = got.code and ("'%s': %s"):format(got.code, got.message) or show(got.output)
    return ("expected the error '%s', got %s"):format(test.error, found)
  end
  if got.code then return ("%s: %s"):format(got.code, got.message) end
  local wrong = gives(got.output)
  if wrong then return "does not give what its manifest says: " .. wrong end
  return EXPECT[test.where and "where" or "output"](test, got)
end

local function try(manifest, source, test, gives)
  local got = run(manifest, source, test)
  if got.code == "unavailable" then return nil, got.message, got.code end
  local why = judge(test, got, gives)
  if not why then
    local again = run(manifest, source, test)
    if not value_of.equal(got, again) then why = "did not do the same a second time" end
  end
  return { name = test.name, ok = why == nil, why = why }
end

--- The hash of what was found: equal for equal skills, verdicts and versions of weir.
local function proof_of(skill_hash, trial)
  return hash.sha256(assert(json.encode({ skill = skill_hash, cases = trial.cases, verdict = trial.verdict, score = trial.score,
    weir = version }, { canonical = true })))
end

--- Tries a skill. Waits.
---@param manifest weir.SkillManifest
---@param source string
---@param review fun(draft: table): weir.Verdict the critic; gets {manifest, source, cases, passed}
---@return weir.SkillTrial?
---@return string? message
---@return string? code `denied`, `invalid`, `limit` (its source), `unavailable` (there is no sandbox here), and what the critic raises
function M.run(manifest, source, review)
  local ok, message, code = scan.check(source, manifest.name)
  if not ok then return nil, message, code end
  local cases, passed, gives = json.list {}, 0, manifest_of.gives(manifest)
  for index, test in ipairs(manifest.tests or {}) do
    local case
    case, message, code = try(manifest, source, test, gives)
    if not case then return nil, message, code end
    cases[index] = case
    if case.ok then passed = passed + 1 end
  end
  local verdict = review { manifest = manifest, source = source, cases = cases, passed = passed }
  local trial = { verdict = verdict.verdict, score = verdict.score, advice = verdict.advice, cases = cases, passed = passed }
  trial.proof = proof_of(manifest_of.hash(manifest), trial)
  return trial
end

return M
