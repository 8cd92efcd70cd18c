--- Kills a run at every change of its store and goes on with it: the result must be that of a run that was
--- never killed, with the same outcome of each step after as many attempts. Each life is a process of its
--- own, over a store of its own. What people and others have to do in between is done by a script: approvals
--- are decided, signals sent, moments waited for, each in a life that is killed everywhere too.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local json = require "weir.native.json"
local keys = require "weir.run.keys"
local process = require "weir.port.process"
local project = require "weir.project"
local sleep = require "weir.run.kinds.sleep"
local system = require "weir.port.system"

local M = {}

local POINTS = { "before_request", "after_request" }
local POSITIONS_MAX = 10000 -- of one life
local LIVES_MAX = 200       -- of one run
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

-- The line of the run that a life has printed at its end, if it came so far.
local function line_of(result)
  local line = result.stdout:match "([^\n]+)\n*$"
  local value = line and json.decode(line)
  return type(value) == "table" and value.run and value.status and value.waiting and value or nil
end

local function encoded(value)
  return json.encode(value == nil and json.null or value, { canonical = true })
end

-- Keys below a speculation, but those of the branch that counted: how far the others came is chance.
local function is_of_loser(shown, key)
  for _, step in ipairs(shown.steps) do
    local winner = type(step.winner) == "string" and step.key .. "/" .. step.winner
    if winner and keys.is_below(key, step.key) and key ~= winner and not keys.is_below(key, winner) then return true end
  end
  return false
end

-- The steps of a run as `weir show` tells them: their keys, how they ended, and after how many attempts.
local function steps_of(shown)
  local lines = {}
  for _, step in ipairs(shown.steps) do
    if not is_of_loser(shown, step.key) then lines[#lines + 1] = ("%s %s after %d"):format(step.key, step.status, step.attempt) end
  end
  table.sort(lines)
  return lines
end

local function step_that_differs(reference, shown)
  local expected, got = steps_of(reference), steps_of(shown)
  for index = 1, math.max(#expected, #got) do
    if expected[index] ~= got[index] then return ("a step '%s' instead of '%s'"):format(got[index], expected[index]) end
  end
end

local function differs(reference, shown)
  if shown.status ~= reference.status then return ("status '%s' instead of '%s'"):format(shown.status, reference.status) end
  local expected, got = encoded(reference.output), encoded(shown.output)
  if got ~= expected then return ("output %s instead of %s"):format(got:sub(1, 200), expected:sub(1, 200)) end
  return step_that_differs(reference, shown)
end

-- What is tried: {pipeline, given, script, folder, environment, reference}. Every life has its own process; all
-- start in the project's folder, so that all see the same modules.
local Trial = {}
Trial.__index = Trial

-- One process: `args` are the command and its arguments. `kill` is where it is to be killed.
function Trial:life(args, store, kill)
  local line = { system.program(), table.unpack(args) }
  for _, argument in ipairs { "--store", store, "--json" } do line[#line + 1] = argument end
  local extra = {}
  for name, value in pairs(self.environment) do extra[name] = value end
  extra.WEIR_FAILPOINT = kill and ("%s:%d"):format(kill.point, kill.count)
  local result, message, code = process.run(line,
    { env = system.environment(extra), cwd = self.folder, timeout = LIFE, max_bytes = OUTPUT })
  if not result then failure.raise(code, "%s", message) end
  return result
end

-- The newest run is what is compared: of a pipeline that reflects on its runs that is what reflects.
function Trial:shown(store, run)
  local result = self:life({ "show", run or "last" }, store)
  return result.status == 0 and run_line(result, "weir show") or nil
end

local ENDED = { finished = true, failed = true, cancelled = true, quarantined = true }

-- What was said to be done before the kill has to be in the store now.
function Trial:lost(killed, store)
  local said = line_of(killed)
  if not said or not ENDED[said.status] then return nil end
  local kept = self:shown(store, said.run)
  if not kept then return "the run was reported as ended, and the store does not know it" end
  if kept.status ~= said.status then
    return ("the run was reported as ended, and the store says '%s': an acknowledgement before the commit"):format(kept.status)
  end
end

local function last_part(key)
  return key:match "[^/]+$"
end

-- What a person says: the script's word on the step, else yes. Of a step in doubt, that it was not done.
local function decision(self, wait)
  if wait.kind == "in_doubt" then return { "reject", wait.id } end
  local given = self.script.decide[last_part(wait.step)] or {}
  local args = { given.decision == "reject" and "reject" or "approve", wait.id }
  if given.answer ~= nil then args[3], args[4] = "--answer", json.encode(given.answer) end
  return args
end

-- Who sends again what may not have arrived gives it the same id.
local function event(self, shown, wait)
  local name = wait.name or last_part(wait.step)
  local value = self.script.signal[name]
  return { "event", "send", name, json.encode(value == nil and true or value), "--id", shown.run .. "/" .. wait.step }
end

local function signal(self, shown, wait)
  local name = wait.name or last_part(wait.step)
  local value = self.script.signal[name]
  return { "signal", shown.run, name, json.encode(value == nil and true or value) }
end

-- The command that brings the run on, from what the life before said or else the store says of it; nil once it has ended.
function Trial:next_life(store, said)
  local shown = said or self:shown(store)
  if not shown then return { "run", self.pipeline, table.unpack(self.given) } end
  if ENDED[shown.status] then return nil, shown end
  local wait = shown.waiting[1]
  for _, other in ipairs(shown.waiting) do
    if other.kind == "approval" or other.kind == "in_doubt" or other.kind == "signal" or other.kind == "event" then wait = other break end
  end
  if wait and (wait.kind == "approval" or wait.kind == "in_doubt") then return decision(self, wait) end
  if wait and wait.kind == "signal" then return signal(self, shown, wait) end
  if wait and wait.kind == "event" then return event(self, shown, wait) end
  if wait and wait["until"] ~= json.null then clock.sleep(math.max(0, (sleep.parse_time(wait["until"]) - clock.wall_ms()) / 1000)) end
  return { "resume" }
end

-- Why a command did nothing, so that to say it again would not either: input that does not fit, an answer without its form.
local function refused(args, result, said)
  if said or result.status == 0 or args[1] == "resume" then return nil end
  local problem = json.decode(result.stdout)
  local message = type(problem) == "table" and type(problem.error) == "table" and problem.error.message or result.stderr
  return ("weir %s: %s"):format(args[1], tostring(message):gsub("^weir: ", ""):gsub("%s+$", ""))
end

-- From the beginning to the end, with one life that is killed. Gives how it ended, or what is wrong, and whether
-- that life was killed at all; `lives` is how many there were.
function Trial:drive(kill)
  local store = fresh_folder()
  local was_there, problem, shown = false, nil, nil
  local lives, said = 0, nil
  while lives < LIVES_MAX do
    local args, ended = self:next_life(store, said)
    if not args then
      shown = ended and self:shown(store)
      break
    end
    lives = lives + 1
    local is_killed = kill and kill.life == lives
    local result = self:life(args, store, is_killed and kill or nil)
    said = line_of(result)
    problem = not kill and refused(args, result, said)
    if problem then break end
    if is_killed then
      was_there = was_killed(result)
      if not was_there then break end
      problem = self:lost(result, store)
      if problem then break end
      said = line_of(self:life({ "resume" }, store)) -- first of all what was under way goes on
    end
  end
  remove(store)
  return shown, was_there, problem, lives
end

-- One run with one kill. `nil`: the life ended before the point was reached, or there was none.
function Trial:crash_at(kill)
  local shown, was_there, problem, lives = self:drive(kill)
  if not was_there then return nil end
  if problem then return problem end
  if not shown then return ("the run had not ended after %d lives"):format(lives) end
  return differs(self.reference, shown) or "same"
end

function Trial:command(kill)
  return ("cd %s && WEIR_FAILPOINT=%s:%d weir %s --store DIR # life %d; then weir resume --store DIR"):format(self.folder, kill.point,
    kill.count, kill.life == 1 and ("run %s %s"):format(self.pipeline, table.concat(self.given, " ")) or "...", kill.life)
end

local function new_trial(pipeline, given, options)
  local path = pipeline:find "[/.]" and system.real_path(pipeline) or nil -- a name may be that of a folder, too
  local folder = project.find(options.folder or path and path:match "^(.*)/" or ".")
  local self = setmetatable({ pipeline = path or pipeline, given = given or {}, folder = folder,
    script = { decide = options.decide or {}, signal = options.signal or {} }, environment = options.environment or {} }, Trial)
  local _, problem
  self.reference, _, problem, self.lives = self:drive()
  if problem then failure.raise("failed", "%s", problem) end
  if not self.reference then
    failure.raise("failed", "the run had not ended after %d lives; does it wait for what nobody brings?", self.lives)
  end
  return self
end

local function note(summary, trial, kill, outcome, report)
  summary.positions = summary.positions + 1
  if outcome ~= "same" then
    summary.problems[#summary.problems + 1] = { life = kill.life, point = kill.point, count = kill.count, problem = outcome,
      command = trial:command(kill) }
  end
  if report then report(("life %d %s:%d %s"):format(kill.life, kill.point, kill.count, outcome)) end
end

-- At every position of one life.
local function sweep(trial, summary, life, point, report)
  for count = 1, POSITIONS_MAX do
    local kill = { life = life, point = point, count = count }
    local outcome = trial:crash_at(kill)
    if not outcome then return end
    note(summary, trial, kill, outcome, report)
  end
end

--- Runs a pipeline once for each change of its store, in each of its lives, with a kill there.
---@param pipeline string file or name
---@param given string[] further arguments of `weir run`, such as {"--set", "path=docs"}
---@param options table|nil report: fun(text); environment: of the processes; folder: the project's, when the pipeline is
---   given by name; decide: {decision, answer} by step, else yes; signal: payloads by name, else true
---@return boolean ok
---@return table summary {positions, lives, status, error, problems: {life, point, count, problem, command}}; status and
---   error are those of the run that was never killed
function M.everywhere(pipeline, given, options)
  options = options or {}
  local trial = new_trial(pipeline, given, options)
  local err = trial.reference.error
  local summary = { positions = 0, lives = trial.lives, status = trial.reference.status, error = err ~= json.null and err or nil,
    problems = {} }
  for life = 1, trial.lives do
    for _, point in ipairs(POINTS) do sweep(trial, summary, life, point, options.report) end
  end
  return #summary.problems == 0 and summary.positions > 0, summary
end

return M
