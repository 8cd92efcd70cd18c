--- Outputs by what was asked: the version of the agent, its options, its input, and what a critic said of the draft before. A
--- map that is run again over items of which
--- most are the same computes only what has changed; of a tree of reductions only the nodes above a change.

local agent = require "weir.run.kinds.agent"
local clock = require "weir.port.clock"
local hash = require "weir.native.hash"
local json = require "weir.native.json"

local M = {}

M.SPACE = "memo"
local TOGETHER = 256 -- outputs that are written together

local function key_of(frame, step, input, feedback)
  local run = frame.run
  local entry = (frame.held or run.binding).entries[step.module]
  return hash.sha256(json.encode({ module = step.module, version = entry.version, options = run:options_of(step, frame.held),
    model = step.model or run.model, input = input, feedback = feedback }, { canonical = true }))
end

--- Whether an output is not used any more.
---@param kept table a value of the space
---@param now_ms integer
---@return boolean
function M.is_over(kept, now_ms) return kept.until_ms <= now_ms end

local function find(store, key)
  local kept = store:get(M.SPACE, key)
  if not kept or M.is_over(kept, clock.wall_ms()) then return nil end
  return kept.value
end

--- Writes what is not written yet. Waits.
---@param run weir.Run
function M.flush(run)
  local operations = run.memo
  if not operations or #operations == 0 then return end
  run.memo = nil
  run.engine.store:batch(operations) -- what is not kept is computed again
end

local function note(run, key, value, seconds)
  run.memo = run.memo or {}
  run.memo[#run.memo + 1] = { op = "put", space = M.SPACE, key = key, value = { value = value, until_ms = clock.wall_ms()
    + math.ceil(seconds * 1000) } }
  if #run.memo >= TOGETHER then M.flush(run) end
end

--- The kind of an agent's step whose outputs are remembered.
---@param seconds number for how long
---@return table kind
function M.kind(seconds)
  local kind = setmetatable({}, { __index = agent })
  function kind.execute(frame, step, key, input, attempt, feedback)
    local store = frame.run.engine.store
    if not store then return agent.execute(frame, step, key, input, attempt, feedback) end
    local memo_key = key_of(frame, step, input, feedback)
    local known = find(store, memo_key)
    if known ~= nil then
      frame.run.remembered = (frame.run.remembered or 0) + 1
      return known
    end
    local output, label = agent.execute(frame, step, key, input, attempt, feedback)
    if label == nil and not rawget(frame, "staged") then note(frame.run, memo_key, output, seconds) end
    return output, label
  end
  return kind
end

return M
