--- One call for the vectors of texts, as a step of its own.

local failure = require "weir.failure"
local models = require "weir.model"

local M = { name = "embed" }

function M.execute(frame, step, key)
  local service = models.of(frame.run.engine)
  local response, message, code, detail = service:embed(step.asked.model, step.asked.texts)
  if not response then
    local err = failure.new(failure.codes[code] and code or "failed", "%s", message)
    err.class = detail and detail.class
    error(err, 0)
  end
  local tokens = response.usage and response.usage.input_tokens
  if tokens then frame.run:measure("tokens", tokens, { model = response.model }, key) end
  frame.asked_model = { name = response.model }
  return response
end

return M
