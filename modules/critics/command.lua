--- Has a program judge: it reads the draft and approves it by ending with status 0. So unit tests, a compiler or a linter stand
--- before whatever costs more.

local json = require "weir.json"

local M = {
  kind = "critic", name = "command", api = 1,
  doc = "Has a program judge a draft, such as its tests",
  options = {
    args = { type = "array", items = { type = "string" }, minItems = 1 }, -- the program first; no shell reads them
    field = { type = "string", optional = true },                         -- of the draft, what the program reads; else all, as JSON
    timeout = { type = "number", exclusiveMinimum = 0, default = 60 },     -- seconds; what takes longer is refused
  },
}

local ADVICE_LINES = 20

local function text_of(draft, field)
  local value = draft
  if field then value = type(draft) == "table" and draft[field] or nil end
  if type(value) == "string" then return value end
  if value ~= nil then return json.encode(value) end
end

local function last_lines(text, count)
  local lines = {}
  for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line end
  return table.concat(lines, "\n", math.max(1, #lines - count + 1))
end

local function refusal(result)
  local said = last_lines(result.stdout .. "\n" .. result.stderr, ADVICE_LINES)
  local how = result.signal and result.signal ~= 0 and ("signal %d ended it"):format(result.signal)
    or ("it ended with status %d"):format(result.status)
  return said ~= "" and how .. ":\n" .. said or how .. " and said nothing"
end

--- Has the program judge a draft: status 0 approves, another one asks for a retry with the last lines that it wrote as advice.
--- Waits until the program has ended.
---@param ctx weir.Context
---@param draft any  a text, or a table: its `field`, or all of it as JSON, is what the program reads
---@return weir.Verdict  evidence: {status}. Raises invalid (a draft without the field), and as ctx:process: not_found, denied,
---  limit (output), unavailable
function M.review(ctx, draft)
  local options = ctx.options
  local stdin = text_of(draft, options.field)
  if not stdin then error { code = "invalid", message = ("command: the draft has no field '%s'"):format(options.field) } end
  local result, message, code = ctx:process(options.args, { stdin = stdin, cwd = ctx.root, timeout = options.timeout })
  if not result then
    if code ~= "timeout" then error { code = code, message = message } end
    return { verdict = "retry", score = 0, advice = ("'%s' did not end in time: %s"):format(options.args[1], message) }
  end
  local evidence = { status = result.status }
  if result.status == 0 and (result.signal or 0) == 0 then return { verdict = "approve", score = 1, evidence = evidence } end
  local advice = ("'%s' does not accept it, %s"):format(options.args[1], refusal(result))
  return { verdict = "retry", score = 0, advice = advice, evidence = evidence }
end

return M
