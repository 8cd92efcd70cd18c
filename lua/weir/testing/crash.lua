--- Kills a run at every position of its journal and goes on with it: the result must be that of a run
--- that was never killed. Each life is a process of its own, over a store of its own.

local failure = require "weir.failure"
local json = require "weir.native.json"
local process = require "weir.port.process"

local M = {}

local POINTS = { "before_commit", "after_commit" }
local LIVES_MAX = 10000

local function program()
  return assert(require("luv").exepath())
end

local function environment(extra)
  local env = {}
  for name, value in pairs(require("luv").os_environ()) do env[name] = value end
  for name, value in pairs(extra) do env[name] = value end
  return env
end

local function life(arguments, extra)
  local args = { program() }
  table.move(arguments, 1, #arguments, 2, args)
  local result, message, code = process.run(args, { env = environment(extra or {}), timeout = 120, max_bytes = 16 << 20 })
  if not result then failure.raise(code, "%s", message) end
  return result
end

local function run_line(result, what)
  local line = result.stdout:match "([^\n]+)\n*$"
  local value = line and json.decode(line)
  if type(value) ~= "table" then
    failure.raise("failed", "%s gave no run line; status %d, stderr: %s", what, result.status, result.stderr:sub(-500))
  end
  return value
end

local function remove(folder)
  process.run({ "rm", "-rf", "--", folder }, {})
end

local function fresh_folder()
  return assert(require("luv").fs_mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/weir-crash-XXXXXX"))
end

local function arguments_of(verb, pipeline, store, given)
  local arguments = { verb }
  if pipeline then arguments[#arguments + 1] = pipeline end
  for _, extra in ipairs(given or {}) do arguments[#arguments + 1] = extra end
  arguments[#arguments + 1] = "--store"
  arguments[#arguments + 1] = store
  arguments[#arguments + 1] = "--json"
  return arguments
end

local function differs(reference, line)
  if line.status ~= reference.status then return ("status '%s' instead of '%s'"):format(line.status, reference.status) end
  local expected = json.encode(reference.output == nil and json.null or reference.output)
  local got = json.encode(line.output == nil and json.null or line.output)
  if got ~= expected then return ("output %s instead of %s"):format(got:sub(1, 200), expected:sub(1, 200)) end
end

local function was_killed(result)
  return result.signal == 9 or result.signal == "sigkill" or result.status == 137
end

local function shown(store)
  local result = life(arguments_of("show", "last", store))
  return result.status == 0 and run_line(result, "weir show") or nil
end

-- What was said to be done before the kill has to be in the store now.
local function lost(first, store, reference)
  if first.stdout == "" then return nil end
  local kept = shown(store)
  if not kept then return "the run was reported as ended, and the store does not know it" end
  if kept.status ~= reference.status then
    return ("the run was reported as ended, and the store says '%s': an acknowledgement before the commit"):format(kept.status)
  end
end

-- The run goes on in a new life, unless its start was never kept or its end was.
local function gone_on(store, reference, count)
  local second = life(arguments_of("resume", nil, store))
  if second.stdout ~= "" then return differs(reference, run_line(second, "weir resume")) end
  local kept = shown(store)
  if kept then return differs(reference, kept) end
  return count > 1 and "the run is gone, though its start was acknowledged" or nil
end

-- One life with a kill, one that goes on. `nil`: the run ended before the point was reached.
local function crash_at(pipeline, given, reference, point, count, extra)
  local store = fresh_folder()
  local fail = { WEIR_FAILPOINT = ("%s:%d"):format(point, count) }
  for name, value in pairs(extra) do fail[name] = value end
  local first = life(arguments_of("run", pipeline, store, given), fail)
  local problem
  if was_killed(first) then
    problem = lost(first, store, reference) or gone_on(store, reference, count) or "same"
  end
  remove(store)
  return problem
end

--- Runs a pipeline once for each position of its journal, with a kill there and a resume after it.
---@param pipeline string file or name
---@param given string[] further arguments of `weir run`, such as {"--set", "path=docs"}
---@param options { report: fun(text: string)|nil, environment: table|nil }|nil
---@return boolean ok
---@return table summary {positions, problems: {point, count, problem, command}}
function M.everywhere(pipeline, given, options)
  options = options or {}
  local store = fresh_folder()
  local reference = run_line(life(arguments_of("run", pipeline, store, given)), "weir run")
  remove(store)
  local summary = { positions = 0, problems = {} }
  for _, point in ipairs(POINTS) do
    for count = 1, LIVES_MAX do
      local outcome = crash_at(pipeline, given, reference, point, count, options.environment or {})
      if not outcome then break end
      summary.positions = summary.positions + 1
      if outcome ~= "same" then
        local command = ("WEIR_FAILPOINT=%s:%d weir run %s %s --store DIR; weir resume --store DIR"):format(point, count, pipeline,
          table.concat(given or {}, " "))
        summary.problems[#summary.problems + 1] = { point = point, count = count, problem = outcome, command = command }
      end
      if options.report then options.report(("%s:%d %s"):format(point, count, outcome)) end
    end
  end
  return #summary.problems == 0 and summary.positions > 0, summary
end

return M
