-- A plan over so many agents, of which a third lead to the goal in a chain, and the proof that there is none. Floor: a sweep over
-- the same rules, again and again until nothing new follows, in plain Lua.

local goal_of = require "weir.planning.goal"
local schema = require "weir.schema"
local task = require "weir.task"
local types = require "weir.planning.types"

local function agent(index, needs, gives)
  return { name = "agent" .. index, version = "v", cost = 1 + index % 3, needs = types.object(needs), gives = types.object(gives) }
end

-- A chain through a third of them; the others need and give things beside it, some of them lists.
local function agents_of(size)
  local agents, length = {}, size // 3
  for index = 1, size do
    if index <= length then
      agents[index] = agent(index, { ["thing" .. index] = "string" }, { ["thing" .. index + 1] = "string" })
    else
      local from, to = index * 7 % length + 1, "side" .. index % 40
      agents[index] = agent(index, { ["thing" .. from] = "string", ["side" .. index % 13] = "string?" },
        { [to] = "string", [to .. "_list"] = "string[]" })
    end
  end
  return agents, length
end

local function planned(bench, size, has_way)
  local entry = assert(bench.project.registry:lookup("planner", "rules"))
  local agents, length = agents_of(size)
  local goal = goal_of.of({ want = has_way and "thing" .. length + 1 or "nothing" }, { thing1 = "x" })
  local ctx = { options = schema.defaults(entry.options, {}), tried = {} }
  return function(seconds)
    local done, from = 0, bench.now()
    repeat
      assert((entry.module.plan(ctx, goal, agents) ~= nil) == has_way)
      done = done + 1
      task.yield() -- as a host does between two calls
    until bench.now() - from >= seconds
    return (bench.now() - from) / done
  end
end

local SWEEP = [[
  local size = %d
  local length = size // 3
  local rules = {}
  for index = 1, size do
    if index <= length then
      rules[index] = { "thing" .. index, "thing" .. index + 1 }
    else
      rules[index] = { "thing" .. index * 7 %% length + 1, "side" .. index %% 40 }
    end
  end
  return function(count)
    local from = now()
    for _ = 1, count do
      local known, has_new = { thing1 = true }, true
      while has_new do
        has_new = false
        for index = size, 1, -1 do
          local rule = rules[index]
          if known[rule[1] ] and not known[rule[2] ] then known[rule[2] ], has_new = true, true end
        end
      end
    end
    return count, now() - from
  end]]

local function benchmark(name, has_way)
  local one = { figures = { { name = name, unit = "s", goal_value = 0.05 } }, sizes = { 50, 100, 200 } }
  function one.prepare(bench, size) return { weir = planned(bench, size, has_way), floor = bench:time(bench:plain(SWEEP, size)) } end
  return one
end

return { benchmark("a plan over agents", true), benchmark("the proof that agents lead to no plan", false) }
