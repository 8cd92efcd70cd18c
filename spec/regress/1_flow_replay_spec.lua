-- A flow drew other numbers and saw another time after a crash behind a step that had been retried, and
-- started the runs it had started once more.

local crash = require "weir.testing.crash"
local files = require "weir.port.files"
local json = require "weir.json"
local process = require "weir.port.process"
local system = require "weir.port.system"

local FLAKY = [[
return { kind = "agent", name = "flaky", api = 1, execute = function(ctx)
  if ctx.attempt < 3 then error("not yet") end
  return ctx.attempt
end }
]]

local CHANCE = [[
local weir = require "weir"
return weir.flow "chance" { function(run)
  run:step "first" { agent = "flaky", retry = { attempts = 3, backoff = "1ms" } }
  local drawn = { run:random(1000000), math.random(1000000) }
  run:step "use" { agent = "echo", input = { drawn = drawn[1], also = drawn[2] } }
  run:step "at" { agent = "echo", input = { now = run:now(), time = os.time(), day = os.date("%F") } }
  local order = weir.list {}
  for name in pairs { b = 1, a = 2, c = 3, d = 4 } do order[#order + 1] = name end
  return run:step "order" { agent = "echo", input = { order = order } }
end }
]]

local STARTS = [[
local weir = require "weir"
return weir.flow "starts" { function(run)
  local one = weir.start("hello", { name = "one" })
  run:step "between" { agent = "echo", input = { done = true } }
  return { one = one:wait(), two = weir.run("hello", { name = "two" }) }
end }
]]

describe("a flow that is replayed", function()
  local folder

  before_each(function()
    folder = system.temporary_folder "weir-spec"
    assert(files.write(folder .. "/weir.lua", "return {}\n"))
    assert(files.write(folder .. "/modules/agents/flaky.lua", FLAKY, { folders = true }))
    assert(files.write(folder .. "/pipelines/chance.lua", CHANCE, { folders = true }))
    assert(files.write(folder .. "/pipelines/starts.lua", STARTS))
  end)
  after_each(function() process.run { "rm", "-rf", "--", folder } end)

  it("draws the same numbers, sees the same time and the same order", function()
    local ok, summary = crash.everywhere(folder .. "/pipelines/chance.lua", {})
    assert.same({}, summary.problems)
    assert.is_true(ok)
  end)

  local function weir(store, failpoint, ...)
    return assert(process.run({ system.program(), ... },
      { cwd = folder, env = system.environment { WEIR_STORE = store, WEIR_FAILPOINT = failpoint } }))
  end

  it("finds the runs that it started, and starts none of them again", function()
    for position = 1, 40 do
      local store = ("%s/store-%d"):format(folder, position)
      local first = weir(store, "after_commit:" .. position, "run", "starts", "--json")
      weir(store, nil, "resume", "--json")
      local names = {}
      for line in weir(store, nil, "runs", "--json").stdout:gmatch "[^\n]+" do
        local run = json.decode(line)
        names[run.pipeline] = (names[run.pipeline] or 0) + 1
        assert.equal("finished", run.status)
      end
      assert.same({ starts = 1, hello = 2 }, names, "killed after entry " .. position)
      if first.status == 0 then return end
    end
    assert.is_true(false, "the run never came to its end")
  end)
end)
