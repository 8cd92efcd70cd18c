-- What a supervisor decides about an incident, with so many of its family before it: the fingerprint, the incident as the supervisor
-- sees it, twenty rules, the limits. Floor: the same rules looked through in plain Lua.

local decide = require "weir.healing.decide"
local fingerprint = require "weir.healing.fingerprint"
local limits = require "weir.healing.limits"
local task = require "weir.task"

local RULES = 20

local function rules()
  local list = {}
  for number = 1, RULES - 1 do list[number] = { when = { code = "timeout", step = "step" .. number }, remedy = "pause" } end
  list[RULES] = { when = { code = "failed" }, count = 3, within = "1d", remedy = "retry", args = { delay = 1 } }
  return list
end

local function times(size)
  local list = {}
  for index = 1, size do list[index] = index end
  return list
end

local function decided(bench, size)
  local registry = bench.project.registry
  local entry = assert(registry:lookup("supervisor", "thresholds"))
  local options = registry:options(entry, nil, { rules = rules() })
  local supervisors = { { name = "thresholds", module = entry.module, options = options, state = registry:state(entry, options),
    limits = limits.of { attempts = 20, cap = 1000000 } } }
  local seen, done = times(size), { of_step = {}, of_pipeline = times(size) }
  local err = { code = "failed", message = "cannot read '/data/in/17.csv': line 812 has 5 columns, not 4" }
  return function(seconds)
    local count, from = 0, bench.now()
    repeat
      for _ = 1, 100 do
        local name, family = fingerprint.of(err, { pipeline = "p", step = "all[3]/read", agent = "agents/read", version = "v" })
        local incident = { kind = "step", at = size + 1, code = err.code, message = err.message, fingerprint = name, family = family,
          pipeline = "p", step = "all[3]/read", name = "read", seen = seen, before = {} }
        assert(decide.decide(incident, supervisors, done).remedy.name == "retry")
      end
      count = count + 100
      task.yield() -- as a host does between two calls
    until bench.now() - from >= seconds
    return (bench.now() - from) / count
  end
end

local SWEEP = [[
  local size, rules = %d, {}
  for number = 1, 20 do rules[number] = { code = number == 20 and "failed" or "timeout" } end
  local seen = {}
  for index = 1, size do seen[index] = index end
  return function(count)
    local from = now()
    for _ = 1, count do
      for _, rule in ipairs(rules) do
        local since = 0
        if rule.code == "failed" then
          for index = #seen, 1, -1 do
            if seen[index] <= size + 1 - 86400 then break end
            since = since + 1
          end
        end
      end
    end
    return count, now() - from
  end]]

return { { figures = { { name = "a supervisor's decision", unit = "s", goal_value = 0.001 } }, sizes = { 10, 50, 200 },
  prepare = function(bench, size) return { weir = decided(bench, size), floor = bench:time(bench:plain(SWEEP, size)) } end } }
