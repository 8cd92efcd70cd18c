--- Runs a program as a child process: arguments as a list, so that no shell ever reads them.
---
--- The process runs in a group of its own and ends with its step. A status other than 0 fails the
--- step, unless the option `accept` names it.

local value_of = require "weir.value"
local weir = require "weir"

local M = {
  kind = "agent", name = "command", api = 1, has_consequences = true,
  doc = "Runs a program and gives its status and output",
  needs = { args = "string[]?", stdin = "string?", env = "object?", cwd = "string?" },
  gives = { status = "integer", stdout = "string", stderr = "string" },
  options = {
    args = "string[]?",                                     -- put before the input's
    cwd = "string?",                                        -- the folder it runs in, from the project's
    env = "object?",                                        -- all it gets, with the input's over it; without both,
                                                            -- the host's environment less what looks like a secret
    timeout = "number?",                                    -- seconds; the step's own limit holds as well
    max_bytes = { type = "integer", minimum = 0, default = 1048576 }, -- of each output; more ends the process
    accept = { type = "array", items = { type = "integer" }, default = weir.list({ 0 }) },
  },
}

local function is_strings(list)
  if next(list) ~= nil and value_of.kind(list) ~= "array" then return false end
  for _, value in ipairs(list) do
    if type(value) ~= "string" then return false end
  end
  return true
end

local function arguments(ctx, input)
  local given = input.args or {}
  if type(given) ~= "table" or not is_strings(given) then
    return nil, "command: args must be a list of strings, the program first; a shell string is not run", "invalid"
  end
  local args = {}
  for _, list in ipairs({ ctx.options.args or {}, given }) do table.move(list, 1, #list, #args + 1, args) end
  if #args == 0 then
    return nil, "command: args is empty; give the program and its arguments, such as {\"wc\", \"-w\"}", "invalid"
  end
  return args
end

-- Texts only: what a path found may be anything.
local function refusal(input)
  if type(input) ~= "table" then return ("command: an input with args expected, got %s"):format(value_of.show(input)) end
  for _, name in ipairs { "stdin", "cwd" } do
    local value = input[name]
    if value ~= nil and type(value) ~= "string" then return ("command: %s must be a text, got %s"):format(name, value_of.show(value)) end
  end
  local env = input.env
  if env == nil then return nil end
  if type(env) ~= "table" then return ("command: env must be texts by name, got %s"):format(value_of.show(env)) end
  for name, value in pairs(env) do
    if type(name) ~= "string" or type(value) ~= "string" then
      return ("command: env.%s must be a text, got %s"):format(tostring(name), value_of.show(value))
    end
  end
end

local function environment(ctx, input)
  if not ctx.options.env and not input.env then return nil end
  local env = {}
  for name, value in pairs(ctx.options.env or {}) do env[name] = value end
  for name, value in pairs(input.env or {}) do env[name] = value end
  return env
end

local function folder(ctx, input)
  local path = input.cwd or ctx.options.cwd
  if not path or not ctx.root or path:sub(1, 1) == "/" then return path or ctx.root end
  return ctx.root .. "/" .. path
end

local TAIL = 5 -- lines of stderr a message quotes

local function last_lines(text)
  local lines = {}
  for line in text:gmatch("[^\r\n]+") do
    lines[#lines + 1] = line
    if #lines > TAIL then table.remove(lines, 1) end
  end
  return table.concat(lines, "\n")
end

local function accepted(ctx, status)
  for _, allowed in ipairs(ctx.options.accept) do
    if allowed == status then return true end
  end
  return false
end

local function failure(args, result)
  local how = result.signal and ("was ended by signal %s"):format(result.signal)
    or ("ended with status %d"):format(result.status)
  local said = last_lines(result.stderr or "")
  if said == "" then return ("command: '%s' %s and wrote nothing to stderr"):format(args[1], how) end
  return ("command: '%s' %s: %s"):format(args[1], how, said)
end

--- Runs a program. Waits until it has ended.
---@param ctx weir.Context
---@param input { args: string[], stdin: string?, cwd: string?, env: table<string, string>? }
---@return { status: integer, stdout: string, stderr: string }?
---@return string? message  with the last lines of stderr
---@return string? code  failed (a status that is not accepted, or a signal), invalid (arguments), and
---  those of ctx:process: not_found, denied, timeout, limit (output), unavailable
function M.execute(ctx, input)
  local refused = refusal(input)
  if refused then return nil, refused, "invalid" end
  local args, message, code = arguments(ctx, input)
  if not args then return nil, message, code end
  local result
  result, message, code = ctx:process(args, {
    stdin = input.stdin, cwd = folder(ctx, input), env = environment(ctx, input),
    timeout = ctx.options.timeout, max_bytes = ctx.options.max_bytes,
  })
  if not result then return nil, message, code end
  if result.signal and result.signal ~= 0 or not accepted(ctx, result.status) then
    return nil, failure(args, result), "failed"
  end
  return { status = result.status, stdout = result.stdout, stderr = result.stderr }
end

return M
