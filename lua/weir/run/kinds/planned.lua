--- A step of a plan: an agent's work, between what the agent says that it takes and gives. What was done before in the same
--- plan, or in one that it replaces, by the same version with the same input, is not done again.

local agent = require "weir.run.kinds.agent"
local failure = require "weir.failure"
local hash = require "weir.native.hash"
local json = require "weir.native.json"
local schema = require "weir.schema"
local value_of = require "weir.value"

local M = { name = "agent" }

---@class weir.planning.Shared what the steps of the plans of one step share
---@field held weir.Binding          the modules that they use
---@field memo table<string, { key: string, output: any, label: string|nil }> what was done, by content
---@field finished integer           how many different things that are
---@field used { usd: number }       money that they have used
---@field limit_usd number|nil

local validators = setmetatable({}, { __mode = "k" })

local function validator(declared)
  if declared == nil then return nil end
  local ready = validators[declared]
  if ready == nil then
    local whole = schema.object(declared)
    ready = whole and schema.compile(whole) or false
    validators[declared] = ready
  end
  return ready or nil
end

local function check(declared, value, what, step)
  local validate = validator(declared)
  local fits, errors = true, nil
  if validate then fits, errors = validate(value, what) end
  if not fits then failure.raise("invalid", "agent '%s' of a plan: %s", step.agent, errors[1].message) end
end

-- What a step does, whenever it is asked: who does it, in which version, with which options, of what.
local function content_of(frame, step, input)
  local shared = frame.planned
  local options = frame.run:options_of(step, shared.held)
  return hash.sha256(assert(json.encode({ step.module, shared.held.pins[step.module], options, input }, { canonical = true })))
end

local function admit(shared)
  if shared.limit_usd and shared.used.usd >= shared.limit_usd then
    failure.raise("limit", "the plan has used %.4f USD, and %.4f are allowed (limits.usd)", shared.used.usd, shared.limit_usd)
  end
end

--- Makes one attempt.
function M.execute(frame, step, key, input, attempt, feedback)
  local shared = frame.planned
  local module = shared.held.modules[step.module]
  if not step.is_reduce then check(module.needs, input, "input", step) end -- what a reduce is given is the map's affair
  local content = content_of(frame, step, input)
  frame.content = content
  local done = shared.memo[content]
  if done then
    frame.reused = done.key
    return value_of.copy(done.output), done.label
  end
  admit(shared)
  frame.held = shared.held
  local output, label = agent.execute(frame, step, key, input, attempt, feedback)
  check(module.gives, output, "output", step)
  shared.memo[content] = { key = key, output = value_of.copy(output), label = label }
  shared.finished = shared.finished + 1
  return output, label
end

return M
