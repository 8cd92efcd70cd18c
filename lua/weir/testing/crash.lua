--- Kills a run at every position of its journal and goes on with it: the result must be that of a run
--- that was never killed. Each life is a process of its own, over a store of its own.

local failure = require "weir.failure"
local json = require "weir.native.json"
local process = require "weir.port.process"
local project = require "weir.project"
local system = require "weir.port.system"

local M = {}

local POINTS = { "before_commit", "after_commit" }
local LIVES_MAX = 10000
local LIFE = 120          -- seconds
local OUTPUT = 16 << 20   -- bytes

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
  return system.temporary_folder "weir-crash"
end

local function was_killed(result)
  return result.signal == 9 or result.signal == "sigkill" or result.status == 137
end

local function differs(reference, line)
  if line.status ~= reference.status then return ("status '%s' instead of '%s'"):format(line.status, reference.status) end
  local expected = json.encode(reference.output == nil and json.null or reference.output)
  local got = json.encode(line.output == nil and json.null or line.output)
  if got ~= expected then return ("output %s instead of %s"):format(got:sub(1, 200), expected:sub(1, 200)) end
end

-- What is tried: {pipeline, given, folder, environment, reference}. Every life has its own process; all
-- start in the project's folder, so that all see the same modules.
local Trial = {}
Trial.__index = Trial

function Trial:life(verb, what, store, extra)
  local args = { system.program(), verb }
  args[#args + 1] = what
  if verb == "run" then table.move(self.given, 1, #self.given, #args + 1, args) end
  for _, argument in ipairs { "--store", store, "--json" } do args[#args + 1] = argument end
  local result, message, code = process.run(args,
    { env = system.environment(extra), cwd = self.folder, timeout = LIFE, max_bytes = OUTPUT })
  if not result then failure.raise(code, "%s", message) end
  return result
end

function Trial:shown(store)
  local result = self:life("show", "last", store)
  return result.status == 0 and run_line(result, "weir show") or nil
end

-- What was said to be done before the kill has to be in the store now.
function Trial:lost(first, store)
  if first.stdout == "" then return nil end
  local kept = self:shown(store)
  if not kept then return "the run was reported as ended, and the store does not know it" end
  if kept.status ~= self.reference.status then
    return ("the run was reported as ended, and the store says '%s': an acknowledgement before the commit"):format(kept.status)
  end
end

-- The run goes on in a new life, unless its start was never kept or its end was.
function Trial:gone_on(store, count)
  local second = self:life("resume", nil, store)
  if second.stdout ~= "" then return differs(self.reference, run_line(second, "weir resume")) end
  local kept = self:shown(store)
  if kept then return differs(self.reference, kept) end
  return count > 1 and "the run is gone, though its start was acknowledged" or nil
end

-- One life with a kill, one that goes on. `nil`: the run ended before the point was reached.
function Trial:crash_at(point, count)
  local store = fresh_folder()
  local fail = { WEIR_FAILPOINT = ("%s:%d"):format(point, count) }
  for name, value in pairs(self.environment) do fail[name] = value end
  local first = self:life("run", self.pipeline, store, fail)
  local problem
  if was_killed(first) then problem = self:lost(first, store) or self:gone_on(store, count) or "same" end
  remove(store)
  return problem
end

function Trial:command(point, count)
  return ("cd %s && WEIR_FAILPOINT=%s:%d weir run %s %s --store DIR; weir resume --store DIR"):format(self.folder, point, count,
    self.pipeline, table.concat(self.given, " "))
end

local function new_trial(pipeline, given, options)
  local path = system.real_path(pipeline)
  local folder = project.find(options.folder or path and path:match "^(.*)/" or ".")
  local self = setmetatable({ pipeline = path or pipeline, given = given or {}, folder = folder,
    environment = options.environment or {} }, Trial)
  local store = fresh_folder()
  self.reference = run_line(self:life("run", self.pipeline, store), "weir run")
  remove(store)
  return self
end

--- Runs a pipeline once for each position of its journal, with a kill there and a resume after it.
---@param pipeline string file or name
---@param given string[] further arguments of `weir run`, such as {"--set", "path=docs"}
---@param options { report: fun(text: string)|nil, environment: table|nil, folder: string|nil }|nil folder: the
---   project's, when the pipeline is given by name
---@return boolean ok
---@return table summary {positions, status, problems: {point, count, problem, command}}
function M.everywhere(pipeline, given, options)
  options = options or {}
  local trial = new_trial(pipeline, given, options)
  local summary = { positions = 0, status = trial.reference.status, problems = {} }
  for _, point in ipairs(POINTS) do
    for count = 1, LIVES_MAX do
      local outcome = trial:crash_at(point, count)
      if not outcome then break end
      summary.positions = summary.positions + 1
      if outcome ~= "same" then
        summary.problems[#summary.problems + 1] = { point = point, count = count, problem = outcome, command = trial:command(point, count) }
      end
      if options.report then options.report(("%s:%d %s"):format(point, count, outcome)) end
    end
  end
  return #summary.problems == 0 and summary.positions > 0, summary
end

return M
