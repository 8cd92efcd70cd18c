--- Has an effect outside the store: one line in the sink's log under the step's idempotency key, with the
--- tokens of the steps it was given. Its output is the token of this one effect, so whoever finds it later
--- knows which execution of the step it came from.

local M = {
  kind = "agent", name = "sink", api = 1,
  needs = { seen = "any?" },
  gives = { token = "string" },
  options = {
    fail = "integer = 0", -- so many first attempts fail, after their effect
    loops = "integer = 0", -- with it the branch `again` is taken until this visit, then `done`
  },
}

local function gather(value, tokens)
  if type(value) == "string" then
    tokens[#tokens + 1] = value
  elseif type(value) == "table" then
    for _, inner in ipairs(value) do gather(inner, tokens) end
  end
  return tokens
end

--- Waits until the effect has happened.
function M.execute(ctx, input)
  local args = { os.getenv "FAULT_SINK", os.getenv "FAULT_SINK_LOG", ctx.idempotency_key }
  local result, message, code = ctx:process(gather(input.seen, args), { timeout = 20 })
  if not result then return nil, message, code end
  if result.status ~= 0 then return nil, "the sink said: " .. result.stderr, "failed" end
  if ctx.attempt <= ctx.options.fail then return nil, "this attempt is meant to fail", "unavailable" end
  if ctx.options.loops > 0 then ctx.branch = ctx.visit < ctx.options.loops and "again" or "done" end
  return { token = result.stdout:match "%S+" }
end

return M
