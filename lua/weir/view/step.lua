--- All that a journal knows of one step, as programs read it.

local conversation = require "weir.model.conversation"
local failure = require "weir.failure"
local history_of = require "weir.run.history"
local json = require "weir.native.json"
local record_of = require "weir.view.record"
local run_view = require "weir.view.run"
local store_port = require "weir.port.store"

local M = {}

local known = history_of.known

local or_null = require("weir.value").or_null

local function drafts_of(history, key)
  local list = json.list {}
  for _, entry in ipairs(history.entries) do
    if entry[1] == "draft" and entry[2] == key then list[#list + 1] = entry[3] end
  end
  return list
end

-- What a model was asked and answered.
local function messages_of(history, key)
  local call = conversation.read(history.entries)[key]
  if not call then return nil end
  local messages = json.list(table.move(call.messages, 1, #call.messages, 1, {}))
  messages[#messages + 1] = call.answer
  return messages
end

local IS_STEP = { start = true, step = true, attempt = true, draft = true }

-- The number of the entry with which a step began, and the fingerprint of what it was asked.
local function beginning(history, key)
  local first
  for n, entry in ipairs(history.entries) do
    if entry[2] == key and IS_STEP[entry[1]] then
      first = first or n
      if entry[1] == "start" or entry[1] == "step" then return first, known(entry[3]) end
    end
  end
end

-- A journal holds the fingerprint of an input; the input itself is made again of what was known then. What does not have
-- the fingerprint is not it: a person has changed it, or the definition cannot be had.
local function input_of(history, key)
  local n, asked = beginning(history, key)
  if not asked then return nil end
  local ok, input = pcall(function()
    local data, step = history:data(n, key)
    if not step then return nil end
    local made = step.input(data)
    if store_port.fingerprint(step.kind.name, step.module or "", made) == asked then return made end
  end)
  if ok then return input end
end

local function find(record, key)
  for _, step in ipairs(record.steps) do
    if step.key == key then return step end
  end
  local err = failure.new("not_found", "run %s has no step '%s'", record.id, key:sub(1, 200))
  err.run = record.id
  error(err, 0)
end

--- Raises `not_found`, `corrupt`.
---@param engine weir.Engine
---@param run_id string
---@param key string of the step, as a journal has it
---@return table a step of a run with `input` (null when it cannot be made again), `output`, `drafts` (those that a
---  critic refused), `messages` (what a model was asked and answered, if that is what it did)
function M.of(engine, run_id, key)
  local step = find(record_of.load(engine.store, run_id, engine.live), key)
  local history = history_of.load(engine, run_id)
  local result = run_view.step(step)
  result.run, result.pipeline, result.label = run_id, history.head.pipeline, or_null(step.label)
  result.input, result.output = or_null(input_of(history, key)), or_null(step.output)
  result.drafts = drafts_of(history, key)
  result.messages, result.decision = messages_of(history, key), step.decision
  return result
end

return M
