-- weir models: the table, and what another policy would have chosen.
local port = require "weir.port.store"
local route = require "weir.model.route"
local support = dofile "spec/lua/weir/cli/support.lua"
local models = dofile "spec/lua/weir/model/support.lua"

local SETTINGS = [[
return { models = {
  fast = { use = "openai", price = { input = 1, output = 2 }, weight = 3 },
  good = { use = "anthropic", provider = "far", price = { input = 10, output = 20 } },
  new = { use = "openai" },
} }
]]

-- Twelve calls, as a host would have made them.
local function call_some(folder)
  local store <close> = assert(port.open(folder .. "/.weir"))
  local router = route.new(store, { draw = models.draws(1) })
  local estimate = { input_tokens = 100, output_tokens = 50 }
  local candidates = {
    { name = "fast", module = "models/openai", price = { input = 1, output = 2 }, estimate = estimate },
    { name = "good", module = "models/anthropic", price = { input = 10, output = 20 }, estimate = estimate },
  }
  for n = 1, 12 do
    local choice = models.choice({}, { router = router, candidates = candidates, label = n % 2 == 0 and "draft" or nil,
      policy = models.policy("ordered", { order = { n % 3 == 0 and "fast" or "good" } }) })
    assert(route.call(choice, {}, (models.models { fast = models.answers "a", good = models.answers "b" })))
  end
  router.statistics:score("good", "draft", 0.9, "person")
  router:close()
end

describe("weir models", function()
  local folder
  setup(function()
    folder = support.folder()
    support.write(folder, "weir.lua", SETTINGS)
    call_some(folder)
  end)
  teardown(function() support.remove(folder) end)

  local function run(...)
    return support.host({ "models", ... }, { cwd = folder })
  end

  it("lists the models of the settings with what their calls were like", function()
    local result = run()
    assert.equal(0, result.status, result.stderr)
    assert.matches("^MODEL +MODULE +STATE +CALLS +SUCCESS +FIRST p50 +p95 +TOKENS/S +USD/CALL +SCORE\n", result.stdout)
    assert.matches("\nfast +models/openai +%- +4 +100 %% .+ 0%.000200 +%-\n", result.stdout)
    assert.matches("\ngood +models/anthropic +%- +8 +100 %% .+ 0%.002000 +0%.90\n", result.stdout)
    assert.matches("\nnew +models/openai +%- +0 +%- +%- +%- +%- +%- +%-\n", result.stdout)
    assert.is_nil(result.stdout:find("draft", 1, true))
    assert.matches("\ngood · draft +models/anthropic +%- +4 ", run("--labels").stdout)
  end)

  it("gives programs a line each, in which what is unknown is null", function()
    local lines = support.lines(run("--json", "--labels").stdout)
    assert.equal(5, #lines)
    local null = require("weir.json").null
    local good, new = lines[3], lines[5]
    assert.same({ "good", null, "models/anthropic", 8 }, { good.name, good.label, good.module, good.calls })
    assert.same({ 1, "0.9", 1, null }, { good.success, ("%.6g"):format(good.score), good.scores, good.state })
    assert.same({ "new", 0, null, null }, { new.name, new.calls, new.success, new.usd_per_call })
  end)

  it("lists models before there is a store", function()
    local other = support.folder()
    support.write(other, "weir.lua", SETTINGS)
    local result = support.host({ "models", "--json" }, { cwd = other })
    assert.equal(3, #support.lines(result.stdout))
    support.write(other, "weir.lua", "return {}\n")
    result = support.host({ "models" }, { cwd = other })
    assert.equal(0, result.status)
    assert.matches("\nlocal/textrank +models/extractive", result.stdout)
    support.remove(other)
  end)

  it("says what another policy would have chosen, and what that would have cost", function()
    local result = run("replay", "--policy", "cheapest", "--since", "1d")
    assert.equal(0, result.status, result.stderr)
    assert.matches("^12 choices compared, of 12; 4 are the same, 0 are left out\n", result.stdout)
    assert.matches("\nas it was +100 %% .+0%.0168 .+fast 4, good 8\n", result.stdout)
    assert.matches("\nby cheapest +100 %% .+0%.0024 .+fast 12\n", result.stdout)
    assert.matches("^an estimate: ", result.stderr)
    local line = support.lines(run("replay", "--policy", "ordered", "--options", '{"order":["good"]}', "--json").stdout)[1]
    assert.same({ "ordered", 12, 12, 8, 0, "direct" }, { line.policy, line.logged, line.choices, line.same, line.unknown, line.method })
    assert.same({ good = 12 }, line.would.by_model)
  end)

  it("refuses what is no policy for models, and options that do not fit", function()
    local result = run("replay", "--policy", "fifo")
    assert.equal(2, result.status)
    assert.matches("policy 'fifo' serves queue, not models", result.stderr)
    result = run("replay", "--policy", "nothing")
    assert.equal(6, result.status)
    result = run("replay")
    assert.equal(2, result.status)
    assert.matches("takes %-%-policy NAME", result.stderr)
    result = run("replay", "--policy", "bandit", "--options", '{"quality":-1}')
    assert.equal(2, result.status)
    assert.matches("quality", result.stderr)
    result = run("--since", "1d")
    assert.equal(2, result.status)
    assert.matches("belong to `weir models replay`", result.stderr)
  end)

  it("is answered by the host that has the store", function()
    local host = support.start({ "serve", "--listen", "off" }, { cwd = folder })
    assert(support.read_until(host.stdout, "repl"))
    local result = run("--json")
    host:kill "sigterm"
    host:wait(20)
    assert.equal(0, result.status, result.stderr)
    assert.equal(8, support.lines(result.stdout)[2].calls)
  end)
end)
