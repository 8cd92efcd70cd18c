--- What critics said of the outputs of past runs: asked again, as they are now, without the work being done again; and how
--- often they said what people said.

local approval = require "weir.approval"
local build = require "weir.definition.build"
local critic = require "weir.flow.critic"
local engine_of = require "weir.run.engine"
local failure = require "weir.failure"
local form = require "weir.approval.question"
local json = require "weir.native.json"
local native = require "weir.native.scheduler"
local pages = require "weir.pages"
local place = require "weir.view.place"
local plan = require "weir.run.plan"
local record_of = require "weir.view.record"
local step_view = require "weir.view.step"
local value_of = require "weir.value"
local verdict_of = require "weir.flow.verdict"

local M = {}

-- Asking again -----------------------------------------------------------------------------------------

-- The critics of a step as its definition has them, or the one that is named instead.
local function critics_of(node, named)
  local given = named and { use = json.list { { use = named.name, options = named.options } } } or node and node.critic
  if not given then return nil end
  local compiled, modules = plan.of_flow("step", { name = "judged", agent = "echo", critic = given })
  return compiled.critic, modules
end

-- Judges in a run of its own, of which nothing is kept.
local function judge(project, critics, modules, key, input, draft)
  local verdict
  local flow = build.flow "rejudge" { function(run)
    local frame = rawget(run, "_flow")
    frame.run:pin(modules, {})
    verdict = verdict_of.summary(critic.judge(frame, critics, key, input, draft, {}))
    return true
  end }
  local definition, errors = project:check(flow)
  if not definition then failure.raise("failed", "%s", errors[1].message) end
  local run = engine_of.new(project, nil):run(definition, {})
  if run.status ~= "finished" then error(run.error, 0) end
  return verdict
end

local function latest_draft(shown)
  local last = shown.drafts[#shown.drafts]
  return last and last.draft
end

---@class weir.Rejudged
---@field run string
---@field pipeline string
---@field step string   key
---@field before table  verdict as recorded
---@field now table|nil verdict
---@field error table|nil why there is none
---@field changed boolean the one would have let it pass, and the other not

local function passes(verdict)
  return verdict_of.accepts(verdict)
end

local function judge_step(engine, record, places, step, named)
  local critics, modules = critics_of(places:find(step.key).node, named)
  if not critics then return nil end
  local shown = step_view.of(engine, record.id, step.key)
  local draft = shown.output
  if draft == json.null then draft = latest_draft(shown) end
  if draft == nil then return nil end
  local input = shown.input ~= json.null and shown.input or {}
  local found = { run = record.id, pipeline = record.pipeline, step = step.key, before = step.verdict, changed = false }
  local ok, verdict = pcall(judge, engine.project, critics, modules, step.key, input, draft)
  if not ok then
    native.recover()
    found.error = failure.of(verdict)
    return found
  end
  found.now, found.changed = verdict, passes(verdict) ~= passes(step.verdict)
  return found
end

local function fits(step, query)
  if not step.verdict or query.step and step.key ~= query.step and step.name ~= query.step then return false end
  return not query.said_by or step.verdict.critic == query.said_by
end

--- Has critics, as they serve now, look again at what they judged in past runs. No step is done again, nothing is kept.
--- Waits, as the critics do.
---@param engine weir.Engine
---@param ids fun(): string|nil the runs
---@param query { step: string?, critic: { name: string, options: table? }?, said_by: string? } step: key or name; critic: in
---   the place of those of the definitions; said_by: only what this critic said
---@return fun(): weir.Rejudged|nil
function M.rejudge(engine, ids, query)
  return coroutine.wrap(function()
    for id in ids do
      local record = record_of.load(engine.store, id, engine.live)
      local places = place.new(record.normal)
      for _, step in ipairs(record.steps) do
        local found = fits(step, query) and judge_step(engine, record, places, step, query.critic)
        if found then coroutine.yield(found) end
      end
    end
  end)
end

-- Against people -----------------------------------------------------------------------------------------

---@class weir.Calibration
---@field critic string
---@field version string
---@field count integer      drafts that a person decided too
---@field agreed integer
---@field wrongly_refused integer a person let it pass
---@field wrongly_passed integer  a person did not
---@field score_passed number|nil mean score of what people let pass
---@field score_refused number|nil

local function row_of(rows, verdict)
  local critic_name, version = tostring(verdict.critic), type(verdict.version) == "string" and verdict.version or "?"
  local key = critic_name .. "@" .. version
  local row = rows[key]
  if not row then
    row = { critic = critic_name, version = version, count = 0, agreed = 0, wrongly_refused = 0, wrongly_passed = 0, sums = { 0, 0 },
      counts = { 0, 0 } }
    rows[key] = row
  end
  return row
end

local function count_one(rows, verdict, is_passed)
  local row = row_of(rows, verdict)
  local said = passes(verdict)
  row.count = row.count + 1
  if said == is_passed then row.agreed = row.agreed + 1
  elseif is_passed then row.wrongly_refused = row.wrongly_refused + 1
  else row.wrongly_passed = row.wrongly_passed + 1 end
  local side = is_passed and 1 or 2
  if type(verdict.score) == "number" then row.sums[side], row.counts[side] = row.sums[side] + verdict.score, row.counts[side] + 1 end
end

-- A panel's members are counted, each by what it said.
local function count(rows, verdict, is_passed)
  if type(verdict.panel) ~= "table" then return count_one(rows, verdict, is_passed) end
  for _, one in ipairs(verdict.panel) do count_one(rows, one, is_passed) end
end

-- Drafts that were shown to a person because of what critics said. A draft that was not taken was refused, unless
-- another one was.
local function count_escalation(rows, decided)
  local answer, drafts = decided.answer or {}, decided.show.drafts
  if decided.decision == "approve" and answer.draft and answer.value == nil and not answer.advice then
    local taken = drafts[answer.draft]
    return taken and count(rows, taken, true)
  end
  for _, draft in ipairs(drafts) do count(rows, draft, false) end
end

-- What an approval showed: the output of a step that a critic had judged.
local function count_shown(rows, engine, decided)
  local ok, record = pcall(record_of.load, engine.store, decided.run, engine.live)
  if not ok then return native.recover() end
  for _, step in ipairs(record.steps) do
    local output = step.verdict and step.output
    local is_shown = output ~= nil and (value_of.equal(output, decided.show)
      or type(output) == "table" and output.text ~= nil and output.text == decided.show)
    if is_shown then count(rows, step.verdict, decided.decision ~= "reject") end
  end
end

local function finish(rows)
  local list = {}
  for _, key in ipairs(value_of.names(rows)) do
    local row = rows[key]
    row.score_passed = row.counts[1] > 0 and row.sums[1] / row.counts[1] or nil
    row.score_refused = row.counts[2] > 0 and row.sums[2] / row.counts[2] or nil
    row.sums, row.counts = nil, nil
    list[#list + 1] = row
  end
  return list
end

local COUNTED = { approve = true, reject = true, edit = true }

--- How often each version of a critic said what people said, of all that people decided. Waits for its turns.
---@param engine weir.Engine
---@param since_ms integer|nil
---@return weir.Calibration[]
function M.calibration(engine, since_ms)
  local rows = {}
  for found in pages.keys(engine.store, form.decided) do
    local decided = not found.damaged and approval.get(engine.store, found.key)
    if decided and COUNTED[decided.decision] and (not since_ms or decided.at_ms >= since_ms) and decided.show ~= nil then
      local is_escalation = type(decided.show) == "table" and type(decided.show.drafts) == "table" and decided.show.critic ~= nil
      if is_escalation then count_escalation(rows, decided) else count_shown(rows, engine, decided) end
    end
  end
  return finish(rows)
end

return M
