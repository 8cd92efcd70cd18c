-- Which model is asked, among `size` that are ready: how each stands, what is known of it, and a bandit that draws. Floor: the
-- largest of as many numbers. And a call through the router of a model that answers at once: choice, admission, statistics, log.

local route = require "weir.model.route"
local random = require "weir.port.random"
local schema = require "weir.schema"
local task = require "weir.task"

-- A choice among models that have each been called a hundred times.
local function choice_of(bench, size)
  local entry = assert(bench.project.registry:lookup("policy", "bandit"))
  local options = schema.defaults(entry.options, {})
  local router, candidates = route.new(nil), {}
  for index = 1, size do
    local name = "model" .. index
    candidates[index] = { name = name, module = "m", provider = "p" .. index % 3, price = { input = 1, output = 2 },
      estimate = { input_tokens = 1000, output_tokens = 100 }, limits = { requests_per_minute = 1e9, tokens_per_minute = 1e12 } }
    for n = 1, 100 do
      router.statistics:record { model = name, label = "task", ok = n % 10 > 0, class = "server", first_token_s = 0.1 + n / 300,
        total_s = 1 + n / 50, output_tokens = n }
      router.statistics:score(name, "task", random.float(), "critic")
    end
  end
  return { router = router, candidates = candidates, label = "task",
    policy = { name = "bandit", module = entry.module, state = entry.module.setup(options) } }
end

local function each(bench, body)
  return function(seconds)
    local done, from = 0, bench.now()
    repeat
      for _ = 1, 20 do body() end
      done = done + 20
      task.yield() -- as a host does between two calls: no slice of time runs out
    until bench.now() - from >= seconds
    return (bench.now() - from) / done
  end
end

local LARGEST = [[
  local size = %d
  local values = {}
  for index = 1, size do values[index] = math.random() end
  return function(count)
    local from = now()
    for _ = 1, count do
      local best = 1
      for index = 2, size do
        if values[index] > values[best] then best = index end
      end
      values[best] = values[best] * 0.999
    end
    return count, now() - from
  end]]

local choosing = { figures = { { name = "model choice", unit = "s", goal_value = 20e-6 } }, sizes = { 3, 10, 30 } }

function choosing.prepare(bench, size)
  local choice, request = choice_of(bench, size), {}
  return { weir = each(bench, function() route.preview(choice, request) end), floor = bench:time(bench:plain(LARGEST, size)) }
end

local calling = { figures = { { name = "model call through the router", unit = "s" } }, sizes = { 3, 10, 30 } }

function calling.prepare(bench, size)
  local choice, request = choice_of(bench, size), {}
  local response = { message = { content = "" }, usage = { input_tokens = 10, output_tokens = 5 } }
  local function call() return response end
  return { weir = each(bench, function() assert(route.call(choice, request, call)) end), floor = bench:time(bench:plain(LARGEST, size)) }
end

return { choosing, calling }
