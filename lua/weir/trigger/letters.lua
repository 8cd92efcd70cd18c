--- Events that could not become what they should have: dead letters of the queues of pipelines.

local failure = require "weir.failure"
local line_of = require "weir.trigger.line"

local M = {}

local PAGE = 1000

local function shape(pipeline, letter)
  local value = letter.value or {}
  local event = value.events and value.events[1]
  local offset = value.offset or value.offsets and value.offsets[1]
  return { id = letter.id, pipeline = pipeline, source = value.trigger, event = event, offset = offset, error = letter.error,
    at_ms = letter.at_ms, attempt = letter.attempt }
end

--- The dead letters of the project's own pipelines, in order. Does not wait; raises `corrupt`, `unavailable`.
---@param project weir.Project
---@param store weir.Store
---@param pipeline string|nil only of this one
---@return table[] {id, pipeline, source, event, offset, error, at_ms, attempt}
function M.list(project, store, pipeline)
  if pipeline and not pipeline:find "^[a-z][a-z0-9_-]*$" then failure.raise("invalid", "'%s' is no name of a pipeline", pipeline) end
  local found = {}
  for _, name in ipairs(pipeline and { pipeline } or project:pipeline_names()) do
    local queue, after = line_of.queue(store, name), nil
    repeat
      local page = queue:dead_letters { after = after, limit = PAGE }
      for _, letter in ipairs(page) do found[#found + 1] = shape(name, letter) end
      after = page[#page] and page[#page].id
    until #page < PAGE
  end
  return found
end

local function each(project, store, id, what)
  for _, letter in ipairs(M.list(project, store)) do
    if letter.id == id then
      local done, message, code = what(line_of.queue(store, letter.pipeline))
      if not done then failure.raise(code or "failed", "%s", message) end
      return letter
    end
  end
  failure.raise("not_found", "there is no dead letter '%s'; `weir event dead` lists them", id)
end

--- Puts a dead letter in again: it gets its turn, and another run. Waits. Raises `not_found`, and what the store refuses with.
---@param project weir.Project
---@param store weir.Store
---@param id string
---@return table letter
function M.replay(project, store, id)
  return each(project, store, id, function(queue) return queue:replay(id) end)
end

--- Throws a dead letter away. Waits. Raises as `replay`.
---@param project weir.Project
---@param store weir.Store
---@param id string
---@return table letter
function M.discard(project, store, id)
  return each(project, store, id, function(queue) return queue:discard(id) end)
end

return M
